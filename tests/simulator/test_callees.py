from answering_server import HANGUP, Stream
from switchboard_driver import COLLEAGUE, Scene

from phonebot.simulator.callees import BEEP, Drops, Machine
from phonebot.simulator.caller import Caller

MESSAGE = "This is Rosa's, your table is ready."
VOICE = b"\x85" * 160


def greet(machine: Machine, heard: bytes) -> tuple[Caller, list[bytes]]:
    """A machine that hears so much, from its answer on, and the frames that it says."""
    party = machine.party()
    return party, [party.hear(heard[at : at + 160]).audio for at in range(0, len(heard), 160)]


def test_a_machine_greets_beeps_and_then_records() -> None:
    party = Machine(greeting=b"y" * 320).party()
    # Two frames of greeting, twenty of the beep, and the one in which it begins to record.
    said = [party.hear(VOICE).audio for _ in range(22)]
    assert (said[:2], said[2:]) == ([b"y" * 160] * 2, [BEEP] * 20)
    assert party.message.audio == b""
    events = [event.kind for _ in range(2) for event in party.hear(b"z" * 160).events]
    assert events == ["beep"]
    assert party.message.audio == b"z" * 160


async def test_a_message_that_begins_before_the_beep_is_left_without_its_beginning(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = f"<Response><Say>{MESSAGE}</Say></Response>"
    scene.carrier.callees[COLLEAGUE] = Machine(greeting_ms=600)
    await scene.place()
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.message is not None
    assert called.told("heard") == [MESSAGE]
    assert MESSAGE.endswith(called.message.text)
    assert called.message.text not in ("", MESSAGE)


async def test_a_message_after_the_detected_beep_is_left_whole(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = f"<Response><Say>{MESSAGE}</Say></Response>"
    scene.carrier.callees[COLLEAGUE] = Machine()
    await scene.place(machine_detection="DetectMessageEnd")
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.message is not None
    assert called.message.text == MESSAGE


async def test_what_a_bot_says_on_a_stream_is_left_too(scene: Scene) -> None:
    async def talk(stream: Stream) -> None:
        await stream.until("start")
        await stream.play(200)
        await stream.send("mark", name="said")
        await stream.until("mark")
        await stream.socket.close()

    scene.bot.talk = talk
    scene.bot.answers["/outbound"] = scene.bot.answers["/voice"]
    scene.carrier.callees[COLLEAGUE] = Machine(greeting=b"", beeps=False)
    await scene.place()
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.message is not None
    assert called.message.audio.count(b"\x90") >= 9 * 160  # it does not hear the frame in which it begins


async def test_a_machine_hangs_up_when_it_hears_nothing_or_enough(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = "<Response><Pause length='60'/></Response>"
    scene.bot.answers["/talker"] = f"<Response><Say>{MESSAGE * 40}</Say></Response>"
    scene.carrier.callees[COLLEAGUE] = Machine(silence_s=5, takes_s=8)
    await scene.place()
    await scene.place(url=scene.url("/talker"))
    await scene.carrier.settled()
    silent, talker = scene.carrier.calls_to(COLLEAGUE)
    assert (silent.outcome, talker.outcome) == ("caller hung up", "caller hung up")
    assert silent.message is not None
    assert talker.message is not None
    assert silent.message.text == ""
    assert len(talker.message.audio) == 8 * 8000


async def test_a_connection_that_drops_ends_the_call(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = "<Response><Pause length='60'/></Response>"
    scene.carrier.callees[COLLEAGUE] = Drops(after_s=1, holds_s=3)
    sid = await scene.place()
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (called.outcome, called.failed_steps) == ("caller hung up", [])
    assert (await scene.ask(lambda client: client.calls(sid).fetch())).duration == "4"


async def test_whoever_says_nothing_of_a_machine_has_no_message(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Drops()
    await scene.place()
    await scene.carrier.settled()
    assert scene.carrier.calls_to(COLLEAGUE)[0].message is None
