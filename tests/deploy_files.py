"""
The files of deploy/, read: YAML as values, Kubernetes manifests as kubectl would send them.

    production = rendered("overlays/example-production")
    production.one("Deployment")["spec"]
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pytest
import yaml

from phonebot.agents.numbers import Numbers
from phonebot.settings import load, settings_table
from phonebot.web.app import create_app

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("example-production", "example-local-spool")
OLDEST_KUBECTL = (1, 22)
"""The first whose Kustomize knows components: Debian 12's is older, Debian 13's is not."""
REMEDY = "kubectl 1.22 or newer is needed: apt-get install kubernetes-client"

Manifest: TypeAlias = dict[str, Any]

SECRETS = {
    "PHONEBOT_SECRET_KEY": "5" * 64,
    "PHONEBOT_ADMIN_PASSWORD": "a password of the test",
    "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
    "TWILIO_AUTH_TOKEN": "7" * 32,
    "OPENAI_API_KEY": "sk-none",
}
"""What an operator writes where an example of secrets has nothing."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """What a folder of Kustomize comes to."""

    all: tuple[Manifest, ...]

    def of(self, kind: str) -> Iterator[Manifest]:
        return (each for each in self.all if each["kind"] == kind)

    def one(self, kind: str, name: str = "phonebot") -> Manifest:
        (found,) = (each for each in self.of(kind) if re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", name_of(each)))
        return found

    @property
    def settings(self) -> dict[str, str]:
        """Those that are no secret, as its pods get them."""
        data: dict[str, str] = self.one("ConfigMap", "phonebot-settings")["data"]
        return data

    @property
    def pod(self) -> Manifest:
        spec: Manifest = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def containers(self) -> list[Manifest]:
        """All of the pod, those that run first included."""
        return [*self.pod["initContainers"], *self.pod["containers"]]


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


@cache
def rendered(folder: str) -> Manifests:
    """A folder below deploy/kubernetes. Skips the test where kubectl is missing, fails it in CI."""
    command = [_kubectl(), "kustomize", str(KUBERNETES / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "Kustomize has nothing to say against it"
    return Manifests(tuple(yaml.safe_load_all(done.stdout)))


@cache
def _kubectl() -> str:
    program = shutil.which("kubectl")
    if program is None:
        lacks(REMEDY)
    said = subprocess.run([program, "version", "--client"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_KUBECTL:
        lacks(f"{REMEDY} (this one says {said.strip()[:60]!r})")
    return program


def lacks(remedy: str) -> NoReturn:
    """A program is missing: the test is skipped, or, on a machine that builds (CI), fails."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(remedy)
    raise AssertionError("one of them has raised")


def env_file(path: Path) -> dict[str, str]:
    """The variables of a file of lines NAME=value."""
    lines = (line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def filled(variables: dict[str, str]) -> dict[str, str]:
    """An example of secrets with its gaps filled; what has no value there and needs none is left empty."""
    return {name: value or SECRETS.get(name, "") for name, value in variables.items()}


def check_serves(environment: dict[str, str]) -> None:
    """Raises SettingsError unless `phonebot serve` starts with this environment."""
    load(environment, env_file=None).check_for_serving(dev=False)


def leaving_s() -> int:
    """How long a process takes at most to let go of its calls after PHONEBOT_DRAIN_S, as that setting says."""
    (meaning,) = (row.meaning for row in settings_table() if row.name == "PHONEBOT_DRAIN_S")
    told = re.search(r"at most (\d+) s more", meaning)
    assert told, meaning
    return int(told[1])


def paths_of_the_service(data_dir: Path) -> set[str]:
    """The paths of its routes, without the console's and the API's."""
    settings = load({"PHONEBOT_DATA_DIR": str(data_dir), "OPENAI_API_KEY": "sk-none"}, env_file=None)
    return {str(getattr(route, "path", "")) for route in create_app(settings, Numbers()).routes}
