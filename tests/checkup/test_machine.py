"""Python, the libraries and the extras."""

import pytest

from phonebot.checkup import machine
from phonebot.checkup.machine import demo_extra, libraries, python, requirements


def test_a_python_that_is_too_old_fails() -> None:
    assert python((3, 11, 0), "Python 3.11.0").state == "ok"
    old = python((3, 10, 9), "Python 3.10.9")
    assert (old.state, old.sentence.startswith("Python 3.10.9 on ")) == ("failed", True)
    assert "3.11" in old.remedy


def test_libraries_that_are_missing_or_too_old_are_named() -> None:
    check = libraries(["aiohttp>=3.11", "websockets>=999.1", "no-such-library>=1", "alsonot>=1; extra == 'demo'"])
    assert check.state == "failed"
    assert check.sentence.startswith("websockets is ")
    assert check.sentence.endswith(", older than 999.1; no-such-library is missing")
    assert "pip install" in check.remedy


def test_what_is_installed_here_is_what_phonebot_needs() -> None:
    check = libraries(requirements())
    assert (check.state, "websockets" in check.sentence) == ("ok", True)


def test_the_extra_counts_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo_extra(needed=True).state == "ok"
    monkeypatch.setattr(machine, "DEMO", {"no_such_module": "no-such-module"})
    missing = demo_extra(needed=True)
    assert (missing.state, missing.sentence) == ("failed", "no-such-module missing")
    assert "phonebot[demo]" in missing.remedy
    assert demo_extra(needed=False).state == "skipped"
