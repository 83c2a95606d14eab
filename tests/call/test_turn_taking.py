"""What interrupts the bot where the profile wants care: each rule in virtual time, against the carrier's truth."""

from base64 import b64decode, b64encode
from random import Random

import numpy as np
import pytest
from driver import BYTES_PER_MS, CallDriver, recorded

from phonebot.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from phonebot.call.actions import (
    Action,
    BargeIn,
    ClearPlayback,
    Cut,
    FalseAlarm,
    Floor,
    Held,
    Line,
    PlayAudio,
    SendMark,
    Tell,
)
from phonebot.call.inputs import ModelReady, PlayClip
from phonebot.call.plan import CallPlan, Caution, Clip, KeyTurns, LocalTurns
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Stop
from phonebot.realtime.events import (
    AudioCommitted,
    AudioDelta,
    AudioFormat,
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ErrorDetail,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionFailed,
    TruncateItem,
    TurnDetection,
)
from phonebot.simulator.carrier import SILENCE, Oddities
from phonebot.simulator.network import Network

FRAME_MS = 20
SESSION = Session(
    turn_detection=TurnDetection(
        "server_vad", silence_duration_ms=500, interrupt_response=False, create_response=False
    )
)
HOURS = recorded("demo/hours")[473 * BYTES_PER_MS :]  # from the first word on
COUGH = HOURS[: 160 * BYTES_PER_MS]
HOLD_MS = 2_000
BACKCHANNELS = ("mhm", "uh-huh")


def plan(greeting: str | None = None, **rules: object) -> CallPlan:
    own = {key: value for key, value in rules.items() if key in CallPlan.__struct_fields__}
    caution = {key: value for key, value in rules.items() if key not in own}
    return CallPlan(SESSION, greeting, caution=Caution(**caution), answers=True, **own)  # type: ignore[arg-type]


def holding(**terms: object) -> CallDriver:
    return CallDriver(plan(hold_ms=HOLD_MS, backchannels=BACKCHANNELS), **terms)  # type: ignore[arg-type]


def kinds(actions: list[Action]) -> list[type]:
    return [type(action.command) if isinstance(action, Tell) else type(action) for action in actions]


def decisions(actions: list[Action]) -> list[Action]:
    """Without what is played."""
    return [action for action in actions if not isinstance(action, PlayAudio | SendMark)]


def started(item_id: str = "item_u") -> SpeechStarted:
    return SpeechStarted(0, item_id)


def ended(item_id: str = "item_u") -> tuple[SpeechStopped, AudioCommitted]:
    """What a service tells of the end of speech."""
    return SpeechStopped(0, item_id), AudioCommitted(item_id)


def said(text: str, item_id: str = "item_u") -> TranscriptionCompleted:
    return TranscriptionCompleted(item_id, 0, text)


def cancelled(response_id: str = "resp_1") -> ResponseDone:
    return ResponseDone(Response(response_id, "cancelled", reason="client_cancelled"))


# ------------------------------------------------------------------------------------------- a minimum of speech


def test_a_cough_does_not_stop_the_bot_and_is_deleted() -> None:
    driver = CallDriver(plan(min_speech_ms=300))
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.speak(COUGH)
    driver.run(100)
    assert driver.feed(started()) == []
    assert decisions(driver.run(600)) == []
    assert driver.feed(*ended()) == [FalseAlarm("short"), Tell(DeleteItem("item_u"))]
    assert driver.feed(said("Ahem.")) == []
    driver.run(4_000)
    assert driver.heard_ms("item_1") == 4_000
    assert driver.told(CreateResponse, CancelResponse, TruncateItem) == []
    assert driver.did(Floor) == [Floor(Turn.THINKING), Floor(Turn.BOT), Floor(Turn.IDLE)]


def test_speech_stops_the_bot_once_there_is_enough_of_it() -> None:
    driver = CallDriver(plan(min_speech_ms=300))
    driver.begin("item_1")
    driver.more("item_1", 4_000)
    driver.run(1_000)
    driver.speak(HOURS)
    driver.run(100)
    assert driver.feed(started()) == []
    first, begun_ms = len(driver.log), driver.now
    assert kinds(driver.run(600)) == [
        *[ClearPlayback, SendMark, BargeIn, CancelResponse, Floor],
        *[TruncateItem, Cut],
    ]
    assert driver.log[first][0] - begun_ms == pytest.approx(200, abs=80)
    assert driver.feed(cancelled()) == [Line("bot", "item_1", "", cut=True, heard_ms=1_300)]
    assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-1"))]
    assert driver.feed(said("When are you open?")) == [Line("caller", "item_u", "When are you open?")]
    (truncated,) = driver.told(TruncateItem)
    assert truncated == TruncateItem("item_1", 0, int(driver.heard_ms("item_1")), "truncate-1")


