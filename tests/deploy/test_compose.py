"""The compose file: its keys, what refers to what, and what the service needs."""

import re
from typing import Any, TypeAlias

import pytest
import yaml
from deploy_files import DEPLOY, SECRETS, check_serves, env_file, filled, leaving_s

from phonebot.settings import load

FOLDER = DEPLOY / "compose"
PHONEBOT = ("migrate", "phonebot-a", "phonebot-b")
SERVING = PHONEBOT[1:]
WRITTEN = {"POSTGRES_PASSWORD": "0123456789abcdef"}
"""What an operator writes into .env besides the secrets of phonebot."""

# Compose Specification, Services top-level elements: those that this file uses, and no other.
KEYS = frozenset(
    {
        *("image", "build", "restart", "env_file", "environment", "depends_on", "networks", "volumes", "ports"),
        *("read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period", "stop_signal", "shm_size"),
        *("healthcheck", "logging", "command"),
    }
)
HEALTHCHECK = frozenset({"test", "interval", "timeout", "retries", "start_period", "disable"})
CONDITIONS = frozenset({"service_started", "service_healthy", "service_completed_successfully"})
DURATION = re.compile(r"(\d+h)?(\d+m)?(\d+s)?")
# ${NAME}, ${NAME:-default} and ${NAME:?problem} (Compose Specification, Interpolation).
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")

Service: TypeAlias = dict[str, Any]


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """Those of .env, as an operator fills it in."""
    example = env_file(FOLDER / ".env.example")
    assert example.keys() >= WRITTEN.keys() | SECRETS.keys()
    return filled(example) | WRITTEN


@pytest.fixture(scope="module")
def compose(variables: dict[str, str]) -> dict[str, Any]:
    def value(match: re.Match[str]) -> str:
        name, operator, text = match.groups()
        found = variables[name]
        assert found or operator == "-", f"{name} is needed"
        return found or str(text)

    text = (FOLDER / "compose.yaml").read_text("utf-8")
    read: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, text))
    return read


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def seconds(duration: str) -> int:
    parts = DURATION.fullmatch(duration)
    assert parts, duration
    return sum(int(part[:-1]) * {"h": 3600, "m": 60, "s": 1}[part[-1]] for part in parts.groups() if part)


def test_every_key_is_one_of_compose(compose: dict[str, Any], services: dict[str, Service]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"name", "services", "networks", "volumes"}
    for name, service in services.items():
        assert service.keys() <= KEYS, name
        assert "image" in service, name
        assert service["healthcheck"].keys() <= HEALTHCHECK, name
        for key in ("interval", "timeout", "start_period"):
            assert seconds(service["healthcheck"].get(key, "1s")) > 0


def test_whatever_a_service_names_is_there(compose: dict[str, Any], services: dict[str, Service]) -> None:
    for service in services.values():
        assert set(service["networks"]) <= compose["networks"].keys()
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (FOLDER / source).is_file() if source.startswith(".") else source in compose["volumes"]
        for name, needed in service.get("depends_on", {}).items():
            assert needed["condition"] in CONDITIONS
            assert (needed["condition"] == "service_healthy") <= ("test" in services[name]["healthcheck"])
    used = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert compose["volumes"].keys() <= used


def environment_of(service: Service, variables: dict[str, str]) -> dict[str, str]:
    assert service["env_file"] == ".env"
    own: dict[str, str] = service["environment"]
    return variables | own


@pytest.mark.parametrize("name", PHONEBOT)
def test_a_process_starts_with_its_environment(
    name: str, services: dict[str, Service], variables: dict[str, str]
) -> None:
    environment = environment_of(services[name], variables)
    check_serves(environment)
    settings = load(environment, env_file=None)
    assert (
        settings.database
        == f"postgresql://phonebot:{WRITTEN['POSTGRES_PASSWORD']}@database/phonebot?sslmode=disable"
    )
    assert f"{settings.data_dir}" in [volume.split(":")[1] for volume in services[name]["volumes"]]
    assert environment["POSTGRES_PASSWORD"] == "", "phonebot has it in its database's URL alone"


def test_the_tables_are_made_before_a_process_serves(services: dict[str, Service]) -> None:
    assert services["migrate"]["command"] == ["db", "upgrade"]
    assert services["migrate"]["restart"] == "no"
    for name in SERVING:
        assert services[name]["command"] == ["serve"]
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert services[name]["depends_on"]["database"] == {"condition": "service_healthy"}
        assert services[name]["image"] == services["migrate"]["image"]


@pytest.mark.parametrize("name", SERVING)
def test_a_process_has_the_time_that_its_calls_need_to_end_or_to_move(
    name: str, services: dict[str, Service], variables: dict[str, str]
) -> None:
    drain_s = int(environment_of(services[name], variables)["PHONEBOT_DRAIN_S"])
    assert seconds(services[name]["stop_grace_period"]) >= drain_s + leaving_s()


@pytest.mark.parametrize("name", PHONEBOT)
def test_a_process_has_no_rights_and_no_port_of_the_machine(name: str, services: dict[str, Service]) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service


def test_the_proxy_alone_is_open_and_leads_to_both_processes(
    compose: dict[str, Any], services: dict[str, Service], variables: dict[str, str]
) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["caddy"]
    assert services["caddy"]["ports"] == ["80:80", "443:443"]
    port = environment_of(services["phonebot-a"], variables)["PHONEBOT_PORT"]
    proxy = services["caddy"]["environment"]
    assert proxy["UPSTREAMS"].split() == [f"{name}:{port}" for name in SERVING]
    assert proxy["HEALTH_PATH"] == "/readyz"
    assert f"https://{proxy['HOST_NAME']}" == services["phonebot-a"]["environment"]["PHONEBOT_PUBLIC_URL"]
    assert compose["networks"]["back"] == {"internal": True}
    assert services["database"]["networks"] == ["back"]


@pytest.mark.parametrize("name", SERVING)
def test_a_process_is_asked_at_its_port_whether_it_lives(name: str, services: dict[str, Service]) -> None:
    asked = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", services[name]["healthcheck"]["test"][-1])
    assert asked
    assert asked.groups() == (services[name]["environment"]["PHONEBOT_PORT"], "/healthz")


def test_an_example_holds_no_secret_and_what_is_filled_in_is_kept_out_of_the_repository() -> None:
    example = env_file(FOLDER / ".env.example")
    assert {name: example[name] for name in (*SECRETS, *WRITTEN)} == dict.fromkeys((*SECRETS, *WRITTEN), "")
    assert ".env" in (DEPLOY.parent / ".gitignore").read_text("utf-8").split()
