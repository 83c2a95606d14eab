"""What phonebot runs on: Python, the libraries it needs, and those of its extras."""

import platform
import re
from importlib import metadata
from importlib.util import find_spec

from phonebot.checkup.check import Check, skipped

OLDEST_PYTHON = (3, 11)
SHOWN = ("uvicorn", "websockets", "twilio")
DEMO = {"espeakng_loader": "espeakng-loader", "pocketsphinx": "pocketsphinx"}
"""The modules of the extra `demo`, by which distribution has them."""

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?\s*>=\s*(?P<least>[0-9.]+)\s*(?P<marker>;.*)?")


def python(version: tuple[int, ...], named: str) -> Check:
    """Whether this version of Python, called so, is one that phonebot runs on."""
    told = f"{named} on {platform.system()} {platform.machine()}"
    if version >= OLDEST_PYTHON:
        return Check("Python", "ok", told)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check("Python", "failed", told, f"Install Python {oldest} or newer: it is the oldest that is supported.")


def libraries(requirements: list[str]) -> Check:
    """Whether what is installed is as new as these requirements want: lines such as `aiohttp>=3.11`."""
    wrong = []
    for line in requirements:
        wanted = _REQUIREMENT.fullmatch(line)
        if wanted is None or wanted["marker"]:  # of an extra, or of another system
            continue
        try:
            found = metadata.version(wanted["name"])
        except metadata.PackageNotFoundError:
            wrong.append(f"{wanted['name']} is missing")
            continue
        if _numbers(found) < _numbers(wanted["least"]):
            wrong.append(f"{wanted['name']} is {found}, older than {wanted['least']}")
    if wrong:
        return Check("Libraries", "failed", "; ".join(wrong), "Run `pip install --upgrade phonebot`.")
    return Check("Libraries", "ok", ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN))


def requirements() -> list[str]:
    """What this phonebot says that it needs; nothing where it was not installed, but runs from its source."""
    try:
        return metadata.requires("phonebot") or []
    except metadata.PackageNotFoundError:
        return []


def demo_extra(needed: bool) -> Check:
    """Whether the embedded model's ear and voice are there."""
    name = "Extra `demo`"
    missing = [distribution for module, distribution in DEMO.items() if find_spec(module) is None]
    if not missing:
        return Check(name, "ok", "installed, for the embedded model")
    told = f"{' and '.join(missing)} missing"
    if needed:
        remedy = "Run `pip install 'phonebot[demo]'`, or set a model: without one the embedded model answers."
        return Check(name, "failed", told, remedy)
    return skipped(name, f"not needed with these settings: {told}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])
