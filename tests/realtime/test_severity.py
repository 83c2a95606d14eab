import pytest

from phonebot.realtime.events import ErrorDetail
from phonebot.realtime.severity import already_shorter_ms, close_meaning, close_severity, severity

SHORTER = "Audio content of 9250ms is already shorter than 57340ms"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ErrorDetail("...", code="response_cancel_not_active"), "harmless"),
        (ErrorDetail("...", code="conversation_already_has_active_response"), "harmless"),
        (ErrorDetail("...", code="input_audio_buffer_commit_empty"), "harmless"),
        (ErrorDetail("...", code="item_delete_invalid_item_id"), "harmless"),
        (ErrorDetail("...", code="unsupported_content_type"), "harmless"),
        (ErrorDetail("...", "invalid_request_error", "unknown_parameter", "session.speed"), "configuration"),
        (ErrorDetail("...", code="cannot_update_voice"), "configuration"),
        (ErrorDetail("...", code="invalid_value"), "configuration"),
        (ErrorDetail("...", code="rate_limit_exceeded"), "retry_response"),
        (ErrorDetail("...", "invalid_request_error", "inference_rate_limit_exceeded"), "retry_response"),
        (ErrorDetail("...", code="session_expired"), "reconnect"),
        (ErrorDetail("...", code="invalid_api_key"), "fatal"),
        (ErrorDetail("...", code="insufficient_quota"), "fatal"),
        (ErrorDetail("...", code="beta_api_shape_disabled"), "fatal"),
        (ErrorDetail("...", code="model_not_found"), "fatal"),
        (ErrorDetail("...", code="never_heard_of"), "configuration"),
        (ErrorDetail("..."), "configuration"),
    ],
)
def test_severity_follows_the_code(error: ErrorDetail, expected: str) -> None:
    assert severity(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ErrorDetail(SHORTER), "harmless"),
        (ErrorDetail(SHORTER, "invalid_request_error", "invalid_value"), "harmless"),
        (ErrorDetail("Only model output audio messages can be truncated"), "harmless"),
        (ErrorDetail("Conversation already has an active response: resp_1"), "harmless"),
        (ErrorDetail("Cancellation failed: no active response found"), "harmless"),
        (ErrorDetail("Error committing input audio buffer: buffer too small. Expected 100ms"), "harmless"),
        (ErrorDetail("The server had an error", "server_error"), "retry_response"),
        (ErrorDetail("Rate limit reached for tokens"), "retry_response"),
        (ErrorDetail("Your session hit the maximum duration of 60 minutes."), "reconnect"),
        (ErrorDetail("Incorrect API key provided"), "fatal"),
        (ErrorDetail("...", "insufficient_quota"), "fatal"),
    ],
)
def test_severity_without_a_telling_code_follows_the_words(error: ErrorDetail, expected: str) -> None:
    assert severity(error) == expected


def test_severity_trusts_a_telling_code_over_words() -> None:
    assert severity(ErrorDetail("rate limit", code="invalid_api_key")) == "fatal"


@pytest.mark.parametrize(
    ("message", "ms"),
    [
        (SHORTER, 9250),
        ("Audio content of 3700 ms is already shorter than 3760 ms", 3700),
        ("Audio content of 3700.5ms is already shorter than 3760ms", 3700),
        ("Audio content of 0ms is already shorter than 20ms", 0),
        ("Audio content of many ms is already shorter than 20ms", None),
        ("Invalid value", None),
    ],
)
def test_refused_truncation_tells_the_length_to_try(message: str, ms: int | None) -> None:
    assert already_shorter_ms(ErrorDetail(message, code="invalid_value")) == ms


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 4321])
def test_closed_session_is_worth_another_one(code: int) -> None:
    assert close_severity(code) == "reconnect"


@pytest.mark.parametrize("code", [1008, 3000, 4000])
def test_closed_session_that_was_refused_is_not(code: int) -> None:
    assert close_severity(code) == "fatal"


def test_close_meaning_reads_as_a_sentence() -> None:
    assert close_meaning(3000) == "it does not accept the key"
    assert close_meaning(4321) == "it ended the session for a reason of its own"
