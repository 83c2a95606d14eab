from dataclasses import replace
from pathlib import Path

import pytest

from phonebot.errors import ProfileError
from phonebot.simulator.dialogue import ScriptedMind
from phonebot.simulator.mind import Call, Context, Line, Say
from phonebot.simulator.script import Script, load_script

DENTIST = load_script(Path(__file__).parents[2] / "fixtures" / "demo" / "dentist.toml")

MENU = """
reprompt = "Sorry?"

[intents]
hours = ["what are your opening hours", "opening hours"]
table = ["book a table", "a table"]
cancel = ["cancel my table"]
again = ["say that again"]
yes = ["yes", "that is right"]
no = ["no"]
bye = ["bye"]

[keys]
1 = "hours"
2 = "table"
9 = "yes"
"*" = "again"

[replies.hours]
say = "We are open from six."

[replies.table]
say = "I have a table at eight. Is that right?"
next = { yes = "booked", no = "later" }
reprompt = "Yes or no?"

[replies.later]
say = "I have a table at nine. Is that right?"
next = { yes = "booked" }

[replies.booked]
say = "One moment."
call = { name = "book_table", arguments = { seats = 2 } }
answer = "You have {result}. Anything else?"
next = { no = "bye" }

[replies.cancel]
call = { name = "cancel_table" }
answer = "It is cancelled."

[replies.again]
repeat = true

[replies.bye]
say = "Goodbye!"
call = { name = "end_call" }

[[written]]
about = "sum up"
write = "The caller wanted a table."

[[written]]
about = "rude"
fields = { tripped = true }

[[written]]
fields = { tripped = false }
"""


class Talk:
    """A conversation with a mind: keeps the history as a session does."""

    def __init__(self, script: Script, tools: tuple[str, ...] = ("book_table", "cancel_table", "end_call")) -> None:
        self._mind: ScriptedMind = ScriptedMind(script)
        self._tools = tools
        self._called = ""  # the function that was called last
        self.history: list[Line] = []

    def hear(self, text: str) -> tuple[Say | Call, ...]:
        self.history.append(Line("user", text))
        return self._answer(text)

    def function_returns(self, output: str) -> tuple[Say | Call, ...]:
        self.history.append(Line("tool", output, self._called))
        return self._answer(None)

    def handed_over(self, *tools: str) -> tuple[Say | Call, ...]:
        """The function that was called made another agent's session of this one."""
        self._tools = tools
        return self.function_returns('{"agent": "another"}')

    def nobody_speaks(self) -> tuple[Say | Call, ...]:
        return self._answer(None)

    def caller_heard_only(self, words: int) -> None:
        """The last reply was cut after so many words, and disappears when that is none."""
        line = self.history.pop()
        if words:
            self.history.append(replace(line, text=" ".join(line.text.split()[:words])))

    def _answer(self, heard: str | None) -> tuple[Say | Call, ...]:
        answer = self._mind.answer(Context("Be kind.", tuple(self.history), self._tools, heard))
        self.history += [Line("assistant", say.text) for say in answer if isinstance(say, Say)]
        self._called = next((call.name for call in answer if isinstance(call, Call)), self._called)
        return answer


def write(folder: Path, text: str) -> Path:
    path = folder / "menu.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def menu(tmp_path: Path) -> Script:
    return load_script(write(tmp_path, MENU))


@pytest.fixture
def talk(menu: Script) -> Talk:
    return Talk(menu)


# ------------------------------------------------------------------------------------------- understanding


@pytest.mark.parametrize(
    "heard",
    [
        "what are your opening hours",
        "What are your opening hours?",
        "um could you tell me the opening hours on saturday please",
        "opening hours",
    ],
)
def test_a_phrase_is_found_wherever_it_stands(talk: Talk, heard: str) -> None:
    assert talk.hear(heard) == (Say("We are open from six."),)


@pytest.mark.parametrize("heard", ["", "the weather is nice", "reopening hours", "opening your hours"])
def test_what_holds_no_phrase_is_asked_for_again(talk: Talk, heard: str) -> None:
    assert talk.hear(heard) == (Say("Sorry?"),)


def test_the_longest_phrase_decides(talk: Talk) -> None:
    assert talk.hear("a table hm no i want to cancel my table") == (Call("cancel_table", {}),)


@pytest.mark.parametrize(
    ("heard", "counts"), [("oh yes yes please", True), ("i gotten you computer yes today", False)]
)
def test_a_single_word_counts_in_a_short_utterance_only(talk: Talk, heard: str, counts: bool) -> None:
    talk.hear("a table")
    assert (talk.hear(heard) == (Say("Yes or no?"),)) is not counts


