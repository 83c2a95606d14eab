import base64
import json
from random import Random
from typing import Any

import pytest

from phonebot.simulator.carrier import SILENCE, Carrier, Clear, Oddities, StreamClock

SID = "MZ" + "3" * 32
LOUD = b"\x80"  # the loudest positive sample


class Timeline:
    """A started carrier; `at` moves its clock, with a silent caller, and hands it messages."""

    def __init__(self, oddities: Oddities | None = None) -> None:
        self.carrier = Carrier(oddities, Random(1))
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.next_tick_ms = 100
        self._keep(80, self.carrier.start(stream_sid=SID, account_sid="AC1", call_sid="CA1", parameters={"a": "b"}))

    def at(self, ms: float, *messages: str | bytes) -> "Timeline":
        """Messages that arrive at a frame boundary come just after the frame."""
        while self.next_tick_ms <= ms:
            self._keep(self.next_tick_ms, self.carrier.tick(self.next_tick_ms, SILENCE))
            self.next_tick_ms += 20
        for message in messages:
            self._keep(ms, self.carrier.receive(message, ms))
        return self

    @property
    def echoes(self) -> list[str]:
        return [f"{at_ms:g}:{fields['mark']['name']}" for at_ms, fields in self.sent if fields["event"] == "mark"]

    @property
    def reasons(self) -> list[str]:
        return [str(violation) for violation in self.carrier.violations]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for _, fields in self.sent if fields["event"] == name]

    def _keep(self, at_ms: float, messages: list[str]) -> None:
        self.sent += [(at_ms, json.loads(message)) for message in messages]


def media(size: int, byte: bytes = LOUD) -> str:
    payload = base64.b64encode(byte * size).decode()
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}})


def mark(name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": name}})


CLEAR = json.dumps({"event": "clear", "streamSid": SID})
TEN_SECONDS = 10_000


# ------------------------------------------------------------------ what the caller hears


def test_marks_between_pieces_come_back_as_each_piece_ends_and_a_clear_flushes_the_rest() -> None:
    line = Timeline()
    pieces = [media(3200), mark("p3200"), media(3200), mark("p6400"), media(3200), mark("p9600")]
    line.at(995, mark("b"), *pieces).at(1950, CLEAR, mark("fence")).at(TEN_SECONDS)
    assert line.echoes == ["995:b", "1400:p3200", "1800:p6400", "1950:p9600", "1960:fence"]
    assert line.carrier.heard_bytes() == 7680
    assert line.carrier.clears == [Clear(1950, 1920, ("p9600",))]


@pytest.mark.parametrize(
    ("short_frame", "echoes"), [("pad", ["1040:m250", "1340:m320"]), ("hold", ["1340:m250", "1340:m320"])]
)
def test_a_short_frame_is_padded_or_held_as_the_carrier_reads_its_documents(
    short_frame: Any, echoes: list[str]
) -> None:
    line = Timeline(Oddities(short_frame=short_frame))
    line.at(995, media(250), mark("m250")).at(1300, media(70), mark("m320")).at(TEN_SECONDS)
    assert line.echoes == echoes
    assert line.carrier.heard_bytes() == 320


def test_audio_after_an_underrun_starts_afresh_and_its_begin_mark_tells_when() -> None:
    line = Timeline().at(995, mark("b1"), media(3200), mark("a"))
    line.at(1995, mark("b2"), media(3200), mark("b")).at(2110, CLEAR, mark("fence")).at(TEN_SECONDS)
    assert line.echoes == ["995:b1", "1400:a", "1995:b2", "2110:b", "2120:fence"]
    assert line.carrier.heard_bytes() == 4160


def test_marks_on_an_empty_queue_come_back_at_once_and_a_clear_there_answers_nothing() -> None:
    line = Timeline().at(995, mark("x"), mark("x")).at(1001, CLEAR).at(1002, mark("y")).at(TEN_SECONDS)
    assert line.echoes == ["995:x", "995:x", "1002:y"]
    assert line.carrier.heard_bytes() == 0


def test_a_clear_during_one_item_drops_the_queued_item_behind_it() -> None:
    line = Timeline().at(995, mark("bA"), media(9600), mark("A")).at(1195, media(8000), mark("B"))
    line.at(1950, CLEAR, mark("fence")).at(TEN_SECONDS)
    assert line.echoes == ["995:bA", "1950:A", "1950:B", "1960:fence"]
    assert [piece.heard_bytes for piece in line.carrier.pieces] == [7680, 0]


def test_a_clear_just_after_a_mark_was_played_flushes_only_the_later_one() -> None:
    line = Timeline().at(995, media(3200), mark("p3200"), media(3200), mark("p6400"), media(3200), mark("p9600"))
    line.at(1805, CLEAR, mark("fence")).at(TEN_SECONDS)
    assert line.echoes == ["1400:p3200", "1800:p6400", "1805:p9600", "1820:fence"]
    assert line.carrier.heard_bytes() == 6560


def test_pieces_that_share_a_frame_are_each_credited_with_their_own_bytes_and_times() -> None:
    line = Timeline().at(1005, media(100), media(300), media(40)).at(TEN_SECONDS)
    assert [(piece.index, piece.arrived_ms, piece.heard_bytes) for piece in line.carrier.pieces] == [
        (0, 1005, 100),
        (1, 1005, 300),
        (2, 1005, 40),
    ]
    assert [(piece.began_ms, piece.ended_ms) for piece in line.carrier.pieces] == [
        (1020, 1032.5),
        (1032.5, 1070),
        (1070, 1075),
    ]


def test_the_played_frames_and_what_the_caller_hears_are_the_servers_bytes() -> None:
    line = Timeline().at(995, media(160, b"a"), media(10, b"b"))
    heard = []
    for now_ms in (1000, 1020, 1040):
        line.at(now_ms)
        heard.append(line.carrier.hearing)
    assert heard == [b"a" * 160, b"b" * 10 + b"\xff" * 150, SILENCE]
    assert [(frame.at_ms, frame.audio) for frame in line.carrier.frames] == [(1000, b"a" * 160), (1020, b"b" * 10)]


def test_the_longest_queue_is_remembered() -> None:
    line = Timeline().at(995, media(800), media(800)).at(1100, media(160)).at(TEN_SECONDS)
    assert line.carrier.most_buffered_bytes == 1600
    assert line.carrier.buffered_bytes == 0


# ------------------------------------------------------------------ what the carrier sends


def test_the_stream_opens_with_connected_and_start() -> None:
    carrier = Carrier()
    opening = carrier.start(stream_sid=SID, account_sid="AC1", call_sid="CA1", parameters={"token": "t"})
    assert [json.loads(message) for message in opening] == [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": SID,
            "start": {
                "streamSid": SID,
                "accountSid": "AC1",
                "callSid": "CA1",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"token": "t"},
            },
        },
    ]


