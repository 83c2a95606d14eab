"""A redacted log: what is hidden is nowhere in it, and the rest still replays."""

import json
import re
from binascii import a2b_base64
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace as altered
from rehearsed import INTERRUPTED, QUIET, SPEAKS, header_of, plan, rehearsed, saved

from phonebot.audio import wav
from phonebot.call.actions import Action, Check, Line
from phonebot.call.call import Call
from phonebot.carrier.messages import Dtmf, Media, Start
from phonebot.realtime.events import (
    AudioDelta,
    Message,
    OutputItemDone,
    SpokenTextDelta,
    SpokenTextDone,
    TranscriptionCompleted,
    TranscriptionDelta,
)
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.replay.log import LogError
from phonebot.replay.numbers_in_text import has_number, masked, masked_in_json, masked_long_numbers
from phonebot.replay.player import play
from phonebot.replay.reader import CallLog, Step, read
from phonebot.replay.redaction import redact
from phonebot.replay.update import write
from phonebot.simulator.caller import HangUp, Pause, Press

GUARDRAIL = Path(__file__).parents[2] / "fixtures" / "calls" / "guardrail"

CARD = "four two 93715246 42 93715246 double four"
CARD_DIGITS = re.compile(r"93715246|42|four|two|double")


def redacted(folder: Path, target: Path, **options: Any) -> Path:
    target.mkdir()
    redact(folder, target, **options)
    return target


def rewritten(folder: Path, call: VirtualCall, text: str, **header: Any) -> Path:
    """The call's log, in which the caller says `text`, in place of what he did, and the bot repeats it."""

    def other(step: Step) -> Step:
        match step.input:
            case TranscriptionCompleted():
                return replace(step, input=altered(step.input, transcript=text))
            case SpokenTextDone(transcript=said) if said.startswith("You said"):
                return replace(step, input=altered(step.input, transcript=f"You said {text}"))
            case SpokenTextDelta(delta=delta) if "opening" in delta:
                return replace(step, input=altered(step.input, delta=text))
        return step

    made = altered(header_of(call), from_number="+15550100001", to_number="+15550100002", **header)
    core = Call(call.plan)
    steps = [other(step) for step in call.steps]
    steps = [replace(step, actions=tuple(core.receive(step.input, step.now_ms))) for step in steps]
    folder.mkdir()
    write(folder, made, CallLog(made, call.plan, tuple(steps)))
    return folder


def everything_in(folder: Path) -> bytes:
    """All but the audio, in which any four bytes may stand."""
    return b"\n".join(file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix != ".wav")


def texts_in(folder: Path) -> str:
    """All texts of a log but ids, numbers without quotes and audio."""
    found: list[str] = []

    def walk(value: Any, key: str = "") -> None:
        if isinstance(value, dict):
            for name, each in value.items():
                walk(each, name)
        elif isinstance(value, list):
            for each in value:
                walk(each, key)
        elif isinstance(value, str) and key in ("text", "transcript", "delta", "instructions", "greeting"):
            found.append(value)

    for line in (folder / "events.jsonl").read_text().splitlines():
        walk(json.loads(line))
    return "\n".join(found)


# ------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("my card is four two 42 42, thanks", "my card is ##############, thanks"),
        ("four, two and nine", "##################"),
        ("Forty-two, oh oh seven", "######################"),
        ("seven oh oh oh", "##############"),
        ("oh, hello", "oh, hello"),
        ("one second", "##########"),
        ("the second choice", "the second choice"),
        ("the twenty-first of May, the third of June", "the ############ of May, the ##### of June"),
        ("fortytwo or fourtwo", "######## or #######"),
        ("+1 (555) 010-0001", "+################"),
        ("double fours and A7", "###################"),
        ("\u0664\u0662 and \uff14\uff12", "#########"),
        ("nothing to hide", "nothing to hide"),
        ("", ""),
    ],
)
def test_numbers_are_masked_with_what_is_between_them(text: str, hidden: str) -> None:
    assert masked(text) == hidden
    assert has_number(text) == (text != hidden)


@given(st.text())
def test_no_digit_survives_and_no_length_changes(text: str) -> None:
    assert len(masked(text)) == len(text)
    assert not any(letter.isdecimal() for letter in masked(text))
    assert not has_number(masked(text))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (r'{"said": "four\ntwo"}', r'{"said": "####\n###"}'),
        (r'{"said": "caf\u00e9 \u0034"}', r'{"said": "caf\u0023 \u0023"}'),
        ('[4, 25, "4 2", "four two", -1.5]', '[1, 11, "1#1", "########", -1.1]'),
        ("paid with 42 42", "paid with #####"),
    ],
)
def test_json_is_masked_string_by_string(text: str, hidden: str) -> None:
    assert masked_in_json(text) == hidden


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | st.text("0123 ")))
def test_masked_json_is_json_still(value: dict[str, Any]) -> None:
    assert json.loads(masked_in_json(json.dumps(value))).keys() == value.keys()