def test_an_answer_without_a_question_is_not_understood(talk: Talk) -> None:
    assert talk.hear("yes") == (Say("Sorry?"),)
    talk.hear("opening hours")
    assert talk.hear("that is right") == (Say("Sorry?"),)


def test_a_response_to_nothing_said_offers_what_can_be_said(talk: Talk) -> None:
    assert talk.nobody_speaks() == (Say("Sorry?"),)


@pytest.mark.parametrize(
    "pressed", ["pressed 1", "The caller pressed 1.", "Caller pressed the key: 1", "[press 1]"]
)
def test_a_key_stands_for_its_intent(talk: Talk, pressed: str) -> None:
    assert talk.hear(pressed) == (Say("We are open from six."),)


def test_a_key_may_answer_a_question(talk: Talk) -> None:
    assert talk.hear("pressed 9") == (Say("Sorry?"),)
    talk.hear("pressed 2")
    assert talk.hear("pressed 9")[0] == Say("One moment.")


@pytest.mark.parametrize("pressed", ["pressed 7", "pressed 12", "pressed #"])
def test_a_key_without_a_meaning_is_not_understood(talk: Talk, pressed: str) -> None:
    assert talk.hear(pressed) == (Say("Sorry?"),)


# ------------------------------------------------------------------------------------------- following up


def test_a_question_is_answered_by_what_follows_it(talk: Talk) -> None:
    assert talk.hear("book a table") == (Say("I have a table at eight. Is that right?"),)
    assert talk.hear("no") == (Say("I have a table at nine. Is that right?"),)
    assert talk.hear("that is right") == (Say("One moment."), Call("book_table", {"seats": 2}))


def test_a_question_that_is_not_answered_is_asked_in_its_own_words_and_stands(talk: Talk) -> None:
    talk.hear("book a table")
    assert talk.hear("maybe") == (Say("Yes or no?"),)
    assert talk.hear("") == (Say("Yes or no?"),)
    assert talk.hear("no") == (Say("I have a table at nine. Is that right?"),)


def test_another_wish_leaves_the_question(talk: Talk) -> None:
    talk.hear("book a table")
    assert talk.hear("opening hours") == (Say("We are open from six."),)
    assert talk.hear("yes") == (Say("Sorry?"),)


def test_a_question_that_was_interrupted_is_answered_all_the_same(talk: Talk) -> None:
    talk.hear("book a table")
    talk.caller_heard_only(words=5)
    assert talk.hear("no") == (Say("I have a table at nine. Is that right?"),)


def test_of_replies_that_begin_alike_the_one_that_was_given_is_meant(talk: Talk) -> None:
    """Both offers begin with "I have a table at"; only the first has another one after it."""
    talk.hear("book a table")
    talk.hear("no")
    talk.caller_heard_only(words=5)
    assert talk.hear("no") == (Say("Sorry?"),)


def test_a_question_that_nobody_heard_was_not_asked(talk: Talk) -> None:
    talk.hear("opening hours")
    talk.hear("book a table")
    talk.caller_heard_only(words=0)
    assert talk.hear("yes") == (Say("Sorry?"),)


def test_a_new_mind_goes_on_where_the_conversation_stands(menu: Script, talk: Talk) -> None:
    """A session that is lost is opened again and seeded with what was said."""
    talk.hear("book a table")
    seeded = Talk(menu)
    seeded.history = list(talk.history)
    assert seeded.hear("no") == (Say("I have a table at nine. Is that right?"),)


def test_the_last_reply_is_repeated_in_full(talk: Talk) -> None:
    talk.hear("book a table")
    talk.caller_heard_only(words=2)
    assert talk.hear("say that again") == (Say("I have a table at eight. Is that right?"),)
    assert talk.hear("no") == (Say("I have a table at nine. Is that right?"),)


def test_a_greeting_from_elsewhere_is_repeated(talk: Talk) -> None:
    talk.history.append(Line("assistant", "Welcome to the menu."))
    assert talk.hear("pressed *") == (Say("Welcome to the menu."),)


def test_with_nothing_said_there_is_nothing_to_repeat(talk: Talk) -> None:
    assert talk.hear("say that again") == (Say("Sorry?"),)


# ------------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize(
    ("output", "said"), [("table 4", "table 4"), ('"table 4"', "table 4"), ("", ""), ("[4]", "[4]"), ("{}", "{}")]
)
def test_a_function_that_returns_is_answered_with_its_result(talk: Talk, output: str, said: str) -> None:
    talk.hear("book a table")
    talk.hear("yes")
    assert talk.function_returns(output) == (Say(f"You have {said}. Anything else?"),)
    assert talk.hear("no") == (Say("Goodbye!"), Call("end_call", {}))