def test_the_caller_is_sent_every_20_ms_with_his_own_bytes() -> None:
    carrier = Carrier()
    carrier.start(stream_sid=SID, account_sid="AC1", call_sid="CA1")
    carrier.tick(100, SILENCE)
    (message,) = carrier.tick(120, b"a" * 160)
    assert json.loads(message) == {
        "event": "media",
        "sequenceNumber": "3",
        "streamSid": SID,
        "media": {
            "track": "inbound",
            "chunk": "2",
            "timestamp": "120",
            "payload": base64.b64encode(b"a" * 160).decode(),
        },
    }


def test_a_key_and_the_end_are_sent_in_sequence_and_nothing_follows_the_end() -> None:
    carrier = Carrier()
    carrier.start(stream_sid=SID, account_sid="AC1", call_sid="CA1")
    (key,), (stop,) = carrier.dtmf("#"), carrier.stop()
    assert json.loads(key) == {
        "event": "dtmf",
        "sequenceNumber": "2",
        "streamSid": SID,
        "dtmf": {"track": "inbound_track", "digit": "#"},
    }
    assert json.loads(stop) == {
        "event": "stop",
        "sequenceNumber": "3",
        "streamSid": SID,
        "stop": {"accountSid": "AC1", "callSid": "CA1"},
    }
    assert [carrier.stop(), carrier.tick(100, SILENCE), carrier.dtmf("1"), carrier.receive(mark("m"), 110)] == [
        []
    ] * 4


def test_a_key_that_no_phone_has_is_refused() -> None:
    with pytest.raises(ValueError, match="'E' is no key"):
        Carrier().dtmf("E")


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="160 bytes of mu-law, this one 80"):
        Carrier().tick(100, b"\xff" * 80)