def test_of_a_message_only_long_numbers_are_masked() -> None:
    text = "Audio of 1240 ms is shorter than 2000 ms, said +1 555 010-0001."
    assert masked_long_numbers(text) == "Audio of 1240 ms is shorter than 2000 ms, said +# ### ###-####."


# ------------------------------------------------------------------------------------------- whole logs


def test_numbers_that_were_said_are_nowhere(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "call", rehearsed(*INTERRUPTED), CARD, note="He gives his card, 93715246.")
    assert CARD_DIGITS.search(texts_in(folder))
    shared = redacted(folder, tmp_path / "shared")
    assert not CARD_DIGITS.search(texts_in(shared))
    assert b"93715246" not in everything_in(shared)
    assert b"55501" not in everything_in(shared)
    assert play(read(shared)).differences == ()


def test_text_that_came_in_pieces_is_masked_as_a_whole(tmp_path: Path) -> None:
    """A number word may be cut in two."""
    call = rehearsed(*INTERRUPTED)
    pieces = [Step(1, TranscriptionDelta("item_9", 0, delta), ()) for delta in ("fo", "ur tw", "o four", "teen")]
    steps = (call.steps[0], *pieces, *call.steps[1:])
    folder = tmp_path / "call"
    folder.mkdir()
    write(folder, header_of(call), CallLog(header_of(call), call.plan, steps))
    shared = redacted(folder, tmp_path / "shared")
    found = [step.input for step in read(shared).steps if isinstance(step.input, TranscriptionDelta)]
    assert [piece.delta for piece in found if piece.item_id == "item_9"] == ["#" * 17, "", "", ""]


def test_pieces_do_not_tell_how_long_a_number_word_was(tmp_path: Path) -> None:
    call = rehearsed(*INTERRUPTED)
    deltas = ("my code ", "is ", "three ", "one ", "thanks")
    pieces = [Step(1, TranscriptionDelta("item_9", 0, delta), ()) for delta in deltas]
    folder = tmp_path / "call"
    folder.mkdir()
    write(folder, header_of(call), CallLog(header_of(call), call.plan, (call.steps[0], *pieces, *call.steps[1:])))
    found = [step.input for step in read(redacted(folder, tmp_path / "shared")).steps]
    said = [each.delta for each in found if isinstance(each, TranscriptionDelta) and each.item_id == "item_9"]
    assert said == ["my code ", "is ", "#########", " ", "thanks"]


def test_a_line_that_was_cut_between_two_numbers_ends_before_both(tmp_path: Path) -> None:
    """The call cuts at the end of a word, and does so again when it is replayed."""
    call = rehearsed(*INTERRUPTED)
    folder = rewritten(tmp_path / "call", call, "two two two two two two two two two two two two two two two two")
    (cut,) = (action.text for step in read(folder).steps for action in step.actions if is_cut(action))
    assert cut.startswith("You said two")
    shared = read(redacted(folder, tmp_path / "shared"))
    assert [action.text for step in shared.steps for action in step.actions if is_cut(action)] == ["You said"]
    assert play(shared).differences == ()


def is_cut(action: Action) -> TypeGuard[Line]:
    return isinstance(action, Line) and action.cut


@pytest.mark.parametrize("audio", [True, False])
def test_a_log_that_would_replay_to_something_else_says_that_it_cannot_be_replayed(
    tmp_path: Path, audio: bool
) -> None:
    """Phonebot found the turns in the caller's audio, which is silence now."""
    call = rehearsed(*INTERRUPTED, turn_detection={"type": "local"})
    folder = rewritten(tmp_path / "call", call, CARD)
    assert play(read(folder)).differences == ()
    shared = read(redacted(folder, tmp_path / "shared", audio=audio))
    sentence = "what is hidden decided what the call did: this log can be read and heard, not replayed"
    assert sentence.capitalize() in shared.header.note
    with pytest.raises(LogError, match=f"^call.json: redacted: {sentence}$"):
        play(shared)


def test_a_log_that_replays_to_something_else_already_still_does_so(tmp_path: Path) -> None:
    """Such a log is shared to show a fault."""
    call = rehearsed(*INTERRUPTED)
    folder = rewritten(tmp_path / "call", call, CARD)
    events = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text(re.sub(r'"Cut",(.*?)"heard_ms":\d+', r'"Cut",\1"heard_ms":1', events))
    before = play(read(folder)).differences
    after = play(read(redacted(folder, tmp_path / "shared"))).differences
    assert [each.position for each in after] == [each.position for each in before] != []


