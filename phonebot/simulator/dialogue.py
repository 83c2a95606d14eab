"""
A scripted mind: what the embedded model answers to what it hears, by a script (script.py).

The longest phrase found in what was heard decides, wherever it stands; a phrase of a single word decides only in an
utterance of up to four, because among many words it is more often the recogniser's guess than the caller's wish.
"""

import re
from collections.abc import Container, Iterator, Mapping

from phonebot.simulator.filling import PLACEHOLDER, RESULT, filled, filled_arguments, results_in
from phonebot.simulator.language_model import words_of
from phonebot.simulator.mind import Call, Context, Line, Say
from phonebot.simulator.script import Reply, Script

LONGEST_FOR_ONE_WORD = 4  # words heard in which a phrase of one word counts

_PRESSED = re.compile(r"\bpress(?:ed)?\b[^0-9*#]*([0-9*#]+)", re.IGNORECASE)


class ScriptedMind:
    """
    A `Mind` that follows a script.

    Where the dialogue stands is read from the conversation: the last reply of which the caller heard anything. So
    a reply that was cut before its first word was never given, and a session that is seeded with an earlier one's
    conversation goes on from there.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        # The longest first: the first that is found decides.
        self._phrases = sorted(
            ((words_of(phrase), intent) for intent, phrases in script.intents.items() for phrase in phrases),
            key=lambda entry: (len(entry[0]), len(" ".join(entry[0]))),
            reverse=True,
        )
        # The last reply given, heard or not: it decides which reply a line is from when several begin alike.
        self._given: Reply | None = None
        # The reply whose function was called and has not returned.
        self._called: Reply | None = None

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        """Return what the script says to the newest line of the conversation, or to a question in writing."""
        if context.in_writing:
            return self._in_writing(context)
        newest = context.history[-1] if context.history else None
        if context.heard is None and newest is not None and newest.role == "tool":
            return self._returned(newest, context)
        last, line = self._last_reply(context.history)
        # A key that the client tells of in a message of the system is an answer as well.
        told = newest.text if newest and newest.role == "system" and _PRESSED.search(newest.text) else ""
        reply = self._reply_to(context.heard or told, last)
        if reply is None:
            return (Say((last and last.reprompt) or self._script.reprompt),)
        if reply.repeat:
            return (Say(line or self._script.reprompt),)
        return self._give(reply, context, reply.through)

    def _in_writing(self, context: Context) -> tuple[Say | Call, ...]:
        """What the script has no answer to is answered with nothing."""
        words = [*words_of(context.instructions), *words_of(context.heard or "")]
        asked = f" {' '.join(words)} "
        for each in self._script.written:
            if each.about is not None and f" {' '.join(words_of(each.about))} " not in asked:
                continue
            if context.forced and each.fields is not None and context.tools:
                return (Call(context.tools[0], each.fields),)
            if not context.forced and each.write is not None:
                return (Say(each.write),)
        return ()

    def _give(self, reply: Reply, context: Context, through: tuple[str, ...]) -> tuple[Say | Call, ...]:
        """`through` is empty when another agent was asked for already."""
        self._given = reply
        results = results_in(context.history)
        function = reply.call
        if function is None or function.name not in context.tools:
            if transfer := next((name for name in through if name in context.tools), None):
                self._called = reply
                return (Call(transfer, {}),)
            texts = [said for text in (reply.say, reply.answer) if text and (said := filled(text, results))]
            return (Say(" ".join(texts) or self._instead(reply, results) or self._script.reprompt),)
        arguments = filled_arguments(function.arguments, results)
        if arguments is None:
            return (Say(self._instead(reply, results) or self._script.reprompt),)
        self._called = reply
        call = Call(function.name, arguments)
        said = filled(reply.say, results) if reply.say else None
        return (Say(said), call) if said else (call,)

    def _returned(self, output: Line, context: Context) -> tuple[Say | Call, ...]:
        """Answer with what the function returned, or say nothing more."""
        reply, self._called = self._called, None
        if reply is None:
            return ()
        if output.function in reply.through:
            return self._give(reply, context, through=())
        if reply.answer is None:
            return ()
        results = results_in(context.history) | {RESULT: output.text}
        said = filled(reply.answer, results)
        return (Say(said if said is not None else self._instead(reply, results) or output.text),)

    def _instead(self, reply: Reply, results: Mapping[str, str]) -> str | None:
        return filled(reply.otherwise, results) if reply.otherwise else None

    def _reply_to(self, heard: str, last: Reply | None) -> Reply | None:
        replies = {intent: intent for intent in self._script.intents if intent in self._script.replies}
        replies |= last.next if last else {}
        if pressed := _PRESSED.search(heard):
            intent = self._script.keys.get(pressed.group(1))
        else:
            intent = self._intent(words_of(heard), replies)
        return self._script.replies[replies[intent]] if intent in replies else None

    def _intent(self, heard: list[str], expected: Container[str]) -> str | None:
        text = f" {' '.join(heard)} "
        for phrase, intent in self._phrases:
            counts = len(phrase) > 1 or len(heard) <= LONGEST_FOR_ONE_WORD
            if counts and intent in expected and f" {' '.join(phrase)} " in text:
                return intent
        return None

    def _last_reply(self, history: tuple[Line, ...]) -> tuple[Reply | None, str | None]:
        """Return the last reply that was heard, and it in full; without one, the last line said and no reply."""
        said = [line.text for line in history if line.role == "assistant" and words_of(line.text)]
        for line in reversed(said):
            sources = [
                (reply, line if PLACEHOLDER.search(text) else text)
                for reply in self._script.replies.values()
                for text in _texts(reply)
                if _begins(text, line)
            ]
            if sources:
                return next((source for source in sources if source[0] is self._given), sources[0])
        return None, said[-1] if said else None


def _texts(reply: Reply) -> Iterator[str]:
    """What a reply may say in one go."""
    if reply.say:
        yield reply.say
    if reply.answer:
        yield reply.answer
    if reply.otherwise:
        yield reply.otherwise
    if reply.say and reply.answer:
        yield f"{reply.say} {reply.answer}"


def _begins(text: str, line: str) -> bool:
    """Whether the line, which may have been cut, is said from this text."""
    said = words_of(line)
    before_result, *rest = PLACEHOLDER.split(text, maxsplit=1)
    fixed = words_of(before_result)
    return fixed[: len(said)] == said or bool(rest and fixed and said[: len(fixed)] == fixed)
