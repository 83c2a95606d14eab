"""
A script, written in TOML: what the embedded model answers to what it hears. `dialogue.py` plays it.

    reprompt = "Sorry? You can say: opening hours, or book an appointment."   # when nothing fits

    [intents]                               # what callers say, and our name for it
    hours = ["what are your opening hours", "opening hours"]
    book = ["book an appointment", "i need an appointment"]
    yes = ["yes", "that is right"]
    no = ["no", "no thank you"]
    again = ["say that again"]

    [keys]                                  # the same by a key of the telephone
    1 = "hours"

    [replies.hours]                         # answers the intent of its name, at any time
    say = "We are open from eight to six."

    [replies.book]
    say = "Tuesday at ten is free. Shall I book it?"
    next = { yes = "booked", no = "another_day" }   # while this is the last reply the caller heard
    reprompt = "Please say yes or no."

    [replies.booked]                        # without an intent of its name: reached by `next` only
    call = { name = "book_appointment", arguments = { day = "Tuesday" } }
    answer = "It is booked. {result}"       # said after the function has returned; see filling.py
    otherwise = "I could not book it."      # where the result lacks what the answer tells of it; else it is said

    [replies.another_day]
    say = "Then please call again tomorrow."

    [replies.bill]
    call = { name = "find_bill" }
    through = ["transfer_to_billing"]       # first called where the session does not offer find_bill
    answer = "You owe {result.amount}."

    [replies.again]
    repeat = true                           # says the last reply once more

    [[written]]                             # what is asked in writing: summaries, data, checks; the first that fits
    about = "sum up"                        # words of the question or of the text it is about; without: any
    write = "The caller asked for the opening hours."

    [[written]]
    fields = { topic = "hours" }            # where a function must be called: its arguments

    [pronounce]                             # words the recogniser does not know, in CMU phones
    toothache = "T UW TH EY K"
"""

import re
import tomllib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from phonebot.errors import ProfileError
from phonebot.simulator.filling import RESULT, names_in
from phonebot.simulator.language_model import PHONES, words_of

MAX_SCRIPT_BYTES = 1 << 20

_Text = Annotated[str, Meta(min_length=1, max_length=2000)]
_FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Function(Struct, frozen=True, forbid_unknown_fields=True):
    """A function to call, as the model would."""

    name: _FunctionName
    arguments: dict[str, Any] = {}