def test_a_result_is_repeated_with_the_answer(talk: Talk) -> None:
    talk.hear("book a table")
    talk.hear("yes")
    talk.function_returns("table 4")
    assert talk.hear("say that again") == (Say("You have table 4. Anything else?"),)


def test_a_function_is_not_called_again_by_repeating(talk: Talk) -> None:
    talk.hear("bye")
    assert talk.hear("say that again") == (Say("Goodbye!"),)


def test_a_function_without_an_answer_ends_in_silence(talk: Talk) -> None:
    talk.hear("bye")
    assert talk.function_returns("ok") == ()


def test_a_result_nobody_asked_for_is_not_spoken(talk: Talk) -> None:
    assert talk.function_returns("table 4") == ()


def test_a_caller_who_speaks_before_the_result_is_answered_and_the_result_too(talk: Talk) -> None:
    talk.hear("cancel my table")
    assert talk.hear("opening hours") == (Say("We are open from six."),)
    assert talk.function_returns("ok") == (Say("It is cancelled."),)


def test_a_function_that_the_session_does_not_offer_is_passed_over(menu: Script) -> None:
    talk = Talk(menu, tools=())
    talk.hear("book a table")
    assert talk.hear("cancel my table") == (Say("It is cancelled."),)
    talk.hear("book a table")
    assert talk.hear("yes") == (Say("One moment."),)
    assert talk.hear("no") == (Say("Goodbye!"),)


# ------------------------------------------------------------------------------------------- results and agents

BOOKING = """
reprompt = "Sorry?"

[intents]
table = ["book a table"]
bill = ["my bill"]
hours = ["opening hours"]
move = ["move my table"]
yes = ["yes"]

[replies.table]
call = { name = "find_tables", arguments = { day = "friday" } }
through = ["transfer_to_desk"]
answer = "There is one at {result.free.0.time}, for {result.free.0.seats}. Is that right?"
otherwise = "There is none. {result}"
next = { yes = "booked" }

[replies.booked]
say = "I book it."
call = { name = "book_table", arguments = { id = "{find_tables.free.0.id}", for = "{find_tables.free.0.seats}!" } }
answer = "It is yours, {result}."
otherwise = "I know of no table."

[replies.move]
call = { name = "book_table", arguments = { id = "{find_tables.free.1.id}" } }
answer = "It is moved."

[replies.bill]
call = { name = "find_bill" }
through = ["transfer_to_billing", "transfer_to_desk"]
answer = "It is {result.amount}."

[replies.hours]
say = "Desk here. From six."
through = ["transfer_to_desk"]
"""
FREE = '{"free": [{"id": 7, "time": "six", "seats": 4}]}'
DESK = ("find_tables", "book_table", "transfer_to_billing")
BILLING = ("find_bill", "transfer_to_desk")


@pytest.fixture
def booking(tmp_path: Path) -> Script:
    return load_script(write(tmp_path, BOOKING))


def test_an_answer_tells_values_of_a_result_and_a_later_call_uses_them(booking: Script) -> None:
    talk = Talk(booking, DESK)
    assert talk.hear("book a table") == (Call("find_tables", {"day": "friday"}),)
    assert talk.function_returns(FREE) == (Say("There is one at six, for 4. Is that right?"),)
    assert talk.hear("yes") == (
        Say("I book it."),
        Call("book_table", {"id": 7, "for": "4!"}),
    )
    assert talk.function_returns("table 7") == (Say("It is yours, table 7."),)


def test_an_offer_that_was_interrupted_is_still_the_last_reply(booking: Script) -> None:
    talk = Talk(booking, DESK)
    talk.hear("book a table")
    talk.function_returns(FREE)
    talk.caller_heard_only(words=6)
    assert talk.hear("yes")[0] == Say("I book it.")


def test_a_result_that_lacks_what_the_answer_tells_is_told_otherwise(booking: Script) -> None:
    talk = Talk(booking, DESK)
    talk.hear("book a table")
    assert talk.function_returns("We are closed.") == (Say("There is none. We are closed."),)
    assert talk.hear("yes") == (Say("I know of no table."),)


def test_without_an_otherwise_the_result_itself_is_said(booking: Script) -> None:
    talk = Talk(booking, BILLING)
    talk.hear("my bill")
    assert talk.function_returns("There is no bill.") == (Say("There is no bill."),)


