"""The plugin: pytest as an operator runs it, in a repository of his own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsed import interrupted, saved
from service_driver import environment

from phonebot.replay.archive import pack

pytestmark = pytest.mark.slow

PLUGIN = "phonebot.replay.pytest_plugin"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two recorded calls, one of them zipped, and a test."""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = -p {PLUGIN} -p no:cacheprovider\n")
    (tmp_path / "test_something.py").write_text("def test_something(): pass\n")
    saved(tmp_path / "fixtures" / "calls" / "interrupted", interrupted())
    pack(
        saved(tmp_path / "elsewhere" / "zipped", interrupted()),
        tmp_path / "fixtures" / "calls" / "from-the-phone.zip",
    )
    return tmp_path


def pytest_in(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output, without the plugins that this project's own tests need."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *arguments],
        cwd=folder,
        env=environment(PYTHONDONTWRITEBYTECODE="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_each_recorded_call_is_a_test_beside_the_others(repository: Path) -> None:
    code, output = pytest_in(repository)
    assert code == 0
    for name in (
        "fixtures/calls::interrupted",
        "fixtures/calls::from-the-phone",
        "test_something.py::test_something",
    ):
        assert f"{name} PASSED" in output
    assert "3 passed" in output


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["fixtures/calls"], "2 passed"),
        (["fixtures/calls/interrupted"], "1 passed"),
        (["fixtures/calls/from-the-phone.zip"], "1 passed"),
        (["test_something.py"], "1 passed"),
        (["-k", "phone"], "1 passed, 2 deselected"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_calls_are_chosen_as_other_tests_are(repository: Path, arguments: list[str], passed: str) -> None:
    code, output = pytest_in(repository, *arguments)
    assert (code, passed in output) == (0, True), output


def test_a_call_that_differs_fails_with_the_difference(repository: Path) -> None:
    (repository / "conftest.py").write_text(
        "from phonebot.call.items import Items\nItems._truncate = lambda *_: []  # something else\n"
    )
    code, output = pytest_in(repository)
    assert (code, "2 failed, 1 passed" in output) == (1, True), output
    assert "the call does something else than the log says (- then, + now):" in output
    assert "- tell the model: truncate item_" in output
    assert "Traceback" not in output


def test_a_call_that_is_not_as_expected_fails_with_a_sentence(repository: Path) -> None:
    (repository / "fixtures" / "calls" / "interrupted" / "expected.toml").write_text('outcome = "time_limit"\n')
    code, output = pytest_in(repository)
    assert code == 1
    assert "the outcome is caller_hung_up, expected was time_limit" in output


def test_a_log_that_cannot_be_read_fails_with_a_sentence(repository: Path) -> None:
    (repository / "fixtures" / "calls" / "interrupted" / "call.json").unlink()
    (repository / "fixtures" / "calls" / "no-zip.zip").write_bytes(b"PK")
    code, output = pytest_in(repository)
    assert (code, "2 failed, 2 passed" in output) == (1, True), output
    assert "call.json: there is no such file" in output
    assert "no-zip.zip: no zip file that can be read" in output
    assert "Traceback" not in output


def test_the_folder_is_a_setting(repository: Path) -> None:
    (repository / "fixtures" / "calls").rename(repository / "recorded")
    assert "1 passed" in pytest_in(repository)[1]
    with (repository / "pytest.ini").open("a") as settings:
        settings.write("phonebot_calls = recorded\n")
    assert "3 passed" in pytest_in(repository)[1]


def test_the_examples_of_the_document_pass(repository: Path) -> None:
    """Each is taken from docs/replay.md and run against the demo's profiles."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "replay.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for number, example in enumerate(examples):
        (repository / f"test_example_{number}.py").write_text(example)
    shutil.copy(ROOT / "fixtures" / "demo" / "numbers.toml", repository)
    with (repository / "pytest.ini").open("a") as settings:
        settings.write("phonebot_profiles = numbers.toml\n")
    code, output = pytest_in(repository, *(f"test_example_{number}.py" for number in range(3)))
    assert (code, "3 passed" in output) == (0, True), output


def test_the_page_on_testing_tells_of_tests_that_pass(tmp_path: Path) -> None:
    """docs/testing.md: each block begins with the name of its file."""
    page = (ROOT / "docs" / "testing.md").read_text()
    files = re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in files] == ["numbers.toml", "pyproject.toml", "test_trattoria.py"]
    for name, text in files:
        (tmp_path / name).write_text(text)
    code, output = pytest_in(tmp_path, "-p", PLUGIN, "-p", "no:cacheprovider")
    assert (code, "2 passed" in output) == (0, True), output


@pytest.fixture
def phone_setting(repository: Path) -> Path:
    """The repository with the service as the phone's other side, and a test that holds with no other."""
    (repository / "test_phone.py").write_text(
        "def test_it(phone):\n"
        "    phone.profile(greeting='Hello')\n"
        "    phone.dial()\n"
        "    phone.expect_heard('Hello')\n"
        "    assert type(phone._line).__name__ == 'ServiceLine'\n"
    )
    with (repository / "pytest.ini").open("a") as settings:
        settings.write("phonebot_phone = service\n")
    return repository


def test_the_phone_is_a_setting(phone_setting: Path) -> None:
    code, output = pytest_in(phone_setting, "test_phone.py")
    assert (code, "1 passed" in output) == (0, True), output


def test_the_command_line_outweighs_the_phone_of_the_settings(phone_setting: Path) -> None:
    code, output = pytest_in(phone_setting, "test_phone.py", "--phone", "core")
    assert (code, "1 failed" in output, "ServiceLine" in output) == (1, True, True), output


def test_profiles_that_are_set_and_not_there_are_an_error(repository: Path) -> None:
    (repository / "test_phone.py").write_text("def test_it(phone): phone.dial()\n")
    with (repository / "pytest.ini").open("a") as settings:
        settings.write("phonebot_profiles = nowhere.toml\n")
    code, output = pytest_in(repository, "test_phone.py")
    assert (code, "nowhere.toml: there is no such file" in output) == (1, True), output


def test_a_folder_that_is_set_and_not_there_is_an_error(repository: Path) -> None:
    with (repository / "pytest.ini").open("a") as settings:
        settings.write("phonebot_calls = nowhere\n")
    code, output = pytest_in(repository)
    assert code == 4
    assert "phonebot_calls: there is no folder" in output
