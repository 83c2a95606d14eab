"""Keys that nobody is to know: what the call is told of them, and which they were."""

from base64 import b64encode

import pytest
from driver import PLAN
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phonebot.audio.base64 import base64_silence
from phonebot.call.actions import KeysEntered
from phonebot.call.call import Call
from phonebot.call.inputs import Input, ModelReady, Tick
from phonebot.call.plan import Keypad
from phonebot.carrier.messages import Dtmf, Media
from phonebot.hidden_keys import HiddenKeys
from phonebot.realtime.events import Session

KEYPAD = Keypad(timeout_ms=1_000, max_keys=4)
ZEROS = str.maketrans("123456789", "0" * 9)
NOISE = b64encode(bytes(160)).decode()


def fed(call: Call, received: Input, now: int, hidden: HiddenKeys) -> list[KeysEntered]:
    actions = call.receive(hidden.hide(received, now), now)
    hidden.follow(actions)
    return [action for action in actions if isinstance(action, KeysEntered)]


def begun(keypad: Keypad) -> Call:
    call = Call(replace(PLAN, keypad=keypad))
    call.receive(ModelReady(Session()), 0)
    return call


@given(st.lists(st.tuples(st.sampled_from("0123456789*#"), st.sampled_from([100, 700, 1_500])), max_size=40))
def test_which_they_were_is_what_a_call_that_knows_them_makes_of_them(pressed: list[tuple[str, int]]) -> None:
    secret, known = begun(replace(KEYPAD, hidden=True)), begun(KEYPAD)
    hidden, now = HiddenKeys(secret), 0
    for digit, wait_ms in pressed:
        now += wait_ms
        for received in (Tick(), Dtmf(1, digit)):
            there = fed(secret, received, now, hidden)
            plain = [a for a in known.receive(received, now) if isinstance(a, KeysEntered)]
            assert [each.keys.translate(ZEROS) for each in plain] == [each.keys for each in there]
            if there:
                assert hidden.keys == plain[-1].keys


def test_the_call_is_told_of_zeros_and_hears_silence_until_the_last() -> None:
    call = begun(replace(KEYPAD, hidden=True))
    hidden = HiddenKeys(call)
    frame = Media(2, 1, 20, NOISE)
    assert hidden.hide(frame, 20) is frame
    assert hidden.hide(Dtmf(3, "7"), 30) == Dtmf(3, "0")
    hidden.follow(call.receive(Dtmf(3, "0"), 30))
    assert hidden.hide(frame, 40) == Media(2, 1, 20, base64_silence(160))
    assert fed(call, Dtmf(4, "#"), 50, hidden) == [KeysEntered("0")]
    assert hidden.hide(frame, 60) is frame
    assert hidden.keys == "7"


@pytest.mark.parametrize("digit", ["*", "#"])
def test_keys_that_are_no_digits_are_no_secret(digit: str) -> None:
    call = begun(replace(KEYPAD, hidden=True))
    assert HiddenKeys(call).hide(Dtmf(3, digit), 0) == Dtmf(3, digit)
