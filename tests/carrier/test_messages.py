"""The reader against what the documentation says, what is seen on the wire, and what nobody should send."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonebot.carrier.messages import (
    MAX_MESSAGE_BYTES,
    Connected,
    Dtmf,
    Mark,
    Media,
    Message,
    Start,
    Stop,
    StreamReader,
    StreamWriter,
)
from phonebot.errors import CarrierError, StaleCarrierMessage, UnknownCarrierEvent

DOCUMENTED = Path(__file__).parents[2] / "fixtures" / "carrier" / "documented.jsonl"

STREAM_SID = "MZ" + "3" * 32
ACCOUNT_SID = "AC" + "2" * 32
CALL_SID = "CA" + "1" * 32
FRAME = base64.b64encode(b"\xff" * 160).decode()

Json = dict[str, Any]


def connected() -> Json:
    return {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def start(sequence: Any = "1") -> Json:
    return numbered(
        "start",
        sequence,
        {
            "streamSid": STREAM_SID,
            "accountSid": ACCOUNT_SID,
            "callSid": CALL_SID,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "single-use-token"},
        },
    )


def media(sequence: Any = "2", payload: Any = FRAME) -> Json:
    body = {"track": "inbound", "chunk": "1", "timestamp": "155", "payload": payload}
    return numbered("media", sequence, body)


def dtmf(sequence: Any = "2", digit: Any = "5") -> Json:
    return numbered("dtmf", sequence, {"track": "inbound_track", "digit": digit})


def mark(sequence: Any = "2", name: Any = "3:17") -> Json:
    return numbered("mark", sequence, {"name": name})


def stop(sequence: Any = "2") -> Json:
    return numbered("stop", sequence, {"accountSid": ACCOUNT_SID, "callSid": CALL_SID})


def numbered(event: str, sequence: Any, body: Json) -> Json:
    return {"event": event, "sequenceNumber": sequence, "streamSid": STREAM_SID, event: body}


def changed(message: Json, path: str, value: Any) -> Json:
    """The message with another value at the dotted `path`."""
    *parents, name = path.split(".")
    target = message
    for parent in parents:
        target = target[parent]
    target[name] = value
    return message


def without(message: Json, path: str) -> Json:
    *parents, name = path.split(".")
    target = message
    for parent in parents:
        target = target[parent]
    del target[name]
    return message


def receive(reader: StreamReader, *messages: Json) -> Message:
    """Send the messages; return the value of the last."""
    value = None
    for message in messages:
        value = reader.receive(json.dumps(message))
    assert value is not None, "receive() was given no message"
    return value


def connected_reader() -> StreamReader:
    reader = StreamReader()
    receive(reader, connected())
    return reader


def started_reader() -> StreamReader:
    reader = connected_reader()
    receive(reader, start())
    return reader


def stopped_reader() -> StreamReader:
    reader = started_reader()
    receive(reader, stop())
    return reader


def refusal(reader: StreamReader, message: Json | str | bytes) -> CarrierError:
    with pytest.raises(CarrierError) as caught:
        reader.receive(json.dumps(message) if isinstance(message, dict) else message)
    return caught.value


# ------------------------------------------------------------------------------------------- what is accepted


def test_a_documented_stream_is_read_message_by_message() -> None:
    reader = StreamReader()
    assert [reader.receive(line) for line in DOCUMENTED.read_text().splitlines()] == [
        Connected("Call", "1.0.0"),
        Start(
            sequence=1,
            stream_sid=STREAM_SID,
            account_sid=ACCOUNT_SID,
            call_sid=CALL_SID,
            tracks=("inbound",),
            encoding="audio/x-mulaw",
            sample_rate=8000,
            channels=1,
            parameters={"token": "single-use-token", "agent": "reception"},
        ),
        Media(sequence=2, chunk=1, timestamp_ms=155, payload=FRAME, track="inbound"),
        Media(3, 2, 174, base64.b64encode(b"\xff\x7f" * 80).decode()),
        Dtmf(sequence=4, digit="5"),
        Mark(sequence=5, name="3:17"),
        Stop(sequence=6, account_sid=ACCOUNT_SID, call_sid=CALL_SID),
    ]


def test_numbers_sent_as_json_numbers_read_the_same_as_decimal_strings() -> None:
    body = {"track": "inbound", "chunk": 1, "timestamp": 155, "payload": FRAME}
    assert receive(started_reader(), numbered("media", 2, body)) == Media(2, 1, 155, FRAME)


def test_a_media_format_sent_as_decimal_strings_reads_the_same_as_numbers() -> None:
    message = changed(
        start(), "start.mediaFormat", {"encoding": "audio/x-mulaw", "sampleRate": "8000", "channels": "1"}
    )
    assert receive(connected_reader(), message) == receive(connected_reader(), start())


def test_a_start_without_custom_parameters_has_none() -> None:
    value = receive(connected_reader(), without(start(), "start.customParameters"))
    assert isinstance(value, Start)
    assert value.parameters == {}


def test_unknown_fields_are_ignored_wherever_they_stand() -> None:
    message = changed(changed(media(), "newField", [{"a": None}]), "media.loudness", -12.5)
    assert receive(started_reader(), message) == Media(2, 1, 155, FRAME)


def test_the_order_of_the_keys_does_not_matter() -> None:
    message = dict(reversed(list(media().items())))
    assert list(message) == ["media", "streamSid", "sequenceNumber", "event"]
    assert receive(started_reader(), message) == Media(2, 1, 155, FRAME)


def test_a_gap_in_the_sequence_numbers_is_accepted() -> None:
    assert receive(started_reader(), media("2"), mark("90")) == Mark(90, "3:17")


def test_a_stream_may_count_from_0() -> None:
    reader = connected_reader()
    assert isinstance(receive(reader, start(0)), Start)
    assert receive(reader, mark(1)) == Mark(1, "3:17")


def test_a_count_may_be_as_large_as_a_json_number_is_exact_and_not_larger() -> None:
    assert receive(started_reader(), mark(2**53)) == Mark(2**53, "3:17")
    assert refusal(started_reader(), mark(2**53 + 1)).problem.endswith("- at `$.sequenceNumber`")


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_every_key_of_a_telephone_is_a_digit(digit: str) -> None:
    assert receive(started_reader(), dtmf(digit=digit)) == Dtmf(2, digit)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=1000))
def test_a_payload_of_any_length_passes_as_it_came(audio: bytes) -> None:
    payload = base64.b64encode(audio).decode()
    assert receive(started_reader(), media(payload=payload)) == Media(2, 1, 155, payload)


@pytest.mark.parametrize("filler", ["x", "é", "☎", "😀"])
def test_a_message_may_measure_the_limit_in_bytes_and_not_one_more(filler: str) -> None:
    def message_of(size: int) -> str:
        empty = json.dumps(mark(name=""), ensure_ascii=False)
        count, rest = divmod(size - len(empty), len(filler.encode()))
        return json.dumps(mark(name=filler * count + "x" * rest), ensure_ascii=False)

    assert len(message_of(MAX_MESSAGE_BYTES).encode()) == MAX_MESSAGE_BYTES
    assert isinstance(started_reader().receive(message_of(MAX_MESSAGE_BYTES)), Mark)
    assert refusal(started_reader(), message_of(MAX_MESSAGE_BYTES + 1)).problem == "longer than 65536 bytes"


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (json.dumps(media()).encode(), "a binary frame: a media stream has text frames only"),
        ("", "not JSON: Input data was truncated"),
        ("hello", "not JSON: JSON is malformed: invalid character (byte 0)"),
        ('{"event":"media"', "not JSON: Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ("{}", "Object missing required field `event`"),
        ('{"event":7}', "Expected `str` - at `$.event`"),
        ('{"event":"media","deep":' + "[" * 60_000, "nested too deeply"),
    ],
)
def test_what_is_no_message_at_all_is_refused(message: str | bytes, problem: str) -> None:
    error = refusal(started_reader(), message)
    assert (error.problem, error.event, error.sequence) == (problem, "message", None)


def test_text_that_has_no_utf_8_is_refused() -> None:
    assert refusal(started_reader(), '{"event":"\ud800"}').problem.startswith(
        "not JSON: 'utf-8' codec can't encode"
    )


@pytest.mark.parametrize("path", ["protocol", "version"])
def test_a_connected_message_that_lacks_a_field_is_refused(path: str) -> None:
    error = refusal(StreamReader(), without(connected(), path))
    assert (error.problem, error.event) == (f"Object missing required field `{path}`", "connected")


@pytest.mark.parametrize(
    "path",
    [
        "sequenceNumber",
        "streamSid",
        "start",
        "start.streamSid",
        "start.accountSid",
        "start.callSid",
        "start.tracks",
        "start.mediaFormat",
        "start.mediaFormat.encoding",
        "start.mediaFormat.sampleRate",
        "start.mediaFormat.channels",
    ],
)
def test_a_start_message_that_lacks_a_field_is_refused(path: str) -> None:
    error = refusal(connected_reader(), without(start(), path))
    assert error.problem.startswith(f"Object missing required field `{path.split('.')[-1]}`")
    assert error.event == "start"


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (media, "sequenceNumber"),
        (media, "streamSid"),
        (media, "media"),
        (media, "media.track"),
        (media, "media.chunk"),
        (media, "media.timestamp"),
        (media, "media.payload"),
        (dtmf, "dtmf"),
        (dtmf, "dtmf.digit"),
        (mark, "mark"),
        (mark, "mark.name"),
        (stop, "stop"),
        (stop, "stop.accountSid"),
        (stop, "stop.callSid"),
    ],
)
def test_a_message_that_lacks_a_field_is_refused(message: Any, path: str) -> None:
    error = refusal(started_reader(), without(message(), path))
    assert error.problem.startswith(f"Object missing required field `{path.split('.')[-1]}`")
    assert error.event == message()["event"]


@pytest.mark.parametrize("path", ["sequenceNumber", "media.chunk", "media.timestamp"])
@pytest.mark.parametrize(
    "value",
    [None, True, [], {}, 1.5, "1.5", -1, "-1", "", " 2", "+2", "0x2", "1_0", "two", "٣", 10**30, "9" * 5000],
)
def test_what_is_neither_a_number_nor_decimal_text_is_refused_as_a_count(path: str, value: Any) -> None:
    error = refusal(started_reader(), changed(media(), path, value))
    assert error.problem.endswith(f"- at `$.{path}`")
    assert error.event == "media"


@pytest.mark.parametrize("path", ["streamSid", "media.payload", "media.track"])
@pytest.mark.parametrize("value", [None, True, 5, [], {}])
def test_what_is_no_text_is_refused_as_text(path: str, value: Any) -> None:
    error = refusal(started_reader(), changed(media(), path, value))
    assert error.problem.startswith("Expected `str`, got")
    assert (error.event, error.sequence) == ("media", 2)


@pytest.mark.parametrize("sid", ["", "M" * 65])
def test_a_sid_that_is_empty_or_very_long_is_refused(sid: str) -> None:
    assert refusal(connected_reader(), changed(start(), "start.callSid", sid)).problem.endswith(
        "at `$.start.callSid`"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [("encoding", "audio/x-alaw"), ("encoding", "audio/l16"), ("sampleRate", 16000), ("channels", 2)],
)
def test_audio_of_another_format_is_refused_at_the_start(path: str, value: Any) -> None:
    error = refusal(connected_reader(), changed(start(), f"start.mediaFormat.{path}", value))
    assert str(error) == "start 1: the media format is not audio/x-mulaw, 8000 Hz, 1 channel"


def test_a_start_message_that_names_two_streams_is_refused() -> None:
    error = refusal(connected_reader(), changed(start(), "start.streamSid", "MZ" + "4" * 32))
    assert str(error) == "start 1: names two stream sids"


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "A",
        "AA",
        "AAA",
        "AAAAA",
        "A===",
        "====",
        "==",
        "=AAA",
        "AA=A",
        "A=A=",
        "AAA=AAAA",
        "AA A",
        "AAA\n",
        "AA-_",
        "AAAé",
    ],
)
def test_a_payload_that_cannot_be_base64_is_refused(payload: str) -> None:
    error = refusal(started_reader(), media(payload=payload))
    assert str(error) == "media 2: the payload is not base64"


def test_the_audio_of_another_track_than_the_callers_is_refused() -> None:
    error = refusal(started_reader(), changed(media(), "media.track", "outbound"))
    assert str(error) == "media 2: the track is not inbound"


@pytest.mark.parametrize("digit", ["", "12", "E", "a", "٣"])
def test_what_is_no_key_of_a_telephone_is_refused_as_a_digit(digit: str) -> None:
    assert str(refusal(started_reader(), dtmf(digit=digit))) == "dtmf 2: the digit is not one of 0-9, *, #, A-D"


@pytest.mark.parametrize("message", [media, dtmf, mark, stop])
def test_a_message_of_another_stream_is_refused(message: Any) -> None:
    error = refusal(started_reader(), changed(message(), "streamSid", "MZ" + "4" * 32))
    assert error.problem == "the stream sid is not that of the start message"


@pytest.mark.parametrize("sequence", ["5", "4", "1", "0"])
def test_a_sequence_number_that_does_not_grow_is_refused(sequence: str) -> None:
    reader = started_reader()
    receive(reader, media("5"))
    error = refusal(reader, mark(sequence))
    assert str(error) == f"mark {sequence}: the sequence number does not grow: the last was 5"
    assert isinstance(error, StaleCarrierMessage)
    assert error.harmless


# ------------------------------------------------------------------------------------------- order

EVERY_MESSAGE = {"connected": connected, "start": start, "media": media, "dtmf": dtmf, "mark": mark, "stop": stop}


@pytest.mark.parametrize(
    ("reader", "expected", "problem"),
    [
        (StreamReader, {"connected"}, "out of order: connected comes first"),
        (connected_reader, {"start"}, "out of order: start comes next"),
        (started_reader, {"media", "dtmf", "mark", "stop"}, "out of order: the stream has started already"),
        (stopped_reader, set(), "out of order: the stream has stopped"),
    ],
)
@pytest.mark.parametrize("event", EVERY_MESSAGE)
def test_a_message_is_accepted_in_its_place_only(reader: Any, expected: set[str], problem: str, event: str) -> None:
    message = EVERY_MESSAGE[event]()
    if event in expected:
        receive(reader(), message)
    else:
        error = refusal(reader(), message)
        assert (error.problem, error.event) == (problem, event)


@pytest.mark.parametrize("reader", [StreamReader, connected_reader, started_reader, stopped_reader])
def test_an_unknown_event_is_told_apart_at_any_time(reader: Any) -> None:
    error = refusal(reader(), numbered("transcription", "7", {"text": "hello"}))
    assert isinstance(error, UnknownCarrierEvent)
    assert (error.event, error.sequence) == ("transcription", 7)


@pytest.mark.parametrize("event", [connected, start, media, dtmf, mark, stop])
def test_a_malformed_message_of_a_known_event_is_no_unknown_event(event: Any) -> None:
    error = refusal(started_reader(), {"event": event()["event"], "sequenceNumber": "2"})
    assert type(error) is CarrierError


def test_a_refused_message_leaves_the_reader_as_it_was() -> None:
    reader = StreamReader()
    refusal(reader, start())
    receive(reader, connected())
    refusal(reader, changed(start(), "start.mediaFormat.channels", 2))
    receive(reader, start())
    refusal(reader, media("900", payload="not base64"))
    refusal(reader, changed(stop("901"), "streamSid", "MZ" + "4" * 32))
    refusal(reader, numbered("news", "902", {}))
    assert receive(reader, media("2")) == Media(2, 1, 155, FRAME)


# ------------------------------------------------------------------------------------------- strangers

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
paths = st.sampled_from(
    [
        "event",
        "sequenceNumber",
        "streamSid",
        "media",
        "media.track",
        "media.chunk",
        "media.timestamp",
        "media.payload",
    ]
)


@settings(deadline=None)
@given(st.text() | st.binary())
def test_any_text_and_any_bytes_are_refused(message: str | bytes) -> None:
    refusal(started_reader(), message)


@settings(deadline=None)
@given(paths, any_json)
def test_a_media_message_with_anything_in_one_place_is_read_or_refused_in_one_line(path: str, value: Any) -> None:
    message = json.dumps(changed(media(), path, value))
    try:
        outcome = repr(started_reader().receive(message))
    except CarrierError as error:
        outcome = str(error)
    assert outcome.isprintable()
    assert len(outcome) < 1000


@pytest.mark.parametrize("event", ["line\nbreak", "x" * 60_000, "\x1b[31m"])
def test_an_event_name_made_to_spoil_a_log_is_cut_and_escaped(event: str) -> None:
    error = refusal(started_reader(), {"event": event})
    assert isinstance(error, UnknownCarrierEvent)
    assert str(error).isprintable()
    assert len(str(error)) < 200


@pytest.mark.parametrize("second", ['"mark"', '"news"', "5"])
def test_a_second_event_field_does_not_spoil_a_log(second: str) -> None:
    unreadable = json.dumps("\n" * 30_000)
    error = refusal(started_reader(), f'{{"event":{unreadable},"event":{second}}}')
    assert str(error).isprintable()
    assert len(str(error)) < 500


@pytest.mark.parametrize("path", ["sequenceNumber", "streamSid", "start.tracks", "start.mediaFormat.encoding"])
def test_a_refused_start_does_not_give_away_the_token(path: str) -> None:
    error = refusal(connected_reader(), changed(start(), path, "single-use-token"))
    assert "single-use-token" not in str(error) + repr(error)


def test_a_refused_parameter_does_not_give_away_its_name_or_value() -> None:
    error = refusal(connected_reader(), changed(start(), "start.customParameters", {"single-use-token": 5}))
    assert str(error) == "start 1: Expected `str`, got `int` - at `$.start.customParameters[...]`"


# ------------------------------------------------------------------------------------------- values


def test_the_repr_of_a_start_names_its_parameters_without_their_values() -> None:
    value = receive(connected_reader(), start())
    assert "token" in repr(value)
    assert "single-use-token" not in repr(value)


def test_the_repr_of_a_digit_does_not_tell_it() -> None:
    assert repr(Dtmf(2, "7")) == "Dtmf(sequence=2)"


def test_a_message_is_logged_with_its_name_and_without_defaults() -> None:
    assert msgspec.json.encode(Media(2, 1, 155, "/w==")) == (
        b'{"is":"Media","sequence":2,"chunk":1,"timestamp_ms":155,"payload":"/w=="}'
    )


def test_every_message_comes_back_from_the_log_as_it_went_in() -> None:
    reader = StreamReader()
    for line in DOCUMENTED.read_text().splitlines():
        value = reader.receive(line)
        assert msgspec.json.decode(msgspec.json.encode(value), type=Message) == value


# ------------------------------------------------------------------------------------------- writing


def test_the_writer_sends_exactly_the_documented_fields() -> None:
    writer = StreamWriter(STREAM_SID)
    assert writer.media("fn5+fn5+") == (
        f'{{"event":"media","streamSid":"{STREAM_SID}","media":{{"payload":"fn5+fn5+"}}}}'
    )
    assert writer.mark("3:17") == f'{{"event":"mark","streamSid":"{STREAM_SID}","mark":{{"name":"3:17"}}}}'
    assert writer.clear() == f'{{"event":"clear","streamSid":"{STREAM_SID}"}}'


@settings(deadline=None)
@given(sid=st.text(), text=st.text())
def test_no_text_breaks_out_of_its_place_in_a_message(sid: str, text: str) -> None:
    writer = StreamWriter(sid)
    assert json.loads(writer.media(text)) == {"event": "media", "streamSid": sid, "media": {"payload": text}}
    assert json.loads(writer.mark(text)) == {"event": "mark", "streamSid": sid, "mark": {"name": text}}
    assert json.loads(writer.clear()) == {"event": "clear", "streamSid": sid}
