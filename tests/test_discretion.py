"""What may be read in a log."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from phonebot.deployment import secrets_of
from phonebot.discretion import NOT_SHOWN, DiscreetFormatter, Form, Level, Personal, set_up_logging, without_numbers
from phonebot.errors import StoreUnavailable
from phonebot.log_context import within_call
from phonebot.settings import load

SECRET = "sk-very-secret-0123456789"
SAID = "he said lobster"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("phonebot")
    before = root.level, list(root.handlers), ours.level, logging.getLogger("alembic").level
    yield
    root.handlers[:] = before[1]
    root.setLevel(before[0])
    ours.setLevel(before[2])
    logging.getLogger("alembic").setLevel(before[3])
    Personal.shown = False


FORMS: tuple[Form, ...] = get_args(Form)


def logged(
    level: Level = "debug", personal: bool = False, form: Form = "text", secret: str = SECRET
) -> io.StringIO:
    """What is logged from now on."""
    stream = io.StringIO()
    set_up_logging(level, [secret, "short"], personal, stream, form)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    """What was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from +15550100001.", "from +1555***0001."),
        ("'+15550100001' opts out", "'+1555***0001' opts out"),
        ("number=%2B15550100001&x", "number=%2B1555***0001&x"),
        ("to +4930123456", "to +49***56"),
        ("5550100001 called", "55***01 called"),
        ("sip:ada@example.com;x=1", "sip:***@example.com;x=1"),
        ("call 'CA11111111111111111111111111111111'", "call 'CA11111111111111111111111111111111'"),
        ("2026-11-27 13:34:31,123 took 1048576 bytes", "2026-11-27 13:34:31,123 took 1048576 bytes"),
        ("http://127.0.0.1:8080/x?y=12345", "http://127.0.0.1:8080/x?y=12345"),
    ],
)
def test_numbers_of_callers_show_their_ends_alone_and_other_figures_are_whole(text: str, told: str) -> None:
    assert without_numbers(text) == told


@pytest.mark.parametrize(
    "line",
    [
        f"the key is {SECRET}",
        "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc",
        "GET /setup?token=InNldHVwIg.abcdefgh",
        "wss://gateway.example/v1?api_key=0123456789abcdef",
        "phonebot_0123456789abcdefghijklmnop",
        "X-Twilio-Signature: gfMPaa/Ca+BqSQDrUJ+Oy9pa71I=",
    ],
)
@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_secrets_are_in_no_line_whatever_is_allowed(line: str, personal: bool, form: Form) -> None:
    stream = logged(personal=personal, form=form)
    logging.getLogger("phonebot.any").warning("%s", line)
    logging.getLogger("of.a.library").warning("%s", line)
    with suppress(ValueError):
        _fail(line)
    told = stream.getvalue()
    assert "***" in told
    for secret in (SECRET, "e30.abc", "InNldHVwIg", "0123456789abcdef", "gfMPaa"):
        assert secret not in told


def test_the_name_of_a_setting_is_whole_in_what_says_that_it_is_wrong() -> None:
    remedy = "the database cannot be reached: check that it runs and that PHONEBOT_DATABASE_URL is right"
    stream = logged()
    logging.getLogger("phonebot.any").warning("%s", remedy)
    assert remedy in stream.getvalue()


def _fail(line: str) -> None:
    try:
        raise OSError(line)
    except OSError as error:
        logging.getLogger("phonebot.any").exception("it failed")
        raise ValueError(line) from error


@pytest.mark.parametrize("form", FORMS)
def test_what_callers_say_is_shown_at_debug_and_only_where_it_is_allowed(form: Form) -> None:
    """Numbers, what stands for personal data, and what exceptions quote."""
    levels: tuple[Level, ...] = ("debug", "info")
    for level in levels:
        for personal in (False, True):
            stream = logged(level, personal, form)
            log = logging.getLogger("phonebot.any")
            try:
                raise ValueError(SAID)
            except ValueError:
                log.exception("of +15550100001: %s", Personal(SAID))
            told = stream.getvalue()
            if level == "debug" and personal:
                assert "of +15550100001: he said lobster" in told
                assert "ValueError: he said lobster" in told
            else:
                assert f"of +1555***0001: {NOT_SHOWN}" in told
                assert f"builtins.ValueError: {NOT_SHOWN}" in told
                assert "test_discretion.py" in told  # where it was raised
            assert ("lobster" in told) == (level == "debug" and personal)


