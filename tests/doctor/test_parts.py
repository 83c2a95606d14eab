"""What the settings name: functions, hooks, recordings, prices, providers."""

from pathlib import Path

import pytest

from phonebot.doctor.parts import Parts, parts_of
from phonebot.settings import load


def made(**given: str) -> Parts:
    environ = {f"PHONEBOT_{name.upper()}": value for name, value in given.items()}
    return parts_of(load(environ | {"OPENAI_API_KEY": "sk-x"}, None))


def test_what_is_not_named_has_no_check() -> None:
    parts = made()
    assert (parts.checks, [each.name for each in parts.providers]) == ([], ["openai"])
    assert parts.known is not None


def test_what_is_named_and_there_is_told() -> None:
    parts = made(tools="call_tools", hooks="call_hooks", model_providers="openai")
    assert [(check.name, check.state) for check in parts.checks] == [
        ("Functions", "ok"),
        ("Hooks", "ok"),
        ("Providers", "ok"),
    ]


@pytest.mark.parametrize(
    ("setting", "value", "name"),
    [
        ("tools", "no_such_module", "Functions"),
        ("hooks", "no_such_module", "Hooks"),
        ("hold_audio", "no-such-file.wav", "Hold audio"),
        ("clips", "no-such-folder", "Clips"),
        ("prices", "no-such-file.toml", "Price file"),
        ("model_providers", "elsewhere", "Providers"),
    ],
)
def test_what_is_named_and_not_there_fails_with_what_to_do(setting: str, value: str, name: str) -> None:
    (check,) = made(**{setting: value}).checks
    assert (check.name, check.state, value in check.sentence + check.remedy) == (name, "failed", True)


def test_a_broken_file_hides_no_other_part(tmp_path: Path) -> None:
    broken = tmp_path / "prices.toml"
    broken.write_text("models = 3")
    parts = made(prices=str(broken), tools="no_such_module")
    assert [check.name for check in parts.checks] == ["Functions", "Price file"]
    assert (parts.known, len(parts.providers), "gpt-realtime-2.1" in parts.prices.models) == (None, 1, True)
