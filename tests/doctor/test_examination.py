"""The whole examination, before a service runs and beside one; and the worst that it may find."""

import asyncio
from pathlib import Path

from service_driver import ACCOUNT_SID, MODEL_KEY, SECRET_KEY, TOKEN, StartService

from phonebot.doctor.examination import Report, examine
from phonebot.settings import look_through
from phonebot.simulator.rest import Number
from phonebot.simulator.rest import serve as serve_rest
from phonebot.simulator.server import serve as serve_model
from phonebot.store.audit import Actor
from phonebot.store.store import Store

DESK = "+15550100000"
SECRETS = (TOKEN, SECRET_KEY, MODEL_KEY, "s3cr3t-of-the-database")


async def looked(environ: dict[str, str], dev: bool = False) -> Report:
    report = await examine(look_through(environ, None), dev)
    told = "".join(check.sentence + check.remedy for check in report.checks)
    assert not any(secret in told for secret in SECRETS)
    return report


def states(report: Report) -> dict[str, str]:
    """Of each name the worst."""
    order = ["ok", "skipped", "warning", "failed"]
    found: dict[str, str] = {}
    for check in report.checks:
        found[check.name] = max(found.get(check.name, "ok"), check.state, key=order.index)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_deployment_that_is_right_is_well_beside_its_service(
    start_service: StartService, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    url = f"sqlite:///{data}/phonebot.db"
    store = await Store.open(url, (data / "calls").as_uri())
    await store.numbers.save(DESK, {"greeting": "Hello", "summary": True}, "1", Actor("ada"))
    await store.close()
    async with serve_model(key=MODEL_KEY) as model, serve_rest(ACCOUNT_SID, TOKEN) as account:
        service = await start_service()
        port = service.url.rpartition(":")[2]
        linked = {"VoiceUrl": f"{service.public_url}/twilio/voice"}
        linked |= {"VoiceFallbackUrl": linked["VoiceUrl"], "StatusCallback": f"{service.public_url}/twilio/status"}
        account.numbers.append(Number(DESK, linked))
        before = files(data)
        report = await looked(
            {
                "PHONEBOT_DATA_DIR": str(data),
                "PHONEBOT_PUBLIC_URL": service.public_url,
                "PHONEBOT_PORT": port,
                "PHONEBOT_SECRET_KEY": SECRET_KEY,
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "TWILIO_API_URL": account.url,
                "PHONEBOT_MODEL_URL": model.url,
                "PHONEBOT_MODEL_TOKEN": MODEL_KEY,
                "PHONEBOT_MODEL": "gpt-realtime-2.1",
            }
        )
        assert files(data) == before
        assert {method for method, *_ in account.requests} == {"GET"}
    assert report.is_well
    assert {name: state for name, state in states(report).items() if state != "ok"} == {"Public URL": "warning"}
    assert {DESK, "Clock", "Media stream", "Model gateway", "Text model", "Service"} <= states(report).keys()


async def test_before_anything_is_set_up_it_says_what_is_missing_and_makes_nothing(tmp_path: Path) -> None:
    report = await looked({"PHONEBOT_DATA_DIR": str(tmp_path / "data"), "PHONEBOT_PORT": "1"})
    assert not report.is_well
    found = states(report)
    assert (found["Settings"], found["Database"], found["Data folder"]) == ("failed", "warning", "ok")
    assert all(found[name] == "skipped" for name in ("Twilio account", "Public URL", "Model", "Profiles"))
    assert all(check.sentence.startswith("not set up: ") for check in report.checks if check.name == "Model")
    assert not (tmp_path / "data").exists()


async def test_in_development_nothing_is_missing(tmp_path: Path) -> None:
    report = await looked({"PHONEBOT_DATA_DIR": str(tmp_path / "data"), "PHONEBOT_PORT": "1"}, dev=True)
    assert report.is_well
    assert states(report)["Model"] == "ok"


async def test_what_a_wrong_setting_names_is_not_looked_at(tmp_path: Path) -> None:
    wrong = {
        "PHONEBOT_DATABASE_URL": "mysql://phonebot:s3cr3t-of-the-database@db/phonebot",
        "PHONEBOT_STORAGE_URL": "ftp://x",
        "PHONEBOT_PUBLIC_URL": "bot.example.com",
        "TWILIO_API_URL": "api",
    }
    report = await looked(wrong | {"PHONEBOT_DATA_DIR": str(tmp_path / "data"), "PHONEBOT_PORT": "1"})
    for name, variable in (
        ("Database", "PHONEBOT_DATABASE_URL"),
        ("Storage of calls", "PHONEBOT_STORAGE_URL"),
        ("Public URL", "PHONEBOT_PUBLIC_URL"),
        ("Twilio account", "TWILIO_API_URL"),
    ):
        (check,) = (check for check in report.checks if check.name == name)
        assert (check.state, check.sentence) == ("skipped", f"not looked at: {variable} is wrong")


async def test_the_worst_is_told_within_the_time_and_each_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        report = await looked(worst(tmp_path, other.sockets[0].getsockname()[1]))
    found = states(report)
    failed = {
        *("Settings", "Profiles file", "Functions", "Hooks", "Database", "Storage of calls", "Data folder"),
        *("Service", "Public URL", "Twilio account", "Model gateway"),
    }
    assert failed <= {name for name, state in found.items() if state == "failed"}
    assert all(check.remedy for check in report.checks if check.state in ("failed", "warning"))


def worst(folder: Path, taken_port: int) -> dict[str, str]:
    """Settings with which nothing works. At `taken_port` another program listens."""
    (folder / "numbers.toml").write_text(f'["{DESK}"]\ngreting = "Hello"\n[default]\nprompt = 7\n')
    return {
        "PHONEBOT_DATA_DIR": str(folder / "data"),
        "PHONEBOT_DATABASE_URL": "postgresql://phonebot:s3cr3t-of-the-database@127.0.0.1:1/phonebot",
        "PHONEBOT_PROFILES": str(folder / "numbers.toml"),
        "PHONEBOT_PUBLIC_URL": "https://no-such-name.invalid",
        "PHONEBOT_PORT": str(taken_port),
        "PHONEBOT_PROT": "8080",
        "PHONEBOT_DRAIN_S": "soon",
        "PHONEBOT_SECRET_KEY": "short",
        "PHONEBOT_TOOLS": "no_such_tools",
        "PHONEBOT_HOOKS": "no_such_hooks",
        "TWILIO_ACCOUNT_SID": "SK" + "1" * 32,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_API_URL": "http://127.0.0.1:1",
        "PHONEBOT_MODEL_URL": "ws://127.0.0.1:1",
        "PHONEBOT_MODEL_TOKEN": MODEL_KEY,
        "PHONEBOT_MODEL": "a-model-of-ours",
        "PHONEBOT_MAX_COST_PER_DAY_USD": "20",
    }