def test_what_is_wrong_with_the_system_or_the_store_is_told_in_full() -> None:
    stream = logged()
    log = logging.getLogger("phonebot.any")
    for error in (OSError(28, "No space left on device"), StoreUnavailable("the database is away")):
        try:
            raise error
        except type(error):
            log.exception("it failed")
    assert "No space left on device" in stream.getvalue()
    assert "the database is away" in stream.getvalue()


def test_exceptions_are_told_with_those_that_led_to_them_and_those_within_a_group() -> None:
    stream = logged()
    log = logging.getLogger("phonebot.any")

    def chained() -> None:
        try:
            try:
                raise KeyError(SAID)
            except KeyError as error:
                raise RuntimeError(SAID) from error
        except RuntimeError:
            raise ExceptionGroup(SAID, [ValueError(SAID), OSError("plain")])  # noqa: B904

    try:
        chained()
    except ExceptionGroup:
        log.exception("it failed")
    told = stream.getvalue()
    assert "lobster" not in told.replace('("lobster', "")  # but for the lines of the source
    for name in ("KeyError", "RuntimeError", "ExceptionGroup", "ValueError", "OSError: plain"):
        assert name in told


def test_libraries_log_at_info_at_most_for_below_that_some_write_what_they_send() -> None:
    stream = logged("debug")
    logging.getLogger("phonebot.any").debug("ours")
    logging.getLogger("websockets.client").debug("> Authorization: theirs")
    assert ("ours" in stream.getvalue(), "theirs" in stream.getvalue()) == (True, False)


def test_a_record_that_another_handler_has_formatted_is_formatted_anew() -> None:
    try:
        raise ValueError(SAID)
    except ValueError as error:
        record = logging.LogRecord("phonebot", logging.ERROR, "", 0, "it failed", (), (ValueError, error, None))
    assert "lobster" in logging.Formatter().format(record)
    assert "lobster" not in DiscreetFormatter().format(record)


def test_the_secrets_of_a_deployment_are_all_that_are_secret_in_its_settings() -> None:
    settings = load(
        {
            "PHONEBOT_SECRET_KEY": "the secret key",
            "PHONEBOT_ADMIN_PASSWORD": "the admin password",
            "PHONEBOT_DATABASE_URL": "postgresql://phonebot:p%40ssword@db/phonebot",
            "TWILIO_AUTH_TOKEN": "the auth token",
            "OPENAI_API_KEY": "the openai key",
            "AZURE_OPENAI_API_KEY": "the azure key",
            "AZURE_OPENAI_AD_TOKEN": "the azure token",
            "PHONEBOT_MODEL_URL": "wss://gateway.example/v1?api_key=gateway-key",
            "PHONEBOT_SECRET_CRM": "the crm secret",
        },
        env_file=None,
    )
    assert set(secrets_of(settings)) >= {
        *("the secret key", "the admin password", "p@ssword", "p%40ssword", "the auth token", "the openai key"),
        *("the azure key", "the azure token", "gateway-key", "the crm secret"),
    }


# ------------------------------------------------------------------------------------------- as JSON


def test_a_line_of_json_has_its_time_level_logger_and_message_and_its_call_if_it_has_one() -> None:
    stream, log = logged(form="json"), logging.getLogger("of.a.library")
    log.warning("it took %d s", 3)
    with within_call("CA" + "1" * 32):
        log.error('two\nlines, "quoted", and half a pair \ud800')
    alone, of_call = lines(stream)
    said = datetime.fromisoformat(alone.pop("time"))
    assert said.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - said) < timedelta(minutes=1)
    assert alone == {"level": "warning", "logger": "of.a.library", "message": "it took 3 s"}
    assert of_call["call_sid"] == "CA" + "1" * 32
    assert of_call["message"] == 'two\nlines, "quoted", and half a pair ?'


def test_what_was_raised_is_in_the_line_itself() -> None:
    stream = logged(form="json")
    with suppress(ValueError):
        _fail("a disk is full")
    (line,) = lines(stream)
    assert line["message"] == "it failed"
    assert line["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert line["exception"].splitlines()[-1] == "builtins.OSError: a disk is full"


def test_a_secret_that_json_writes_otherwise_is_hidden_as_well() -> None:
    stream = logged(form="json", secret='quote"back\\slash')
    logging.getLogger("phonebot.any").error('the key is quote"back\\slash')
    (line,) = lines(stream)
    assert line["message"] == "the key is ***"
