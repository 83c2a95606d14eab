# Needs Python 3.11 or newer with venv, make and git; all the rest is installed into $(VENV).
#   make demo                 a recorded caller dials in: no account, no key, no network
#   make test                 the tests          (make test ARGS="-k barge_in")
#   make nightly              10,000 random calls against the carrier's truth  (SEED=7 CALLS=2000)
#   make fuzz                 a million spoilt messages to the decoders, 10,000 to each endpoint  (SEED=7)
#   make chaos                hundreds of calls while all around them fails; memory after a thousand  (SEED=7)
#   make check                lint and types     make format, make lock: what they say
#   make docs                 the documents as a site in build/site; fails at a link that leads nowhere
#   make audit                looks the versions that are installed up among known vulnerabilities (needs api.osv.dev)
#   make clips                speaks anew what callers hear where the model cannot: after a change of its words
#   make fixtures             records fixtures/calls anew: after a change of the core that is meant to be one
#   make dist                 the wheel and the source archive, in dist
#   make release-notes        what CHANGELOG.md says of a version  (VERSION=0.2.0; else of what is not released)
# Another Python: make test PY=python3.13 VENV=.venv313

PY    ?= python3
VENV  ?= .venv
ARGS  ?=
SEED  ?= $(shell date +%Y%m%d)
CALLS ?= 10000
VERSION ?= Unreleased
BIN   := $(VENV)/bin
UV     = $(VENV)-lock/bin/uv

.PHONY: demo test nightly check format docs audit clips fixtures dist release-notes lock clean fuzz chaos
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp
	@$(BIN)/phonebot demo $(ARGS)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(ARGS)

nightly: $(VENV)/test.stamp
	@echo "$(CALLS) calls from SEED=$(SEED)"
	PHONEBOT_RANDOM_CALLS=$(CALLS) $(BIN)/python -m pytest -s --hypothesis-seed=$(SEED) $(ARGS) tests/call/test_heard.py

fuzz: $(VENV)/test.stamp
	@echo "from SEED=$(SEED)"
	PHONEBOT_FUZZ=1000000 PHONEBOT_FUZZ_SOCKETS=10000 PHONEBOT_FUZZ_SEED=$(SEED) \
	  $(BIN)/python -m pytest -s --timeout=7200 --hypothesis-seed=$(SEED) $(ARGS) tests/fuzz

chaos: $(VENV)/test.stamp
	@echo "from SEED=$(SEED)"
	PHONEBOT_CHAOS=300 PHONEBOT_CHAOS_CALLS=1000 PHONEBOT_CHAOS_KILLS=40 PHONEBOT_CHAOS_SEED=$(SEED) \
	  $(BIN)/python -m pytest -s $(ARGS) tests/chaos

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# With a cache it would pass over the links of pages that have not changed.
docs: $(VENV)/test.stamp
	$(BIN)/zensical build --clean --strict

# Strict: a version that could not be looked up is a failure, and no pass.
audit: $(VENV)/bin/pip
	$(PY) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.10,<3'
	$(VENV)-audit/bin/pip-audit --strict --vulnerability-service osv --disable-pip --require-hashes \
	  --requirement requirements.lock $(ARGS)
	rm -rf $(VENV)-audit

clips: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python tests/make_clips.py

fixtures: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python tests/record_calls.py $(ARGS)

# hatchling is the build's backend: nothing is downloaded for it.
dist: $(VENV)/demo.stamp
	rm -rf dist
	$(BIN)/hatchling build -d dist

release-notes: $(VENV)/bin/pip
	@$(BIN)/python tests/release_notes.py $(VERSION)

$(VENV)/bin/pip:
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "phonebot needs Python 3.11 or newer: make $(MAKECMDGOALS) PY=/path/to/python3.11" >&2; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PY) has no venv module: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	$(PY) -m venv $(VENV)

# The lock files hold every package's version and hash, so nothing is resolved here.
$(VENV)/demo.stamp: requirements.lock pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/test.stamp: requirements-dev.lock $(VENV)/demo.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# uv only resolves: its own lock file names the registry's hosts and is thrown away.
lock: $(VENV)/bin/pip
	$(PY) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check uv
	$(UV) lock --quiet
	$(UV) export --quiet --no-header --no-annotate --no-emit-project --format requirements-txt \
	  --extra demo --extra otel --no-default-groups --group build -o requirements.lock >/dev/null
	$(UV) export --quiet --no-header --no-annotate --no-emit-project --format requirements-txt \
	  --all-extras --all-groups -o requirements-dev.lock >/dev/null
	rm -rf uv.lock $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-audit build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
