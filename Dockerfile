# syntax=docker/dockerfile:1
# Built with every package's version and hash from requirements.lock; runs without root and without a compiler.
# glibc, not musl: espeak-ng's wheel, part of the embedded model, has no musl build.

# A copy of phonebot.__version__, which a label cannot read: where they differ the build fails.
ARG VERSION=0.1.0

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/phonebot
COPY requirements.lock ./
RUN /opt/phonebot/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY phonebot phonebot
COPY fixtures/demo fixtures/demo
ARG VERSION
RUN /opt/phonebot/bin/pip install --no-build-isolation --no-deps . \
 && test "$(/opt/phonebot/bin/phonebot version)" = "$VERSION" \
 && /opt/phonebot/bin/pip uninstall --yes hatchling editables pip

FROM python:3.13-slim-bookworm
RUN groupadd --system --gid 10001 phonebot \
 && useradd --system --uid 10001 --gid phonebot --home-dir /data --create-home phonebot
COPY --from=build /opt/phonebot /opt/phonebot
ENV PATH=/opt/phonebot/bin:$PATH PYTHONUNBUFFERED=1 \
    PHONEBOT_HOST=0.0.0.0 PHONEBOT_PORT=8080 PHONEBOT_DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PHONEBOT_PORT\"]}/healthz', timeout=2)"]
ENTRYPOINT ["phonebot"]
CMD ["serve"]

# The commit, and where it can be had, are told by whoever builds:
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg SOURCE=https://... .
ARG VERSION
ARG REVISION=""
ARG SOURCE=""
# espeak-ng is in the image: README, Licences.
LABEL org.opencontainers.image.title="phonebot" \
      org.opencontainers.image.description="Answers phone calls: Twilio media streams bridged to a speech-to-speech model, exact to one frame." \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="MIT AND GPL-3.0-or-later"
