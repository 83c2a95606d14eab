"""Keys and messages that are taken from callers."""

from aiohttp import web
from answering_server import HANGUP
from switchboard_driver import CALLER, Scene

from phonebot.audio import wav
from phonebot.simulator.caller import Pause, Press, Say, WaitForBot, WaitForHangUp

LISTENS = WaitForHangUp(within_ms=600_000)
VOICE = b"\x85" * 160


async def test_keys_are_taken_until_there_are_enough(scene: Scene) -> None:
    scene.bot.answers["/voice"] = '<Response><Gather numDigits="3" action="/digits"/><Say>never</Say></Response>'
    scene.bot.answers["/digits"] = "<Response><Pause length='1'/></Response>"
    record = await scene.call(Press("1*3"), LISTENS)
    assert scene.bot.form("/digits")["Digits"] == "1*3"
    assert record.passed


async def test_a_key_cuts_the_prompt_off_and_another_finishes(scene: Scene) -> None:
    prompt = "Please enter the number of your order, and then press the star."
    scene.bot.answers["/voice"] = (
        f'<Response><Gather finishOnKey="*" action="/digits"><Say>{prompt}</Say></Gather></Response>'
    )
    scene.bot.answers["/digits"] = HANGUP
    record = await scene.call(WaitForBot(), Pause(1000), Press("12*"), LISTENS)
    assert scene.bot.form("/digits")["Digits"] == "12"
    (heard,) = record.told("heard")
    assert prompt.startswith(heard)
    assert heard != prompt
    assert scene.carrier.position(CALLER, "key", "1") < scene.carrier.position(CALLER, "heard")


async def test_keys_end_when_none_came_for_a_while(scene: Scene) -> None:
    scene.bot.answers["/voice"] = '<Response><Gather timeout="2" action="/digits"/></Response>'
    scene.bot.answers["/digits"] = HANGUP
    await scene.call(Pause(1500), Press("1"), Pause(1500), Press("2"), LISTENS)
    assert scene.bot.form("/digits")["Digits"] == "12"


async def test_without_keys_the_next_verb_is_due_after_prompt_and_timeout(scene: Scene) -> None:
    scene.bot.answers["/voice"] = (
        '<Response><Gather timeout="3" action="/digits"><Say>Well?</Say></Gather><Say>Bye.</Say></Response>'
    )
    record = await scene.call(LISTENS)
    assert (record.told("heard"), scene.bot.paths) == (["Well?", "Bye."], ["/voice", "/status"])
    assert len(record.line_heard) >= 3 * 8000


async def test_an_action_on_an_empty_result_is_asked_for_its_own_document_by_default(scene: Scene) -> None:
    asked: list[str] = []

    def answer(form: dict[str, str]) -> str:
        asked.append(form.get("Digits", "none"))
        return HANGUP if len(asked) > 1 else '<Response><Gather timeout="1" actionOnEmptyResult="true"/></Response>'

    scene.bot.answers["/voice"] = answer
    await scene.call(LISTENS)
    assert asked == ["none", ""]


async def test_a_gather_with_what_it_may_not_hold_is_noted(scene: Scene) -> None:
    scene.bot.answers["/voice"] = (
        '<Response><Gather input="speech" timeout="soon"><Dial>+15550100003</Dial></Gather></Response>'
    )
    record = await scene.call(LISTENS)
    assert [str(violation) for violation in record.violations] == [
        "Gather timeout 'soon' is no number",
        "Gather holds a <Dial>: it may hold Say, Play and Pause",
    ]
    assert record.told("passes over") == ["speech in Gather"]


async def test_a_message_is_recorded_until_a_silence_and_can_be_fetched(scene: Scene) -> None:
    scene.bot.answers["/voice"] = (
        '<Response><Record action="/message" timeout="2" recordingStatusCallback="/events"/></Response>'
    )
    scene.bot.answers["/message"] = HANGUP
    record = await scene.call(Pause(300), Say(VOICE * 100), LISTENS)
    assert (record.told("plays"), record.told("records")) == (["beep"], [""])
    form = scene.bot.form("/message")
    assert (form["RecordingDuration"], form["Digits"]) == ("4", "")  # 0.3 s, two, and two of silence
    told = scene.bot.form("/events")
    assert (told["RecordingStatus"], told["RecordingSource"], told["RecordingSid"]) == (
        "completed",
        "RecordVerb",
        form["RecordingSid"],
    )
    async with scene.fetch(f"{form['RecordingUrl']}.wav") as response:
        audio = wav.parse(await response.read(), "message")
    assert audio.data.count(VOICE) == 100


async def test_a_message_ends_with_a_key_or_at_its_greatest_length(scene: Scene) -> None:
    scene.bot.answers["/voice"] = '<Response><Record action="/message" finishOnKey="5" maxLength="4"/></Response>'
    scene.bot.answers["/message"] = HANGUP
    await scene.call(Say(VOICE * 50), Press("15"), LISTENS)
    await scene.call(Say(VOICE * 500), LISTENS)
    assert [(form["Digits"], form["RecordingDuration"]) for form in scene.bot.forms("/message")] == [
        ("5", "1"),
        ("", "4"),
    ]


async def test_a_caller_who_hangs_up_has_left_his_message_all_the_same(scene: Scene) -> None:
    scene.bot.answers["/voice"] = (
        '<Response><Record action="/message" recordingStatusCallback="/events"/></Response>'
    )
    scene.bot.answers["/message"] = HANGUP
    record = await scene.call(Say(VOICE * 50))
    assert record.outcome == "caller hung up"
    assert scene.bot.form("/message")["Digits"] == "hangup"
    assert scene.bot.form("/events")["RecordingStatus"] == "completed"


async def test_one_who_says_nothing_leaves_nothing_and_the_next_verb_is_due(scene: Scene) -> None:
    scene.bot.answers["/voice"] = (
        '<Response><Record timeout="2" playBeep="false" recordingStatusCallback="/events" '
        'recordingStatusCallbackEvent="in-progress completed absent"/><Say>Bye.</Say></Response>'
    )
    record = await scene.call(LISTENS)
    assert record.told("plays") == ["Bye."]
    assert [form["RecordingStatus"] for form in scene.bot.forms("/events")] == ["in-progress", "absent"]


async def test_a_failing_action_fails_the_call(scene: Scene) -> None:
    scene.bot.answers["/voice"] = '<Response><Gather numDigits="1" action="/digits"/></Response>'
    scene.bot.answers["/digits"] = web.Response(status=500)
    record = await scene.call(Press("1"), LISTENS)
    assert (record.outcome, [violation.code for violation in record.violations]) == ("failed", [11200])