def test_a_call_that_lacks_an_argument_is_not_made(booking: Script) -> None:
    assert Talk(booking, DESK).hear("move my table") == (Say("Sorry?"),)


def test_a_function_of_another_agent_is_called_once_he_has_taken_over(booking: Script) -> None:
    talk = Talk(booking, DESK)
    assert talk.hear("my bill") == (Call("transfer_to_billing", {}),)
    assert talk.handed_over(*BILLING) == (Call("find_bill", {}),)
    assert talk.function_returns('{"amount": "40 dollars"}') == (Say("It is 40 dollars."),)
    assert talk.hear("book a table") == (Call("transfer_to_desk", {}),)
    assert talk.handed_over(*DESK) == (Call("find_tables", {"day": "friday"}),)


def test_what_another_agent_says_without_a_function_is_said_once_he_has_taken_over(booking: Script) -> None:
    talk = Talk(booking, BILLING)
    assert talk.hear("opening hours") == (Call("transfer_to_desk", {}),)
    assert talk.handed_over(*DESK) == (Say("Desk here. From six."),)


def test_an_agent_who_lacks_the_function_too_is_the_last_to_be_asked(booking: Script) -> None:
    talk = Talk(booking, DESK)
    talk.hear("my bill")
    assert talk.handed_over("transfer_to_desk") == (Say("Sorry?"),)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("It is {result.amount}", "It is {find_bil.amount}", "replies.bill.answer: {find_bil} is no function"),
        ("{find_tables.free.1.id}", "{tables}", "replies.move.call.arguments.id: {tables} is no function"),
        ("I know of no table.", "No {tables}.", "replies.booked.otherwise: {tables} is no function"),
        ('["transfer_to_desk"]\nanswer', '["transfer to desk"]\nanswer', "replies.table.through[0]: Expected"),
    ],
)
def test_a_mistake_about_results_is_named_with_its_key(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in BOOKING
    with pytest.raises(ProfileError) as raised:
        load_script(write(tmp_path, BOOKING.replace(old, new, 1)))
    assert [line for line in raised.value.problems if problem in line]


# ------------------------------------------------------------------------------------------- the demo


def test_the_demo_call_goes_as_its_caller_expects() -> None:
    talk = Talk(DENTIST, tools=("end_call",))
    talk.history.append(Line("assistant", "Hello, and thank you for calling Northwind Dental. How can I help?"))
    (offer,) = talk.hear("i would like to book an appointment")
    assert isinstance(offer, Say)
    assert "Tuesday" in offer.text
    talk.caller_heard_only(words=9)
    (confirmation,) = talk.hear("that is right")
    assert isinstance(confirmation, Say)
    assert confirmation.text.startswith("Your appointment is booked for Tuesday")
    (hours,) = talk.hear("what are your opening hours")
    assert isinstance(hours, Say)
    assert hours.text.startswith("We are open")
    assert talk.hear("that is all thanks") == (
        Say("Thank you for calling Northwind Dental. Goodbye!"),
        Call("end_call", {}),
    )


def test_the_phrases_for_the_ear_are_words_only(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, MENU.replace('"bye"]', '"Good-bye, then!"]')))
    assert "good bye then" in script.phrases
    assert len(script.phrases) == 10


# ------------------------------------------------------------------------------------------- in writing


@pytest.mark.parametrize(
    ("instructions", "text", "forced", "answer"),
    [
        ("Sum up this call.", "Caller: A table, please.", False, (Say("The caller wanted a table."),)),
        ("Is this rude?", "You are wonderful.", True, (Call("check", {"tripped": True}),)),
        ("Is this well-mannered?", "You are so rude!", True, (Call("check", {"tripped": True}),)),
        ("Is this well-mannered?", "You are wonderful.", True, (Call("check", {"tripped": False}),)),
        ("Write a poem.", "A table, please.", False, ()),
    ],
)
def test_a_question_in_writing_is_answered_by_its_words_and_kind(
    menu: Script, instructions: str, text: str, forced: bool, answer: tuple[Say | Call, ...]
) -> None:
    tools = ("check",) if forced else ()
    context = Context(
        instructions, (Line("user", text),), tools, text, instructions, in_writing=True, forced=forced
    )
    assert ScriptedMind(menu).answer(context) == answer