def test_keys_are_nowhere_and_a_hash_stays(tmp_path: Path) -> None:
    call = rehearsed(Pause(2000), Press("42*7#"), Pause(2000), HangUp())
    shared = redacted(saved(tmp_path / "call", call), tmp_path / "shared")
    keys = [step.input.digit for step in read(shared).steps if isinstance(step.input, Dtmf)]
    assert keys == ["0", "0", "*", "0", "#"]


def test_numbers_that_were_keyed_in_are_nowhere_and_the_log_replays(tmp_path: Path) -> None:
    keys = {"menu": {"9": "I want a table."}}
    call = rehearsed(Pause(2000), Press("4271#"), Pause(4000), Press("9"), Pause(4000), HangUp(), keys=keys)
    folder = saved(tmp_path / "call", call)
    assert "4 2 7 1" in texts_in(folder)
    shared = read(redacted(folder, tmp_path / "shared"))
    assert [step.input.digit for step in shared.steps if isinstance(step.input, Dtmf)] == [*"0000#9"]
    lines = [a.text for step in shared.steps for a in step.actions if isinstance(a, Line) and a.typed_by]
    assert lines == ["The caller pressed the keys 0 0 0 0.", "I want a table."]
    assert "4 2 7 1" not in texts_in(tmp_path / "shared")
    assert "4271" not in texts_in(tmp_path / "shared")
    assert shared.header.unplayable is UNSET
    assert play(shared).differences == ()


def test_who_called_whom_is_nowhere(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "call", rehearsed(*INTERRUPTED), "hello", call_sid="CA" + "1" * 32)
    shared = read(redacted(folder, tmp_path / "shared"))
    assert (shared.header.from_number, shared.header.to_number) == ("+###########", "+###########")
    assert shared.header.call_sid == "CA" + "0" * 32
    (start,) = (step.input for step in shared.steps if isinstance(step.input, Start))
    assert start.account_sid == "AC" + "0" * 32
    assert (b"1" * 32) not in everything_in(tmp_path / "shared")


def test_the_callers_number_in_the_prompt_is_masked(tmp_path: Path) -> None:
    call = rehearsed(*INTERRUPTED, prompt="You talk to {caller}.", greeting="Hello {caller}")
    assert "+15550100001" in texts_in(saved(tmp_path / "call", call))
    shared = redacted(tmp_path / "call", tmp_path / "shared")
    assert "5550100001" not in everything_in(shared).decode(errors="replace")
    assert play(read(shared)).differences == ()


def test_functions_are_called_without_the_numbers(tmp_path: Path) -> None:
    from phonebot.realtime.events import ArgumentsDone, FunctionCall, FunctionCallOutput, ItemAdded

    call = rehearsed(*INTERRUPTED)
    told = (
        Step(1, ArgumentsDone("resp_1", "item_1", 0, "call_1", '{"card": "93715246", "cvc": 424}'), ()),
        Step(1, ItemAdded(FunctionCall("pay", "call_1", '{"card": "93715246"}')), ()),
        Step(1, ItemAdded(FunctionCallOutput("call_1", "paid with 93715246")), ()),
        Step(1, OutputItemDone("resp_1", 0, Message("user", content=())), ()),
    )
    folder = tmp_path / "call"
    folder.mkdir()
    write(folder, header_of(call), CallLog(header_of(call), call.plan, (call.steps[0], *told, *call.steps[1:])))
    shared = redacted(folder, tmp_path / "shared")
    assert b"93715246" not in everything_in(shared)
    assert b'{\\"card\\": \\"11111111\\", \\"cvc\\": 111}' in everything_in(shared)


# ------------------------------------------------------------------------------------------- audio


def caller_audio(folder: Path) -> bytes:
    return wav.read(folder / "caller.wav").data


def test_the_audio_of_turns_with_numbers_is_silence_on_both_sides(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "call", rehearsed(*INTERRUPTED), CARD)
    assert set(caller_audio(folder)) != {0xFF}
    shared = redacted(folder, tmp_path / "shared")
    assert set(caller_audio(shared)) == {0xFF}
    for step in read(shared).steps:
        if isinstance(step.input, Media):
            assert set(a2b_base64(step.input.payload)) == {0xFF}
    said = {
        item.item_id: item.transcript
        for item in (step.input for step in read(shared).steps)
        if isinstance(item, SpokenTextDone)
    }
    for step in read(shared).steps:
        if isinstance(step.input, AudioDelta):
            silent = set(a2b_base64(step.input.audio)) == {0xFF}
            assert silent == ("#" in said.get(step.input.item_id, "#"))


