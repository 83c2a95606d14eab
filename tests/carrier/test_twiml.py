"""TwiML as an XML parser reads it, and what the carrier would refuse."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonebot.carrier.twiml import (
    CONTENT_TYPE,
    MAX_DOCUMENT_BYTES,
    ask_for_key,
    connect_stream,
    hang_up,
    meet,
    put_through,
    redirect,
    say_and_hang_up,
    whisper,
)

STREAM_URL = "wss://bot.example.com/twilio/media"
ACTION_URL = "https://bot.example.com/twilio/after"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

xml_text = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=200)


def parameters_of(document: str) -> dict[str, str]:
    return {parameter.attrib["name"]: parameter.attrib["value"] for parameter in parsed(document).iter("Parameter")}


def parsed(document: str) -> ElementTree.Element:
    return ElementTree.fromstring(document.encode())


def test_twiml_is_sent_as_xml() -> None:
    assert CONTENT_TYPE == "text/xml; charset=utf-8"


# ------------------------------------------------------------------------------------------- connect


def test_a_call_is_connected_to_the_stream_and_then_to_the_action() -> None:
    assert connect_stream(STREAM_URL, ACTION_URL, {"token": "t0k3n", "agent": "reception"}) == (
        f'{DECLARATION}<Response><Connect action="{ACTION_URL}" method="POST"><Stream url="{STREAM_URL}">'
        '<Parameter name="token" value="t0k3n" /><Parameter name="agent" value="reception" />'
        "</Stream></Connect></Response>"
    )


def test_the_stream_reports_its_status_where_it_is_told_to() -> None:
    waiting = connect_stream(STREAM_URL, ACTION_URL, {}, say=("Einen Moment.", "de-DE"))
    assert '<Response><Say language="de-DE">Einen Moment.</Say><Connect ' in waiting
    document = connect_stream(STREAM_URL, ACTION_URL, {}, "https://bot.example.com/twilio/stream?a=1&b=2")
    stream = parsed(document).find("Connect/Stream")
    assert stream is not None
    assert stream.attrib == {
        "url": STREAM_URL,
        "statusCallback": "https://bot.example.com/twilio/stream?a=1&b=2",
        "statusCallbackMethod": "POST",
    }


@settings(deadline=None)
@given(xml_text, st.text(st.sampled_from("<>&\"'\t\n\r"), max_size=50))
def test_a_parameter_comes_back_as_it_was_whatever_it_holds(text: str, markup: str) -> None:
    assert parameters_of(connect_stream(STREAM_URL, ACTION_URL, {"p": text + markup})) == {"p": text + markup}


def test_a_parameter_may_have_499_characters_with_its_name_and_not_500() -> None:
    fits = {"token": "ü" * 494}
    assert parameters_of(connect_stream(STREAM_URL, ACTION_URL, fits)) == fits
    with pytest.raises(ValueError, match="'token' and its value have 500 characters; at most 499 are allowed"):
        connect_stream(STREAM_URL, ACTION_URL, {"token": "ü" * 495})


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"": "x"}, "a stream parameter has no name"),
        ({"token": "secret\x00"}, "the stream parameter 'token' holds a character that XML cannot"),
        ({"token": "\ud800"}, "the stream parameter 'token' holds a character that XML cannot"),
        ({"a\x1b": "x"}, "holds a character that XML cannot"),
    ],
)
def test_a_parameter_that_twiml_cannot_carry_is_an_error_that_keeps_its_value(
    parameters: dict[str, str], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        connect_stream(STREAM_URL, ACTION_URL, parameters)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["wss://h/", "wss://h:8443/a", "ws://127.0.0.1:8080/a", "ws://[::1]:8080/a", "ws://localhost/a"]
)
def test_a_stream_url_is_wss_or_on_loopback_ws(url: str) -> None:
    stream = parsed(connect_stream(url, ACTION_URL, {})).find("Connect/Stream")
    assert stream is not None
    assert stream.attrib["url"] == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "is not a URL"),
        ("wss://h/a b", "is not a URL"),
        ("wss://h/\x00", "is not a URL"),
        ("https://bot.example.com/a", "must begin with wss://"),
        ("bot.example.com/a", "must begin with wss://"),
        ("ws://bot.example.com/a", "must begin with wss://"),
        ("ws://127.0.0.1.example.com/a", "must begin with wss://"),
        ("ws://localhost@bot.example.com/a", "must begin with wss://"),
        ("wss://", "names no host"),
        ("wss:///a", "names no host"),
        ("wss://h/a?token=1", "has a query or fragment"),
        ("wss://h/a?", "has a query or fragment"),
        ("wss://h/a#b", "has a query or fragment"),
    ],
)
def test_a_stream_url_that_the_carrier_would_not_dial_is_an_error(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        connect_stream(url, ACTION_URL, {})


@pytest.mark.parametrize("url", ["", "https://h/a b", "https://h/\n", "https://h/\ud800"])
def test_a_callback_that_is_no_url_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL"):
        connect_stream(STREAM_URL, url, {})
    with pytest.raises(ValueError, match="is not a URL"):
        connect_stream(STREAM_URL, ACTION_URL, {}, url)
    with pytest.raises(ValueError, match="is not a URL"):
        redirect(url)


# ------------------------------------------------------------------------------------------- the rest


def test_a_call_is_ended_without_a_word() -> None:
    assert hang_up() == f"{DECLARATION}<Response><Hangup /></Response>"


@pytest.mark.parametrize("say", ["", " \n", "\x00"])
def test_nothing_is_said_where_there_is_nothing_to_say(say: str) -> None:
    assert hang_up(say) == say_and_hang_up(say) == hang_up()


def test_a_call_is_ended_with_a_sentence() -> None:
    document = f"{DECLARATION}<Response><Say>Salt &amp; pepper &lt;3</Say><Hangup /></Response>"
    assert hang_up("Salt & pepper <3") == say_and_hang_up("Salt & pepper <3") == document


def test_a_sentence_is_spoken_in_its_language() -> None:
    assert say_and_hang_up("Tschüss.", "de-DE") == (
        f'{DECLARATION}<Response><Say language="de-DE">Tschüss.</Say><Hangup /></Response>'
    )


@settings(deadline=None)
@given(st.text())
def test_any_sentence_makes_a_document_that_ends_the_call(say: str) -> None:
    assert [verb.tag for verb in parsed(say_and_hang_up(say))][-1] == "Hangup"


def test_characters_without_a_place_in_xml_are_left_out_of_a_sentence() -> None:
    assert hang_up("Good\x00bye\ud800.\uffff") == hang_up("Goodbye.")


def test_a_document_may_measure_the_limit_and_not_one_byte_more() -> None:
    room = MAX_DOCUMENT_BYTES - len(hang_up("x")) + 1
    assert len(hang_up("x" * room)) == MAX_DOCUMENT_BYTES
    with pytest.raises(ValueError, match="the TwiML has 64001 bytes; at most 64000 are allowed"):
        hang_up("x" * (room - 1) + "ü")


def test_a_call_is_redirected() -> None:
    assert redirect("https://bot.example.com/twilio/voice?a=1&b=2") == (
        f'{DECLARATION}<Response><Redirect method="POST">https://bot.example.com/twilio/voice?a=1&amp;b=2'
        "</Redirect></Response>"
    )


def test_a_call_is_put_through_to_a_number_or_a_sip_address() -> None:
    document = put_through("+15550100009", "https://a.example.com/x", say="Hi \x00", language="de-DE", ring_s=30)
    assert document.endswith(
        '<Response><Say language="de-DE">Hi</Say>'
        '<Dial action="https://a.example.com/x" method="POST" timeLimit="14400" timeout="30">'
        "<Number>+15550100009</Number></Dial>"
        "</Response>"
    )
    document = put_through("sip:desk@example.com", "https://a.example.com/x")
    assert "<Say" not in document
    assert "<Sip>sip:desk@example.com</Sip>" in document


def test_who_is_called_sees_the_number_and_hears_the_whisper_that_were_asked_for() -> None:
    document = put_through(
        "+15550100009",
        "https://a.example.com/x?a=1&b=2",
        limit_s=600,
        caller_id="+15550100002",
        whisper_url="https://a.example.com/w?t=1",
    )
    dial = parsed(document).find("Dial")
    assert dial is not None
    assert dial.attrib == {
        "action": "https://a.example.com/x?a=1&b=2",
        "method": "POST",
        "timeout": "20",
        "timeLimit": "600",
        "callerId": "+15550100002",
    }
    assert dial[0].attrib == {"url": "https://a.example.com/w?t=1", "method": "POST"}


def test_two_meet_in_a_room_that_ends_with_either_of_them() -> None:
    assert meet("desk-1", ACTION_URL, limit_s=600).endswith(
        f'<Response><Dial action="{ACTION_URL}" method="POST" timeLimit="600"><Conference beep="false" '
        'endConferenceOnExit="true" maxParticipants="2" startConferenceOnEnter="true">desk-1</Conference></Dial>'
        "</Response>"
    )
    assert "action" not in meet("desk-1")


def test_a_key_is_asked_for_twice_and_then_the_call_ends() -> None:
    asks = (
        f'<Gather action="{ACTION_URL}" finishOnKey="" input="dtmf" method="POST" numDigits="1" timeout="5">'
        '<Say language="de-DE">1 or 2?</Say></Gather>'
    )
    document = ask_for_key("1 or 2?", ACTION_URL, language="de-DE")
    assert document.endswith(f"<Response>{asks}{asks}<Hangup /></Response>")


def test_a_whisper_says_what_it_is_told_to() -> None:
    assert whisper("A caller.\x00").endswith("<Response><Say>A caller.</Say></Response>")
    assert whisper("").endswith("<Response />")