# ------------------------------------------------------------------ what the server does wrong


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x00", "31950: a binary message: only text is allowed"),
        ("{", "31951: not JSON: '{'"),
        ("[" * 100_000, f"31951: not JSON: '{'[' * 76}..."),
        ("[]", "31951: not a JSON object"),
        ('{"streamSid": "x"}', "31951: unknown event None: it must be media, mark or clear"),
        ('{"event": ["clear"]}', "31951: unknown event ['clear']: it must be media, mark or clear"),
        ('{"event": "hangup"}', "31951: unknown event 'hangup': it must be media, mark or clear"),
        ('{"event": "clear"}', "31951: clear: lacks 'streamSid'"),
        (CLEAR.replace(SID, "MZ9"), "31951: clear: streamSid 'MZ9' is not this stream"),
        (CLEAR[:-1] + ', "sequenceNumber": "3"}', "31951: clear: must not have 'sequenceNumber'"),
        (
            json.dumps({"event": "media", "streamSid": SID, "track": "outbound"}),
            "31951: media: lacks 'media' and must not have 'track'",
        ),
        (json.dumps({"event": "mark", "streamSid": SID, "mark": "m"}), "31951: mark: mark is not an object"),
        (json.dumps({"event": "mark", "streamSid": SID, "mark": {}}), "31951: mark.mark: lacks 'name'"),
        (mark(""), "31951: mark.name must be a text that is not empty"),
        (mark("m").replace('"m"', "7"), "31951: mark.name must be a text that is not empty"),
        (media(0), "31951: media.payload must be a text that is not empty"),
        (media(4).replace("==", "=="[:1]), "31951: media.payload is not base64: Incorrect padding"),
        (media(4)[:-2] + ', "chunk": "1"}}', "31951: media.media: must not have 'chunk'"),
    ],
)
def test_a_wrong_message_is_noted_with_its_reason_and_has_no_effect(message: str | bytes, reason: str) -> None:
    line = Timeline().at(995, media(160), mark("m"), message)
    assert line.reasons == [reason]
    assert line.at(TEN_SECONDS).echoes == ["1020:m"]
    assert line.carrier.heard_bytes() == 160


@pytest.mark.parametrize("payload", ["AA A", "AAA\n", "AAAA====", "A===", "äöüß", "AAA-"])
def test_a_payload_that_is_not_strict_base64_is_never_played(payload: str) -> None:
    line = Timeline().at(995, json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}}))
    assert line.carrier.violation_count == 1
    assert line.carrier.pieces == []


def test_a_message_before_the_start_is_noted() -> None:
    carrier = Carrier()
    carrier.receive(CLEAR, 0)
    assert [violation.reason for violation in carrier.violations] == ["clear before start was sent"]


def test_a_file_header_is_noted_and_heard_as_noise() -> None:
    payload = base64.b64encode(b"RIFF" + bytes(156)).decode()
    line = Timeline().at(995, json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}}))
    assert line.reasons == ["media: the payload begins with a file header, which is heard as noise"]
    assert line.at(1000).carrier.hearing.startswith(b"RIFF")


def test_a_flood_of_wrong_messages_is_counted_but_not_kept() -> None:
    line = Timeline().at(995, *["{"] * 500)
    assert (len(line.carrier.violations), line.carrier.violation_count) == (100, 500)


def test_only_a_strict_carrier_gives_up_after_a_violation() -> None:
    plain, strict = Timeline(), Timeline(Oddities(strict=True))
    before = strict.carrier.gives_up
    for line in (plain, strict):
        line.at(995, "{")
    assert (before, plain.carrier.gives_up, strict.carrier.gives_up) == (False, False, True)


# ------------------------------------------------------------------ oddities


def test_a_start_buffer_delays_audio_but_not_the_echo_of_its_begin_mark() -> None:
    line = Timeline(Oddities(start_buffer_ms=200)).at(995, mark("b"), media(3200), mark("e"))
    line.at(1300, media(160), mark("f")).at(TEN_SECONDS)
    assert line.echoes == ["995:b", "1600:e", "1620:f"]


def test_a_start_buffer_fills_again_after_a_clear() -> None:
    line = Timeline(Oddities(start_buffer_ms=200)).at(995, media(3200)).at(1305, CLEAR, media(160), mark("m"))
    assert line.at(TEN_SECONDS).echoes == ["1540:m"]
    assert [piece.heard_bytes for piece in line.carrier.pieces] == [960, 160]