def test_the_audio_of_other_turns_stays(tmp_path: Path) -> None:
    call = rehearsed(*INTERRUPTED)
    folder = rewritten(tmp_path / "call", call, "opening hours")
    shared = redacted(folder, tmp_path / "shared")
    before, after = caller_audio(folder), caller_audio(shared)
    assert before.count(0xFF) < len(before)
    speech = [place for place, code in enumerate(before) if code != 0xFF]
    assert all(after[place] == before[place] for place in speech)
    assert wav.read(shared / "bot.wav") == wav.read(folder / "bot.wav")


def test_audio_of_which_nobody_wrote_down_what_it_says_is_silence(tmp_path: Path) -> None:
    call = rehearsed(QUIET, SPEAKS, QUIET, HangUp(), transcription=None)
    shared = redacted(saved(tmp_path / "call", call), tmp_path / "shared")
    assert set(caller_audio(shared)) == {0xFF}


def test_the_tones_of_keys_are_silence(tmp_path: Path) -> None:
    """The caller speaks while he presses."""
    call = rehearsed(QUIET, SPEAKS, Press("4"), SPEAKS, QUIET, HangUp())
    shared = redacted(saved(tmp_path / "call", call), tmp_path / "shared")
    log = read(shared)
    (pressed_ms,) = (step.now_ms for step in log.steps if isinstance(step.input, Dtmf))
    around = [
        step.input.payload
        for step in log.steps
        if isinstance(step.input, Media) and pressed_ms - 900 <= step.now_ms <= pressed_ms + 400
    ]
    assert {code for payload in around for code in a2b_base64(payload)} == {0xFF}


def test_no_checksum_tells_what_was_silenced(tmp_path: Path) -> None:
    call = rehearsed(*INTERRUPTED, turn_detection={"type": "local"})
    folder = saved(tmp_path / "call", call)
    assert b"crc32" in (folder / "events.jsonl").read_bytes()
    assert b"crc32" not in everything_in(redacted(folder, tmp_path / "shared"))


def test_without_audio_all_is_silence(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "call", rehearsed(*INTERRUPTED), "opening hours")
    shared = redacted(folder, tmp_path / "shared", audio=False)
    assert set(caller_audio(shared)) == set(wav.read(shared / "bot.wav").data) == {0xFF}
    assert play(read(shared)).differences == ()


def test_what_stands_beside_the_log_is_not_shared(tmp_path: Path) -> None:
    folder = saved(tmp_path / "call", rehearsed(*INTERRUPTED))
    (folder / "heard.wav").write_bytes(b"his voice")
    (folder / "expected.toml").write_text('heard = ["caller: 93715246"]')
    shared = redacted(folder, tmp_path / "shared")
    assert sorted(file.name for file in shared.iterdir()) == [
        "bot.wav",
        "call.json",
        "caller.wav",
        "events.jsonl",
        "model.raw",
    ]


def test_audio_that_is_none_is_not_passed_on(tmp_path: Path) -> None:
    secret = "card 93715246!"
    call = rehearsed(*INTERRUPTED)
    steps = (call.steps[0], Step(1, AudioDelta("resp_9", "item_9", 0, 0, secret), ()), *call.steps[1:])
    folder = tmp_path / "call"
    folder.mkdir()
    write(folder, header_of(call), CallLog(header_of(call), call.plan, steps))
    assert b"93715246" not in everything_in(redacted(folder, tmp_path / "shared"))


def test_the_note_says_what_was_done(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "call", rehearsed(*INTERRUPTED), "hello", note="Interrupts once.")
    note = read(redacted(folder, tmp_path / "shared")).header.note
    assert note == (
        "Interrupts once. Redacted: numbers are masked, and the audio in which they were said is silence."
    )


def test_the_plan_is_of_one_piece_with_the_rest() -> None:
    """What the greeting says is masked in the plan too: one would tell the other."""
    assert masked(plan(greeting="We open at 8").greeting or "") == "We open at #"


def test_a_log_of_guardrails_replays_with_the_numbers_in_their_checks_masked(tmp_path: Path) -> None:
    redact(GUARDRAIL, tmp_path)
    log = read(tmp_path)
    assert log.header.unplayable is UNSET
    assert play(log).differences == ()
    checks = [action for step in log.steps for action in step.actions if isinstance(action, Check)]
    assert any("half past ###" in each.text for each in checks)
    assert all("10:30" not in each.arguments for each in checks)