class Reply(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is done at one point of the dialogue: say something, then call a function, then say its answer.

    Where the session does not offer the function, but one of `through`, another agent has it: that one is called,
    and then, in what has become another agent's session, the reply is given. A function that is not to be had so
    either is passed over: its answer follows at once, unless that would tell a result. `otherwise` is said where
    the answer, or an argument, lacks a result. `next` maps intents to the replies that answer them while this reply
    is the last.
    """

    say: _Text | None = None
    call: Function | None = None
    through: tuple[_FunctionName, ...] = ()
    answer: _Text | None = None
    otherwise: _Text | None = None
    next: dict[str, str] = {}
    reprompt: _Text | None = None
    repeat: bool = False


class Written(Struct, frozen=True, forbid_unknown_fields=True):
    """
    An answer to a question in writing: a text, or (`fields`) the arguments of the function that must be called.

    `about` None: whatever is asked.
    """

    about: _Text | None = None
    write: _Text | None = None
    fields: dict[str, Any] | None = None


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """A script as written; `load_script` reads and checks it. `source` is the file, for error messages."""

    reprompt: _Text
    intents: dict[str, tuple[str, ...]]
    replies: dict[str, Reply]
    keys: dict[str, str] = {}
    written: tuple[Written, ...] = ()
    pronounce: dict[str, str] = {}
    source: str = "script"

    @property
    def phrases(self) -> tuple[str, ...]:
        """All that callers are expected to say: what an ear has to listen for."""
        return tuple(" ".join(words_of(phrase)) for phrases in self.intents.values() for phrase in phrases)


def load_script(path: Path) -> Script:
    """Read a script. Raises ProfileError with a sentence for each key that is wrong."""
    source = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SCRIPT_BYTES + 1)
        if len(content) > MAX_SCRIPT_BYTES:
            raise ProfileError(source, f"larger than {MAX_SCRIPT_BYTES >> 20} MiB: this is no script")
        return _script(tomllib.loads(content.decode()), source)
    except OSError as error:
        raise ProfileError(source, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(source, f"not UTF-8 at byte {error.start}: save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(source, f"not TOML: {error}") from error


# ------------------------------------------------------------------------------------------- reading

_SECTIONS: dict[str, Any] = {
    "intents": Annotated[tuple[_Text, ...], Meta(min_length=1)],
    "keys": str,
    "replies": Reply,
    "pronounce": str,
}


def _script(table: dict[str, Any], source: str) -> Script:
    problems = [
        f"{key}: unknown; allowed are reprompt, {', '.join(_SECTIONS)}, written"
        for key in table
        if key not in ("reprompt", "written", *_SECTIONS)
    ]
    reprompt = _convert(table.get("reprompt", ""), _Text, "reprompt", problems)
    sections = {name: _section(table.get(name, {}), name, problems) for name in _SECTIONS}
    written = _convert(table.get("written", []), tuple[Written, ...], "written", problems)
    if problems:
        raise ProfileError(source, *problems)
    script = Script(reprompt=reprompt, source=source, written=written, **sections)
    if contradictions := [*_intent_problems(script), *_reply_problems(script), *_other_problems(script)]:
        raise ProfileError(source, *contradictions)
    return script


def _section(entries: Any, section: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(entries, dict):
        problems.append(f"{section}: must be a table, [{section}]")
        return {}
    kind = _SECTIONS[section]
    return {name: _convert(entry, kind, f"{section}.{name}", problems) for name, entry in entries.items()}


def _convert(value: Any, kind: Any, where: str, problems: list[str]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        if "unknown field" in problem:
            allowed = Function if path.startswith(".call") else Written if where == "written" else Reply
            problem += f"; allowed are {', '.join(allowed.__struct_fields__)}"
        problems.append(f"{where}{path.rstrip('`')}: {problem}")
        return None


def _intent_problems(script: Script) -> Iterator[str]:
    if not script.intents:
        yield "intents: none; name at least one thing that callers say"
    followed = {intent for reply in script.replies.values() for intent in reply.next}
    owners: dict[str, str] = {}
    for intent, phrases in script.intents.items():
        if intent not in script.replies and intent not in followed:
            yield f"intents.{intent}: nothing answers it; add [replies.{intent}] or name it in a reply's next"
        for phrase in phrases:
            words = " ".join(words_of(phrase))
            if not words:
                yield f"intents.{intent}: {phrase!r} has no words"
            elif owners.setdefault(words, intent) != intent:
                yield f'intents.{intent}: "{words}" is in intents.{owners[words]} already'


def _reply_problems(script: Script) -> Iterator[str]:
    reached = {name for reply in script.replies.values() for name in reply.next.values()}
    functions = {reply.call.name for reply in script.replies.values() if reply.call}
    for name, reply in script.replies.items():
        where = f"replies.{name}"
        if name not in script.intents and name not in reached:
            yield f"{where}: nothing leads to it; add intents.{name} or name it in a reply's next"
        for problem in (*_content_problems(reply), *_placeholder_problems(reply, functions)):
            yield f"{where}{problem}"
        for intent, target in reply.next.items():
            if intent not in script.intents:
                yield f"{where}.next.{intent}: no such intent; there are {', '.join(script.intents)}"
            if target not in script.replies:
                yield f"{where}.next.{intent}: no reply {target!r}; there are {', '.join(script.replies)}"


def _content_problems(reply: Reply) -> Iterator[str]:
    if reply.repeat:
        if reply != Reply(repeat=True):
            yield ".repeat: stands alone, because it says another reply"
        return
    if reply.say is None and reply.answer is None:
        yield ": has nothing to say; give it say, answer or repeat"
    if reply.answer is not None and reply.call is None:
        yield ".answer: needs a call whose answer it is; what is said at once is say"
    if RESULT in names_in(reply.say or ""):
        yield ".say: {result} is not known yet; put it into answer"


def _placeholder_problems(reply: Reply, functions: Container[str]) -> Iterator[str]:
    arguments = reply.call.arguments if reply.call else {}
    texts = {"say": reply.say, "answer": reply.answer, "otherwise": reply.otherwise} | {
        f"call.arguments.{name}": value for name, value in arguments.items()
    }
    for key, text in texts.items():
        for name in names_in(text) if isinstance(text, str) else ():
            if name != RESULT and name not in functions:
                yield f".{key}: {{{name}}} is no function that a reply calls"


def _other_problems(script: Script) -> Iterator[str]:
    for place, entry in enumerate(script.written):
        if (entry.write is None) == (entry.fields is None):
            yield f"written[{place}]: needs either write or fields"
    for key, intent in script.keys.items():
        if not re.fullmatch(r"[0-9*#]+", key):
            yield f"keys.{key}: a telephone has the keys 0 to 9, * and #"
        if intent not in script.intents:
            yield f"keys.{key}: no intent {intent!r}; there are {', '.join(script.intents)}"
    for word, phones in script.pronounce.items():
        if words_of(word) != [word]:
            yield f"pronounce.{word}: must be one word in lower case"
        if wrong := [phone for phone in phones.split() or [""] if phone not in PHONES]:
            yield f"pronounce.{word}: {wrong[0]!r} is no sound; there are {' '.join(sorted(PHONES))}"
