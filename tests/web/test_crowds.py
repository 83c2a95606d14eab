"""How many calls a process takes, counted without any."""

import pytest

from phonebot.web.crowds import EXPECTED_S, Bounds, Crowds, Party, Reason

DESK, BILLING = "+15550100002", "+15550100003"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Door:
    """Lets calls in by their bounds, as the voice webhook does."""

    def __init__(self, **bounds: int) -> None:
        self.clock = Clock()
        self.crowds = Crowds(Bounds(**bounds), self.clock)
        self._sids = iter(range(1_000))

    def call(self, caller: str = "+15550100001", number: str = DESK, sid: str = "") -> Reason | None:
        party = Party(sid or f"CA{next(self._sids)}", caller, number)
        reason = self.crowds.refuses(party)
        if reason is None:
            self.crowds.expect(party)
        return reason


def test_without_bounds_any_number_of_calls_is_taken() -> None:
    door = Door()
    assert [door.call() for _ in range(600)] == [None] * 600


def test_a_process_takes_so_many_calls_those_included_whose_stream_is_to_come() -> None:
    door = Door(calls=3)
    with door.crowds.holding(Party("CA1", "", DESK)):
        assert [door.call() for _ in range(3)] == [None, None, "process"]
    assert [door.call() for _ in range(2)] == [None, "process"]


@pytest.mark.parametrize(
    ("bound", "others", "reason"),
    [
        ("calls_per_number", {"number": BILLING}, "number"),
        ("calls_per_caller", {"caller": "+15550100009"}, "caller"),
        ("new_per_caller_a_minute", {"caller": "+15550100009"}, "rate"),
    ],
)
def test_one_who_takes_more_than_his_share_is_refused_and_others_are_not(
    bound: str, others: dict[str, str], reason: str
) -> None:
    door = Door(**{bound: 2})
    assert [door.call() for _ in range(3)] == [None, None, reason]
    assert door.call(**others) is None


def test_a_call_counts_until_its_stream_has_ended() -> None:
    door = Door(calls_per_caller=1)
    party = Party("CA1", "+15550100001", DESK)
    door.crowds.expect(party)
    with door.crowds.holding(party):
        assert door.call() == "caller"
        with door.crowds.holding(Party("CA2", "+15550100001", DESK)):  # one of ours: it is counted, not refused
            assert door.call() == "caller"
        assert door.call() == "caller"
    assert door.call() is None


def test_a_stream_that_does_not_come_is_not_waited_for() -> None:
    door = Door(calls_per_number=1)
    assert (door.call(), door.call()) == (None, "number")
    door.clock.now_s += EXPECTED_S
    assert door.call() is None


def test_a_webhook_that_is_sent_again_is_the_same_call() -> None:
    door = Door(calls_per_caller=1, new_per_caller_a_minute=1)
    assert [door.call(sid="CA1") for _ in range(3)] == [None, None, None]
    assert door.call(sid="CA2") == "rate"


def test_a_minute_later_a_caller_may_call_again() -> None:
    door = Door(new_per_caller_a_minute=1)
    assert (door.call(), door.call()) == (None, "rate")
    door.clock.now_s += 60
    assert door.call() is None


@pytest.mark.parametrize("caller", ["", "anonymous", "Anonymous", "unknown", "Restricted"])
def test_callers_who_withhold_their_numbers_are_not_one_caller(caller: str) -> None:
    door = Door(calls_per_caller=1, new_per_caller_a_minute=1)
    assert [door.call(caller) for _ in range(3)] == [None, None, None]


def test_those_who_have_gone_take_no_memory() -> None:
    door = Door(calls=1_000_000)
    for number in range(20_000):
        party = Party(f"CA{number}", f"+1555{number}", DESK)
        door.crowds.expect(party)
        with door.crowds.holding(party):
            pass
    counted = vars(door.crowds)
    assert not any(counted[name] for name in ("_expected", "_count_of_all", "_of_numbers", "_of_callers"))
