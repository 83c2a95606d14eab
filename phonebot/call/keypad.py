"""
Keys that the caller presses to answer, gathered until they are what he means: a choice from the menu, or a number.

    keystrokes = Keystrokes(plan.keypad, typed)
    actions = keystrokes.press("4", now, ready)    # [] while more may come
    keystrokes.due_ms                              # when no more does: then `tick`

What he means is text in his place (typed.py): told to the model at once, and answered when nobody speaks. It is
complete with the terminator, with as many keys as there may be, after a time without one, or as soon as the menu
knows the keys and no others that begin with them. The key that made a choice may be pressed again within that
time, as callers do who saw nothing happen, and so may the terminator behind any answer: neither means anything.

Hidden keys are zeros here: the shell has put them there (hidden_keys.py). The model is told how many there were.
"""

from phonebot.call.actions import Action, KeysEntered
from phonebot.call.inputs import TypedText
from phonebot.call.plan import HIDDEN_KEYS, Keypad
from phonebot.call.typed import Typed

TYPIST = "keypad"
"""Who has typed such a text, as the transcript has it."""
ONE_KEY = "The caller pressed the key {keys}."
SEVERAL_KEYS = "The caller pressed the keys {keys}."
HIDDEN = (
    "The caller typed {count} on the telephone. You are not told which: do not ask for them to be said. Where a "
    "function needs them, write {placeholder} in its arguments."
)


class Keystrokes:
    """
    The keys of one call.

    `gathered`: so many were pressed, and more may come. `due_ms`: then no more does, in call time; None: none were.
    """

    def __init__(self, keypad: Keypad, typed: Typed) -> None:
        self.due_ms: int | None = None
        self._keypad, self._typed = keypad, typed
        self._keys = ""
        # What means nothing, should it come next and before this time: the end of what was complete.
        self._spent, self._spent_until_ms = "", 0

    @property
    def gathered(self) -> int:
        return len(self._keys)

    def press(self, digit: str, now: int, ready: bool) -> list[Action]:
        """A key was pressed: what the model is told, and people, if it is complete by it. `ready`: the model is."""
        if not self._keys and digit in self._spent and now < self._spent_until_ms:
            self._spent_until_ms = now + self._keypad.timeout_ms
            return []
        if digit == self._keypad.terminator and self._keys:
            return self._complete(digit, now, ready)
        self._keys += digit
        self.due_ms = now + self._keypad.timeout_ms
        alone = digit == self._keypad.terminator
        if alone or self._is_decided or len(self._keys) >= self._keypad.max_keys:
            return self._complete(digit, now, ready)
        return []

    def tick(self, now: int, ready: bool) -> list[Action]:
        """Time has passed."""
        return self.finish(now, ready) if self.due_ms is not None and now >= self.due_ms else []

    def finish(self, now: int, ready: bool) -> list[Action]:
        """No more keys come: what there is counts."""
        return self._complete("", now, ready) if self._keys else []

    @property
    def _is_decided(self) -> bool:
        """The menu has these keys, and none that go on from them."""
        return [known for known in self._keypad.menu if known.startswith(self._keys)] == [self._keys]

    def _complete(self, digit: str, now: int, ready: bool) -> list[Action]:
        """`digit` was the key that made it so; "": none did."""
        keys, self._keys, self.due_ms = self._keys, "", None
        chosen = self._keypad.menu.get(keys)
        self._spent = self._keypad.terminator + (digit if chosen else "") if digit else ""
        self._spent_until_ms = now + self._keypad.timeout_ms
        typed = TypedText(self._told(keys) if chosen is None else chosen, TYPIST)
        return [KeysEntered(keys, is_choice=chosen is not None), *self._typed.take(typed, ready)]

    def _told(self, keys: str) -> str:
        if self._keypad.hidden:
            count = f"{len(keys)} keys" if len(keys) > 1 else "a key"
            return HIDDEN.format(count=count, placeholder=HIDDEN_KEYS)
        return (SEVERAL_KEYS if len(keys) > 1 else ONE_KEY).format(keys=" ".join(keys))