def test_media_beyond_the_queue_limit_is_dropped_whole_and_counted() -> None:
    line = Timeline(Oddities(queue_limit_ms=100)).at(995, media(800), media(160), mark("m")).at(TEN_SECONDS)
    assert line.echoes == ["1100:m"]
    assert line.carrier.dropped_for_room == 1
    assert [piece.heard_bytes for piece in line.carrier.pieces] == [800, 0]


def test_marks_can_be_lost_doubled_delayed_and_come_in_bursts() -> None:
    pieces = [media(160), mark("a"), media(160), mark("b")]
    echoes = {
        name: Timeline(oddities).at(995, *pieces).at(TEN_SECONDS).echoes
        for name, oddities in {
            "lost": Oddities(marks_lost=1.0),
            "doubled": Oddities(marks_doubled=1.0),
            "delayed": Oddities(marks_delay_ms=100),
            "in bursts": Oddities(marks_burst_ms=500),
        }.items()
    }
    assert echoes == {
        "lost": [],
        "doubled": ["1020:a", "1020:a", "1040:b", "1040:b"],
        "delayed": ["1120:a", "1140:b"],
        "in bursts": ["1500:a", "1500:b"],
    }


def test_a_lag_delays_the_echoes_of_marks_behind_audio_and_of_no_others() -> None:
    line = Timeline(Oddities(marks_lag_ms=50)).at(995, mark("before"), media(160), mark("behind"))
    assert line.at(1200, mark("after")).at(TEN_SECONDS).echoes == ["995:before", "1080:behind", "1200:after"]


def test_a_clear_brings_the_echoes_that_lag_at_once() -> None:
    line = Timeline(Oddities(marks_lag_ms=200)).at(995, media(160), mark("played"), media(3200), mark("flushed"))
    line.at(1105, CLEAR, mark("fence")).at(TEN_SECONDS)
    assert line.echoes == ["1105:played", "1105:flushed", "1320:fence"]


def test_a_carrier_that_echoes_nothing_on_clear_still_echoes_the_fence() -> None:
    line = Timeline(Oddities(clear_echoes=False)).at(995, media(3200), mark("m")).at(1105, CLEAR, mark("fence"))
    assert line.at(TEN_SECONDS).echoes == ["1120:fence"]


def test_timestamps_jitter_around_the_frame_times_and_never_run_backwards() -> None:
    line = Timeline(Oddities(timestamp_jitter_ms=15)).at(TEN_SECONDS)
    stamps = [int(fields["media"]["timestamp"]) for fields in line.events("media")]
    off_ms = [stamp - due for stamp, due in zip(stamps, range(100, TEN_SECONDS + 1, 20), strict=True)]
    assert stamps == sorted(stamps)
    assert min(off_ms) < 0 < max(off_ms) <= 15


def test_numbers_may_be_json_numbers_and_custom_parameters_missing() -> None:
    line = Timeline(Oddities(number_fields="numbers", custom_parameters=False)).at(100)
    assert "customParameters" not in line.events("start")[0]["start"]
    (frame,) = line.events("media")
    assert (frame["sequenceNumber"], frame["media"]["chunk"], frame["media"]["timestamp"]) == (2, 1, 100)


def test_a_carrier_with_news_sends_an_unknown_event_and_unknown_fields() -> None:
    line = Timeline(Oddities(unknown_news=True)).at(100)
    assert [fields["event"] for _, fields in line.sent] == ["connected", "start", "weather", "media"]
    assert all("novelty" in fields for _, fields in line.sent)


def test_no_media_is_sent_for_silence_when_the_carrier_suppresses_it() -> None:
    carrier = Carrier(Oddities(silence_suppressed=True))
    carrier.start(stream_sid=SID, account_sid="AC1", call_sid="CA1")
    frames = [b"a" * 160, SILENCE, b"\x7f\xff" * 80, b"b" * 160]
    sent = [json.loads(m) for k, frame in enumerate(frames) for m in carrier.tick(100 + 20 * k, frame)]
    assert [(m["media"]["chunk"], m["media"]["timestamp"]) for m in sent] == [("1", "100"), ("2", "160")]


def test_a_stream_clock_begins_20_ms_before_the_first_frame_and_drifts() -> None:
    clock = StreamClock.starting(50.0, Oddities(first_timestamp_ms=160, drift_ppm=200))
    assert clock.stream_ms(50.0) == pytest.approx(140)
    assert clock.stream_ms(1050.0) == pytest.approx(140 + 1_000_200)
    assert clock.local_s(clock.stream_ms(77.7)) == pytest.approx(77.7)