def test_speech_that_is_reported_late_stops_the_bot_at_once() -> None:
    driver = CallDriver(plan(min_speech_ms=200))
    driver.say("item_1", 4_000)
    driver.speak(HOURS)
    driver.run(500)
    assert driver.feed(started())[0] == ClearPlayback()


def test_speech_that_only_the_service_hears_stops_the_bot_when_it_must_have_been_enough() -> None:
    driver = CallDriver(plan(min_speech_ms=300))
    driver.say("item_1", 4_000)
    driver.run(500)
    assert driver.feed(started()) == []
    assert decisions(driver.run(300 + 500 - 10)) == []
    assert ClearPlayback() in driver.run(20)


def test_a_short_answer_that_the_bot_has_finished_before_is_one() -> None:
    driver = CallDriver(plan(min_speech_ms=300))
    driver.say("item_1", 1_000)
    driver.run(900)
    driver.speak(COUGH)
    driver.run(30)
    assert driver.feed(started()) == []
    assert decisions(driver.run(600)) == [
        Line("bot", "item_1", "", heard_ms=1_000),
        Floor(Turn.IDLE),
        Floor(Turn.CALLER),
    ]
    assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-1"))]


def test_where_nothing_is_to_be_interrupted_any_sound_takes_the_floor() -> None:
    for rules in ({"min_speech_ms": 300}, {"hold_ms": HOLD_MS}, {"interruptible": False}):
        driver = CallDriver(plan(**rules))
        assert driver.feed(started()) == [Floor(Turn.CALLER)]
        assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-1"))]


# ------------------------------------------------------------------------------------------- the hold window


def test_a_word_of_assent_pauses_the_bot_which_goes_on_where_it_was() -> None:
    driver = holding()
    driver.say("item_1", 4_000)
    driver.run(1_000)
    clear, fence, held = driver.feed(started())
    assert (clear, type(fence)) == (ClearPlayback(), SendMark)
    assert isinstance(held, Held)
    assert held.unheard_ms == pytest.approx(3_000, abs=20)
    assert driver.run(700) == []
    assert driver.heard_ms("item_1") == 1_000
    assert driver.feed(*ended()) == []
    assert driver.run(300) == []
    resumed = driver.feed(said("Mhm, uh huh."))
    assert decisions(resumed) == [FalseAlarm("backchannel", "Mhm, uh huh."), Tell(DeleteItem("item_u"))]
    assert isinstance(resumed[1], PlayAudio)
    driver.run(4_000)
    assert driver.heard_ms("item_1") == 4_000
    assert driver.did(Line) == [Line("bot", "item_1", "", heard_ms=4_000)]
    assert driver.did(Floor) == [Floor(Turn.THINKING), Floor(Turn.BOT), Floor(Turn.IDLE)]
    assert driver.told(CreateResponse, CancelResponse, TruncateItem) == []


@pytest.mark.parametrize("transcript", ["", " ", "..."])
def test_speech_without_words_makes_the_bot_go_on(transcript: str) -> None:
    driver = holding()
    driver.say("item_1", 2_000)
    driver.run(700)
    driver.feed(started())
    driver.run(600)
    driver.feed(*ended())
    assert decisions(driver.feed(said(transcript)))[0] == FalseAlarm("empty")
    driver.run(2_000)
    assert driver.heard_ms("item_1") == 2_000


def test_words_are_an_interruption() -> None:
    driver = holding()
    driver.begin("item_1")
    driver.more("item_1", 4_000)
    driver.run(1_000)
    driver.feed(started())
    driver.run(600)
    driver.feed(*ended())
    assert driver.feed(said("Mhm, stop.")) == [
        BargeIn(3_000),
        Tell(TruncateItem("item_1", 0, 1_000, "truncate-1")),
        Cut("item_1", 1_000, 4_000, "fence"),
        Tell(CancelResponse("resp_1")),
        Floor(Turn.CALLER),
        Line("caller", "item_u", "Mhm, stop."),
        Floor(Turn.THINKING),
    ]
    assert driver.feed(cancelled()) == [
        Line("bot", "item_1", "", cut=True, heard_ms=1_000),
        Tell(CreateResponse(event_id="response-1")),
    ]
    driver.run(1_000)
    assert driver.heard_ms("item_1") == 1_000


