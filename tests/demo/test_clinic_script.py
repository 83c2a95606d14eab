"""What the clinic's caller says, understood by the embedded ear, and what its mind makes of that."""

import json
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio

from phonebot.audio import g711, wav
from phonebot.clinic.appointments import appointment_tools
from phonebot.clinic.bills import Bills, billing_tools
from phonebot.clinic.diary import Diary
from phonebot.demo.clinic import shortcomings, start_over
from phonebot.demo.scene import CALLER, Expected
from phonebot.serving import demo_folder
from phonebot.simulator.dialogue import ScriptedMind
from phonebot.simulator.ear import PhraseEar
from phonebot.simulator.mind import Call, Context, Line, Say
from phonebot.simulator.script import load_script
from phonebot.tools import Tool, ToolContext, ToolError

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = demo_folder() / "clinic"
SCRIPT = load_script(FOLDER / "script.toml")
NOW = datetime.fromisoformat("2026-11-27T08:00")  # a Friday
SAID = {
    "book": "i would like to book an appointment on tuesday",
    "that-is-right": "that is right",
    "move": "can you move my appointment to thursday",
    "that-is-fine": "that is fine",
    "advice": "what should i take for the pain",
    "bill": "i have a question about my bill",
    "cancel": "please cancel my appointment",
    "yes-please": "yes please",
    "goodbye": "that is all thanks",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ear(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PhraseEar]:
    async with PhraseEar(SCRIPT.phrases, cache=tmp_path_factory.mktemp("ear")) as ear:
        yield ear


@pytest.mark.parametrize("name", SAID)
async def test_the_caller_is_understood_word_for_word_however_his_turn_is_cut(ear: PhraseEar, name: str) -> None:
    pcm = g711.ulaw_to_pcm(g711.pcm_to_ulaw(wav.read(FOLDER / f"{name}.wav").data))
    loud = [at for at in range(0, len(pcm), 16) if max(array("h", pcm[at : at + 16])) > 200]
    first, last = loud[0], loud[-1]
    line = bytes(16 * 600)  # the silence of the line, before and after
    cuts = [(120, 100), (240, 300), (295, 520), (380, 405)]
    turns = {(before, after): (line + pcm + line)[first + 16 * (600 - before) :] for before, after in cuts}
    heard = {cut: await ear.recognise(turn[: last - first + 16 * sum(cut)]) for cut, turn in turns.items()}
    assert heard == dict.fromkeys(cuts, SAID[name])


@dataclass
class Reception:
    """The mind in a session that has these functions, which run as they are called."""

    tools: dict[str, Tool]
    mind: ScriptedMind = field(default_factory=lambda: ScriptedMind(SCRIPT))
    history: list[Line] = field(default_factory=list)
    called: list[str] = field(default_factory=list)

    def hear(self, text: str) -> str:
        """What is said in answer, once no function is called any more."""
        self.history.append(Line("user", text))
        answer = self._answer(text)
        while calls := [each for each in answer if isinstance(each, Call)]:
            for call in calls:
                self.called.append(call.name)
                self.history.append(Line("tool", self._run(call), call.name))
            answer = self._answer(None)
        return self.history[-1].text

    def _answer(self, heard: str | None) -> tuple[Say | Call, ...]:
        answer = self.mind.answer(Context("Be kind.", tuple(self.history), tuple(self.tools), heard))
        self.history += [Line("assistant", each.text) for each in answer if isinstance(each, Say)]
        return answer

    def _run(self, call: Call) -> str:
        tool = self.tools[call.name]
        given = tool.arguments.model_validate_json(json.dumps(call.arguments)).model_dump(by_alias=True)
        if tool.context:
            given[tool.context] = ToolContext("CA1", CALLER)
        if tool.rule.consent and self.called.count(call.name) == 1:
            return "Not done yet: the caller has to agree first."
        try:
            return json.dumps(tool(**given))
        except ToolError as refusal:
            return str(refusal)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "clinic.db")


@pytest.fixture
def reception(diary: Diary) -> Reception:
    bills = Bills(diary.path)
    start_over(diary, bills, NOW)
    tools = (*appointment_tools(diary, lambda: NOW), *billing_tools(bills))
    return Reception({each.name: each for each in tools})


def changed(diary: Diary, *changes: str) -> bool:
    """Whether the call changed the diary so, and in no other way."""
    expected = Expected(understood=[], barge_ins=0, last_words="", changes=list(changes))
    return not list(shortcomings(diary, "CA1", expected))


async def test_the_mind_books_what_it_found_moves_it_and_cancels_it_when_asked_twice(
    reception: Reception, diary: Diary
) -> None:
    said = [reception.hear(SAID[name]) for name in SAID if name not in ("advice", "bill")]
    assert said == [
        "I have Tuesday, December 1 at 10:30 AM. Is that right for you?",
        "It is booked: Tuesday, December 1 at 10:30 AM. Anything else?",
        "I could move it to Thursday, December 3 at 2 PM. Shall I?",
        "It is moved to Thursday, December 3 at 2 PM. Anything else?",
        "Do you really want to cancel your appointment?",
        "Your appointment on Thursday, December 3 at 2 PM is cancelled.",
        "Thank you for calling the Harbour Clinic. Goodbye!",
    ]
    assert changed(diary, "booked Tuesday 10:30", "moved Thursday 14:00", "cancelled Thursday 14:00")


async def test_a_caller_who_declines_is_offered_another_time(reception: Reception, diary: Diary) -> None:
    reception.hear(SAID["book"])
    assert reception.hear("no thank you") == "Then I have Tuesday, December 1 at 2 PM. Is that right for you?"
    assert reception.hear("yes") == "It is booked: Tuesday, December 1 at 2 PM. Anything else?"
    assert changed(diary, "booked Tuesday 14:00")


async def test_a_caller_who_changes_his_mind_keeps_his_appointment(reception: Reception, diary: Diary) -> None:
    reception.hear(SAID["book"])
    reception.hear("that is right")
    reception.hear(SAID["cancel"])
    assert reception.hear("no") == "Then all stays as it is. Anything else?"
    assert changed(diary, "booked Tuesday 10:30")


async def test_a_time_that_was_taken_meanwhile_is_not_said_to_be_booked(reception: Reception, diary: Diary) -> None:
    reception.hear(SAID["book"])
    diary.book("+15550100099", datetime.fromisoformat("2026-12-01T10:30"), NOW, "CA2")
    assert reception.hear("that is right").startswith("I could not book it: Not done: Tuesday, December 1")
    assert changed(diary)


async def test_what_cannot_be_moved_is_said_so(reception: Reception, diary: Diary) -> None:
    reception.hear(SAID["move"])
    assert reception.hear("that is fine").startswith("I could not move it: Not done: no appointment is booked")
    assert changed(diary)


async def test_the_bill_is_told_as_the_table_has_it(reception: Reception) -> None:
    assert reception.hear(SAID["bill"]) == "This is billing. You owe 40 dollars for the check-up on November 13."