# ------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('reprompt = "Sorry?"', "", "reprompt: "),
        ('reprompt = "Sorry?"', "reprompt = 5", "reprompt: Expected `str`, got `int`"),
        (
            'reprompt = "Sorry?"',
            'reprompt = "Sorry?"\nprompt = "x"',
            "prompt: unknown; allowed are reprompt, intents",
        ),
        ('reprompt = "Sorry?"', 'reprompt = "Sorry?"\npronounce = 3', "pronounce: must be a table, [pronounce]"),
        ('bye = ["bye"]', "bye = []", "intents.bye: Expected `array` of length >= 1"),
        ('bye = ["bye"]', 'bye = "bye"', "intents.bye: Expected `array`, got `str`"),
        ('bye = ["bye"]', 'bye = ["!?"]', "intents.bye: '!?' has no words"),
        ('bye = ["bye"]', 'bye = ["Yes!"]', 'intents.bye: "yes" is in intents.yes already'),
        ('bye = ["bye"]', 'bye = ["bye"]\nhi = ["hi"]', "intents.hi: nothing answers it; add [replies.hi]"),
        ('1 = "hours"', '1 = "ours"', "keys.1: no intent 'ours'; there are hours, table"),
        ('1 = "hours"', 'x = "hours"', "keys.x: a telephone has the keys 0 to 9, * and #"),
        ('1 = "hours"', "1 = 1", "keys.1: Expected `str`, got `int`"),
        ("[replies.later]", "[replies.latter]", "replies.latter: nothing leads to it"),
        ("[replies.later]", "[replies.latter]", "replies.table.next.no: no reply 'later'; there are hours"),
        ('no = "bye"', 'nope = "bye"', "replies.booked.next.nope: no such intent; there are hours"),
        (
            'reprompt = "Yes or no?"',
            'promt = "?"',
            "replies.table: Object contains unknown field `promt`; allowed are say",
        ),
        ('name = "end_call"', 'nam = "end_call"', "replies.bye.call: Object contains unknown field `nam`"),
        ('{ name = "end_call" }', '{ name = "end_call", args = 1 }', "allowed are name, arguments"),
        ('name = "end_call"', 'name = "end call"', "replies.bye.call.name: Expected `str` matching regex"),
        ('say = "We are open from six."', "", "replies.hours: has nothing to say; give it say, answer or repeat"),
        ('say = "We are open from six."', 'say = ""', "replies.hours.say: Expected `str` of length >= 1"),
        ('say = "We are open from six."', 'say = "At {result}"', "replies.hours.say: {result} is not known yet"),
        ('say = "We are open from six."', 'answer = "At six."', "replies.hours.answer: needs a call"),
        ("repeat = true", 'repeat = true\nsay = "x"', "replies.again.repeat: stands alone"),
        ('about = "rude"', 'about = "rude"\nwrite = "x"', "written[1]: needs either write or fields"),
        ('about = "rude"', 'abuot = "rude"', "unknown field `abuot`; allowed are about, write, fields"),
        ("[keys]", "[pronounce]\nkale = 'K XX L'\n[keys]", "pronounce.kale: 'XX' is no sound; there are AA AE"),
        ("[keys]", "[pronounce]\nkale = ''\n[keys]", "pronounce.kale: '' is no sound"),
        ("[keys]", "[pronounce]\nKale = 'K'\n[keys]", "pronounce.Kale: must be one word in lower case"),
    ],
)
def test_a_mistake_in_a_script_is_named_with_its_key(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in MENU
    path = write(tmp_path, MENU.replace(old, new, 1))
    with pytest.raises(ProfileError) as raised:
        load_script(path)
    assert raised.value.source == str(path)
    assert [line for line in raised.value.problems if problem in line]


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    wrong = MENU.replace('1 = "hours"', '1 = "ours"').replace("repeat = true", 'repeat = true\nsay = "x"')
    with pytest.raises(ProfileError) as raised:
        load_script(write(tmp_path, wrong))
    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["replies.again.repeat", "keys.1"]


def test_an_empty_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="intents: none"):
        load_script(write(tmp_path, 'reprompt = "Sorry?"'))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"reprompt = ", "not TOML: "),
        (b'reprompt = "\xff"', "not UTF-8 at byte 12"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_script_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "menu.toml"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=problem):
        load_script(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_script(tmp_path / "nowhere.toml")


def test_a_key_that_a_message_of_the_system_tells_of_answers_too(talk: Talk) -> None:
    talk.history.append(Line("system", "The caller pressed 1: he agrees. Call it again now."))
    assert talk.nobody_speaks() == (Say("We are open from six."),)


def test_other_messages_of_the_system_answer_nothing(talk: Talk) -> None:
    talk.history.append(Line("system", "Tell him the opening hours."))
    assert talk.nobody_speaks() == (Say("Sorry?"),)