def test_who_speaks_for_longer_than_the_window_has_interrupted() -> None:
    driver = holding()
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.feed(started())
    assert driver.run(HOLD_MS - 10) == []
    assert driver.run(20) == [
        BargeIn(3_000),
        Tell(TruncateItem("item_1", 0, 1_000, "truncate-1")),
        Cut("item_1", 1_000, 4_000, "fence"),
        Line("bot", "item_1", "", cut=True, heard_ms=1_000),
        Floor(Turn.CALLER),
    ]
    assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-1"))]


def test_a_word_of_assent_that_comes_too_late_was_an_interruption() -> None:
    driver = holding()
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.feed(started())
    driver.run(700)
    driver.feed(*ended())
    assert kinds(driver.run(HOLD_MS)) == [
        *[BargeIn, TruncateItem, Cut, Line, Floor, Floor],
        CreateResponse,
    ]
    assert driver.feed(said("mhm")) == [Line("caller", "item_u", "mhm")]
    assert driver.told(DeleteItem) == []


def test_a_transcription_that_fails_is_not_waited_for() -> None:
    driver = holding()
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.feed(started(), *ended())
    actions = driver.feed(TranscriptionFailed("item_u", 0, ErrorDetail("no idea")))
    assert kinds(actions) == [BargeIn, Floor, TruncateItem, Cut, Line, Floor, CreateResponse, Line]
    assert isinstance(cut := actions[3], Cut)
    assert cut.settled == "turn_end"


def test_all_that_is_said_in_the_window_is_judged_together() -> None:
    driver = holding()
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.feed(started("item_u"))
    driver.run(300)
    driver.feed(*ended("item_u"))
    assert driver.feed(started("item_v"), said("mhm", "item_u")) == []
    assert driver.feed(*ended("item_v")) == []
    assert decisions(driver.feed(said("uh-huh", "item_v"))) == [
        FalseAlarm("backchannel", "mhm uh-huh"),
        Tell(DeleteItem("item_u")),
        Tell(DeleteItem("item_v")),
    ]
    driver.run(3_500)
    assert driver.heard_ms("item_1") == 4_000


def test_what_the_model_says_while_the_bot_is_held_follows_behind() -> None:
    driver = holding()
    driver.begin("item_1")
    driver.more("item_1", 2_000)
    driver.run(700)
    driver.feed(started())
    assert driver.more("item_1", 1_000) == []
    driver.run(300)
    driver.more("item_1", 1_000)
    driver.feed(*ended(), said("mhm"))
    driver.end("item_1", text="All of it.")
    driver.done()
    driver.run(4_000)
    assert driver.heard_ms("item_1") == 4_000
    assert driver.did(Line) == [Line("bot", "item_1", "All of it.", heard_ms=4_000)]


def test_an_answer_that_has_not_begun_is_held_without_a_clear() -> None:
    driver = holding()
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    assert driver.feed(started()) == [Held(0)]
    driver.begin("item_1")
    assert decisions(driver.more("item_1", 1_000)) == [Floor(Turn.BOT)]
    driver.run(500)
    assert driver.heard_ms("item_1") == 0
    driver.feed(*ended(), said(""))
    driver.run(1_100)
    assert driver.heard_ms("item_1") == 1_000


def test_nothing_is_asked_for_while_the_bot_is_held() -> None:
    driver = holding()
    driver.say("item_1", 4_000)
    driver.run(500)
    driver.feed(started(), *ended())
    driver.call._talk.responses.want()
    assert driver.run(1_000) == []
    assert driver.feed(said("mhm"))[-2:] == [FalseAlarm("backchannel", "mhm"), Tell(DeleteItem("item_u"))]
    assert driver.told(CreateResponse) == [CreateResponse(event_id="response-1")]


def test_a_call_that_ends_while_the_bot_is_held_knows_what_was_heard() -> None:
    driver = holding()
    driver.say("item_1", 4_000, text="One two three four five six seven eight")
    driver.run(1_000)
    driver.feed(started())
    driver.run(200)
    driver.carrier.stop()
    (bot, cut, line, *_) = driver.feed(Stop(99, "AC", "CA"))
    assert bot == BargeIn(3_000)
    assert cut == Cut("item_1", 1_000, 4_000, "fence")
    assert isinstance(line, Line)
    assert (line.cut, line.heard_ms) == (True, 1_000)


# ------------------------------------------------------------------------------------------- from the very byte


def stamped(ms: int) -> bytes:
    """Audio whose place can be read off it: no two of its stretches of 4 bytes are alike within 12 s."""
    return b"".join(n.to_bytes(4, "big") for n in range(0x01000000, 0x01000000 + ms * BYTES_PER_MS // 4))


def played(driver: CallDriver) -> bytes:
    """The stamped audio as the caller heard it, without silence."""
    return b"".join(frame.audio for frame in driver.carrier.frames).replace(SILENCE[:1], b"")


NETWORKS = [
    (Network(), Oddities()),
    (Network(60, 0, 60, 0), Oddities()),
    (Network(80, 30, 60, 30), Oddities()),
    (Network(40, 0, 40, 0), Oddities(start_buffer_ms=120)),
]
"""Ways to the carrier."""


@pytest.mark.parametrize(("network", "oddities"), NETWORKS)
@pytest.mark.parametrize("model_format", ["pcmu", "pcm24k"])
@pytest.mark.parametrize("after_ms", [330, 1_004, 2_777])
def test_every_byte_is_heard_once_and_in_order(
    network: Network, oddities: Oddities, model_format: AudioFormat, after_ms: int
) -> None:
    """But for one frame at the seam, where the carrier's clock is in between two."""
    driver = holding(network=network, oddities=oddities, ready=ModelReady(SESSION, output_format=model_format))
    driver.begin("item_1")
    sent_at = len(driver.log)
    for begin in range(0, 4_000, 400):
        audio = stamped(4_000)[begin * BYTES_PER_MS : (begin + 400) * BYTES_PER_MS]
        if model_format == "pcm24k":  # what it becomes on the line is in the log
            audio = bytes(48 * 200) + bytes([0x40, 0x20]) * (24 * 200)
        driver.feed(AudioDelta("resp_1", "item_1", 0, 0, b64encode(audio).decode()))
    driver.end("item_1")
    driver.done()
    whole = b"".join(b64decode(each.payload) for _, each in driver.log[sent_at:] if isinstance(each, PlayAudio))
    driver.run(after_ms)
    driver.feed(started())
    driver.run(700)
    cut = b"".join(frame.audio for frame in driver.carrier.frames)
    driver.feed(*ended(), said("mhm"))
    driver.run(4_500)
    heard = b"".join(frame.audio for frame in driver.carrier.frames)
    assert whole.startswith(cut)
    assert 0 < len(cut) < len(whole)
    seam = [
        skipped
        for skipped in range(-160, 161)
        if heard.rstrip(SILENCE[:1]) == (cut + whole[len(cut) + skipped :]).rstrip(SILENCE[:1])
    ]
    assert seam, (len(cut), len(heard), len(whole))
    assert driver.did(Line) == [Line("bot", "item_1", "", heard_ms=4_000)]


@pytest.mark.parametrize(("network", "oddities"), NETWORKS)
def test_a_resumed_item_is_truncated_where_it_is_interrupted_at_last(network: Network, oddities: Oddities) -> None:
    driver = holding(network=network, oddities=oddities)
    driver.begin("item_1")
    driver.more("item_1", 3_000)
    driver.run(1_003)
    for n in range(2):
        driver.feed(started(f"item_{n}_u"))
        driver.more("item_1", 1_000)
        driver.run(500)
        driver.feed(*ended(f"item_{n}_u"), said("mhm", f"item_{n}_u"))
        driver.run(1_003)
    driver.feed(started("item_w"))
    driver.run(500)
    driver.feed(*ended("item_w"), said("Stop.", "item_w"))
    driver.run(500)
    (truncated,) = driver.told(TruncateItem)
    assert isinstance(truncated, TruncateItem)
    assert truncated.audio_end_ms == pytest.approx(driver.heard_ms("item_1"), abs=3 * FRAME_MS)  # a frame a seam
    assert driver.heard_ms("item_1") == pytest.approx(3_000, abs=450)


@pytest.mark.parametrize("seed", range(24))
def test_a_bot_that_is_held_again_and_again_loses_nothing(seed: int) -> None:
    """On any line, whatever the model sends meanwhile; to a frame for each pause and the end."""
    rng = Random(seed)
    network = Network(rng.choice([0, 60, 150]), rng.choice([0, 5, 30]), rng.choice([0, 60]), rng.choice([0, 5, 30]))
    oddities = Oddities(
        first_timestamp_ms=rng.randint(60, 180),
        start_buffer_ms=rng.choice([0, 120]),
        clear_echoes=rng.random() < 0.7,
        short_frame=rng.choice(["pad", "hold"]),
    )
    driver = holding(network=network, oddities=oddities, seed=seed)
    driver.begin("item_1")
    pauses, sent_ms = rng.randint(1, 4), 0
    for n in range(pauses):
        lengths_ms = rng.randint(1_500, 3_000), rng.randint(1, 800)
        driver.more("item_1", lengths_ms[0])
        driver.run(rng.randint(50, lengths_ms[0]))
        driver.feed(started(f"item_{n}_u"))
        driver.more("item_1", lengths_ms[1])
        driver.run(rng.randint(1, 900))
        driver.feed(*ended(f"item_{n}_u"), said("mhm", f"item_{n}_u"))
        driver.run(rng.randint(200, 500))
        sent_ms += sum(lengths_ms)
    if seed % 2:
        driver.end("item_1")
        driver.done()
        driver.run(sent_ms)
    else:
        driver.feed(started())
        driver.run(600)
        driver.feed(*ended(), said("Stop."))
        driver.run(2_500)
    heard_ms = driver.believed_ms(item_1=sent_ms)["item_1"]
    assert driver.heard_ms("item_1") == pytest.approx(heard_ms, abs=FRAME_MS * (pauses + 1))
    assert not driver.carrier.violations


def test_several_items_are_resumed_in_order() -> None:
    driver = holding()
    driver.say("item_1", 1_234, "resp_1", text="one")
    driver.say("item_2", 1_000, "resp_2", text="two")
    driver.run(1_000)
    driver.feed(started())
    driver.run(400)
    driver.feed(*ended(), said(""))
    driver.run(2_000)
    assert driver.did(Line) == [
        Line("bot", "item_1", "one", heard_ms=1_234),
        Line("bot", "item_2", "two", heard_ms=1_000),
    ]
    assert (driver.heard_ms("item_1"), driver.heard_ms("item_2")) == (1_234, 1_000)


def test_audio_that_waits_with_us_is_resumed_too() -> None:
    driver = holding()
    driver.say("item_1", 40_000)
    driver.run(1_000)
    driver.feed(started())
    driver.run(400)
    driver.feed(*ended(), said(""))
    driver.run(40_000)
    assert driver.heard_ms("item_1") == 40_000
    assert driver.carrier.most_buffered_bytes / BYTES_PER_MS <= 31_000


def test_without_an_echo_the_bot_goes_on_from_where_it_had_got_to_at_least() -> None:
    driver = holding(oddities=Oddities(marks_lost=1.0))
    driver.say("item_1", 3_000)
    driver.run(1_000)
    driver.feed(started(), *ended())
    assert decisions(driver.feed(said("mhm"))) == [FalseAlarm("backchannel", "mhm"), Tell(DeleteItem("item_u"))]
    driver.run(6_000)
    assert 3_000 <= driver.heard_ms("item_1") <= 3_400


# ------------------------------------------------------------------------------------------- the bot's own echo

BOT = recorded("audio/bot-hours-espeak")
ECHO_MS = 120


class EchoingDriver(CallDriver):
    """What the caller hears comes back from him, 20 dB softer, with what he says over it."""

    def _next_frame(self) -> bytes:
        at_ms = self._tick_ms - ECHO_MS
        back = next((frame.audio for frame in self.carrier.frames[-20:] if frame.at_ms == at_ms), SILENCE)
        said, echo = (
            np.frombuffer(ulaw_to_pcm(audio), "<i2").astype(np.float64)
            for audio in (super()._next_frame(), back.ljust(len(SILENCE), SILENCE[:1]))
        )
        return pcm_to_ulaw((said + 0.1 * echo).clip(-32768, 32767).round().astype("<i2").tobytes())

    def speak_of_hours(self) -> None:
        """The bot's answer comes, and 700 ms pass: its voice is coming back."""
        self.begin("item_1")
        self.feed(AudioDelta("resp_1", "item_1", 0, 0, b64encode(BOT).decode()))
        self.end("item_1")
        self.done()
        self.run(700)


@pytest.mark.parametrize("network", [Network(), Network(60, 0, 60, 0), Network(100, 30, 100, 30)])
def test_the_bots_own_voice_does_not_interrupt_it(network: Network) -> None:
    driver = EchoingDriver(plan(echo_guard=True), network=network)
    driver.speak_of_hours()
    driver.run(2 * int(network.uplink_delay_ms))
    assert driver.feed(started()) == []
    driver.run(1_500)
    assert driver.feed(*ended()) == [FalseAlarm("echo"), Tell(DeleteItem("item_u"))]
    driver.run(len(BOT) // BYTES_PER_MS)
    assert driver.did(ClearPlayback, Cut) == []
    assert driver.told(CreateResponse, CancelResponse) == []


def test_without_the_guard_it_does() -> None:
    driver = EchoingDriver(plan(min_speech_ms=200))
    driver.speak_of_hours()
    assert driver.feed(started())[0] == ClearPlayback()


def test_a_caller_who_speaks_into_the_echo_interrupts_the_bot() -> None:
    driver = EchoingDriver(plan(echo_guard=True))
    driver.speak_of_hours()
    assert driver.feed(started()) == []
    assert decisions(driver.run(500)) == []
    driver.speak(HOURS)
    first, spoke_ms = len(driver.log), driver.now
    actions = driver.run(600)
    assert kinds(actions)[:4] == [ClearPlayback, SendMark, BargeIn, Floor]
    assert driver.log[first][0] - spoke_ms <= 500
    assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-1"))]


def test_a_caller_who_is_alone_on_the_line_interrupts_at_once() -> None:
    driver = CallDriver(plan(echo_guard=True))
    driver.begin("item_1")
    driver.feed(AudioDelta("resp_1", "item_1", 0, 0, b64encode(BOT).decode()))
    driver.run(500)
    driver.speak(HOURS)
    driver.run(300)
    assert kinds(driver.feed(started())) == [ClearPlayback, SendMark, BargeIn, CancelResponse, Floor]


def test_an_echo_whose_end_is_never_told_is_not_listened_to_for_ever() -> None:
    driver = EchoingDriver(plan(echo_guard=True))
    driver.speak_of_hours()
    driver.feed(started())
    driver.run(29_000)
    assert driver.did(Floor)[-1] == Floor(Turn.IDLE)
    driver.run(2_000)
    assert driver.did(Floor)[-1] == Floor(Turn.CALLER)


def test_after_a_pause_the_guard_still_knows_what_is_played() -> None:
    driver = EchoingDriver(plan(echo_guard=True, hold_ms=HOLD_MS))
    driver.begin("item_1")
    driver.feed(AudioDelta("resp_1", "item_1", 0, 0, b64encode(BOT).decode()))
    driver.end("item_1")
    driver.done()
    driver.speak(HOURS[: 400 * BYTES_PER_MS])
    driver.run(400)
    assert ClearPlayback() in driver.feed(started())
    driver.run(500)
    driver.feed(*ended(), said(""))
    driver.run(900)
    assert driver.feed(started("item_v")) == []
    driver.run(1_000)
    assert driver.feed(*ended("item_v")) == [FalseAlarm("echo"), Tell(DeleteItem("item_v"))]


# ------------------------------------------------------------------------------------------- not interruptible


def test_a_greeting_that_may_not_be_interrupted_is_heard_out_and_what_comes_after_may() -> None:
    driver = CallDriver(plan("Hello.", greeting_interruptible=False))
    assert driver.feed(started("item_u")) == []
    driver.say("item_1", 1_000)
    driver.run(300)
    assert driver.feed(*ended("item_u")) == [Tell(CreateResponse(event_id="response-2"))]
    driver.run(1_000)
    assert driver.heard_ms("item_1") == 1_000
    driver.begin("item_2", "resp_2")
    driver.more("item_2", 2_000, "resp_2")
    driver.run(500)
    assert kinds(driver.feed(started("item_v"))) == [ClearPlayback, SendMark, BargeIn, CancelResponse, Floor]


def test_a_recorded_greeting_that_may_not_be_interrupted_is_heard_out() -> None:
    recording = Clip("Hello.", b64encode(b"\x05" * (2_000 * BYTES_PER_MS)).decode(), "greeting")
    driver = CallDriver(plan(greeting_interruptible=False, opening=(recording,)))
    driver.run(500)
    assert driver.feed(started("item_u")) == []
    assert driver.feed(*ended("item_u")) == [Tell(CreateResponse(event_id="response-1"))]
    driver.run(1_500)
    assert sum(frame.audio.count(5) for frame in driver.carrier.frames) == 2_000 * BYTES_PER_MS
    driver.begin("item_1")
    driver.more("item_1", 2_000)
    driver.run(500)
    assert ClearPlayback() in driver.feed(started("item_v"))


def test_a_clip_is_paused_and_goes_on_like_an_answer() -> None:
    driver = holding()
    driver.feed(PlayClip("One moment please.", b64encode(b"\x05" * (2_000 * BYTES_PER_MS)).decode(), "wait"))
    driver.run(700)
    assert ClearPlayback() in driver.feed(started())
    driver.run(600)
    driver.feed(*ended(), said("mhm"))
    driver.run(2_000)
    assert sum(frame.audio.count(5) for frame in driver.carrier.frames) == 2_000 * BYTES_PER_MS
    assert driver.did(Line) == [Line("bot", "wait", "One moment please.", heard_ms=2_000)]


def test_a_clip_is_told_behind_an_item_that_is_there_and_not_behind_what_was_nothing() -> None:
    driver = holding()
    driver.say("item_1", 2_000)
    driver.run(500)
    driver.feed(started("item_u"), *ended("item_u"), said("mhm", "item_u"))
    driver.feed(PlayClip("One moment please.", b64encode(b"\x05" * (2_000 * BYTES_PER_MS)).decode(), "wait"))
    driver.run(3_000)
    driver.feed(started("item_v"), *ended("item_v"))
    driver.feed(said("Stop.", "item_v"))
    driver.run(500)
    (told,) = driver.told(CreateItem)
    assert isinstance(told, CreateItem)
    assert told.previous_item_id == "item_1"


def test_who_still_speaks_when_the_greeting_is_over_has_the_floor() -> None:
    driver = CallDriver(plan("Hello.", greeting_interruptible=False))
    driver.say("item_1", 1_000)
    driver.run(500)
    assert driver.feed(started()) == []
    assert driver.run(700)[-2:] == [Floor(Turn.IDLE), Floor(Turn.CALLER)]
    assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-2"))]


def test_a_bot_that_may_not_be_interrupted_answers_afterwards() -> None:
    driver = CallDriver(plan(interruptible=False))
    driver.begin("item_1")
    driver.more("item_1", 2_000)
    driver.run(500)
    assert driver.feed(started(), *ended()) == []
    driver.run(500)
    driver.end("item_1")
    assert driver.done()[-1] == Tell(CreateResponse(event_id="response-1"))
    driver.run(1_500)
    assert driver.heard_ms("item_1") == 2_000


def test_a_bot_whose_marks_are_lost_may_be_interrupted_when_it_must_have_finished() -> None:
    driver = CallDriver(plan(interruptible=False), oddities=Oddities(marks_lost=1.0))
    driver.say("item_1", 1_000)
    driver.run(500)
    assert driver.feed(started()) == []
    driver.run(3_000)
    assert driver.did(Floor)[-1] == Floor(Turn.CALLER)


def test_what_is_withheld_is_silence_to_the_model() -> None:
    driver = CallDriver(plan(interruptible=False, withholds=True))
    driver.say("item_1", 1_000)
    driver.run(100)
    driver.caller_audio.clear()
    driver.speak(HOURS[: 600 * BYTES_PER_MS])
    driver.run(600)
    assert set(b"".join(map(b64decode, driver.caller_audio))) == set(SILENCE[:1])
    assert len(driver.caller_audio) == 30
    driver.run(1_000)
    driver.speak(HOURS[: 600 * BYTES_PER_MS])
    driver.caller_audio.clear()
    driver.run(800)
    assert HOURS[: 600 * BYTES_PER_MS] in b"".join(map(b64decode, driver.caller_audio))


# ------------------------------------------------------------------------------------------- keys


def test_a_key_stops_the_bot_if_the_profile_says_so() -> None:
    session = Session(turn_detection=TurnDetection("server_vad"))
    driver = CallDriver(CallPlan(session, keys_interrupt=True))
    driver.begin("item_1")
    driver.more("item_1", 4_000)
    driver.run(1_000)
    assert kinds(driver.press("5")) == [
        *[ClearPlayback, SendMark, BargeIn, CancelResponse, Floor],
        *[TruncateItem, Cut],
    ]
    assert driver.call.turn is Turn.IDLE
    assert driver.press("5") == []


@pytest.mark.parametrize(
    "uninterested", [CallPlan(SESSION), CallPlan(SESSION, keys_interrupt=True, interruptible=False)]
)
def test_keys_do_not_stop_a_bot_that_is_not_to_be_stopped_by_them(uninterested: CallPlan) -> None:
    driver = CallDriver(uninterested)
    driver.say("item_1", 2_000)
    driver.run(500)
    assert ClearPlayback() not in driver.press("5")


def test_a_key_ends_the_pause_too() -> None:
    driver = CallDriver(plan(hold_ms=HOLD_MS, keys_interrupt=True))
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.feed(started())
    driver.run(300)
    assert kinds(driver.press("5")) == [BargeIn, TruncateItem, Cut, Line, Floor]


def test_a_bot_that_may_not_be_interrupted_is_not_stopped_by_the_keys_that_end_turns() -> None:
    driver = CallDriver(CallPlan(Session(turn_detection=None), interruptible=False, turns=KeyTurns()))
    driver.say("item_1", 1_000)
    driver.run(300)
    assert decisions(driver.press("5")) == []
    driver.run(1_000)
    driver.press("#")
    assert driver.heard_ms("item_1") == 1_000
    assert driver.told(CommitAudio, CreateResponse) == [CommitAudio(), CreateResponse(event_id="response-1")]


# ------------------------------------------------------------------------------------------- turns found here


def test_with_turns_of_our_own_a_cough_is_deleted_when_its_item_is_known() -> None:
    driver = CallDriver(
        CallPlan(
            Session(turn_detection=None), turns=LocalTurns(min_speech_ms=60), caution=Caution(min_speech_ms=400)
        )
    )
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.speak(COUGH)
    assert decisions(driver.run(1_200)) == [Tell(CommitAudio()), FalseAlarm("short")]
    assert driver.feed(AudioCommitted("item_u")) == [Tell(DeleteItem("item_u"))]
    driver.run(3_000)
    assert driver.heard_ms("item_1") == 4_000


def test_with_turns_of_our_own_words_are_answered() -> None:
    driver = CallDriver(CallPlan(Session(turn_detection=None), turns=LocalTurns(), caution=Caution(hold_ms=4_000)))
    driver.say("item_1", 4_000)
    driver.run(1_000)
    driver.speak(HOURS)
    assert kinds(driver.run(3_000)) == [ClearPlayback, SendMark, Held, CommitAudio]
    driver.feed(AudioCommitted("item_u"))
    actions = driver.feed(said("When are you open?"))
    assert kinds(actions) == [BargeIn, TruncateItem, Cut, Line, Floor, Line, Floor, CreateResponse]


# ------------------------------------------------------------------------------------------- services that differ


def test_a_service_that_does_not_tell_of_the_commit_is_asked_for_the_answer_all_the_same() -> None:
    driver = CallDriver(plan(hold_ms=HOLD_MS))
    driver.feed(started(), SpeechStopped(0, "item_u"))
    assert driver.run(900) == []
    assert driver.run(200) == [Tell(CreateResponse(event_id="response-1"))]
    assert driver.feed(AudioCommitted("item_u")) == []


def test_a_service_that_interrupts_though_it_was_told_not_to_is_followed() -> None:
    driver = holding()
    driver.begin("item_1")
    driver.more("item_1", 3_000)
    driver.run(500)
    driver.feed(started())
    driver.run(200)
    assert kinds(driver.cancelled()) == [BargeIn, TruncateItem, Cut, CancelResponse, Floor, Line]
    assert driver.feed(*ended()) == [Floor(Turn.THINKING), Tell(CreateResponse(event_id="response-1"))]


def test_a_response_that_is_wanted_does_not_cross_the_services_own() -> None:
    session = Session(turn_detection=TurnDetection("server_vad"))
    driver = CallDriver(CallPlan(session))
    driver.feed(started())
    driver.call._talk.responses.want()
    driver.feed(SpeechStopped(0))
    assert driver.done("resp_0") == [Floor(Turn.IDLE)]
    driver.feed(AudioCommitted("item_u"))
    assert driver.run(1_000) == []
