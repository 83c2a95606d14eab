"""Tokens of the browser's phone: one call each, of one user, with the profile that was edited."""

import pytest
from service_driver import ACCOUNT_SID, SECRET_KEY, STREAM_SID

from phonebot.agents.profile import Profile
from phonebot.carrier.messages import Start
from phonebot.web.admission import Admission, Gate, Refused
from phonebot.web.console.trials import (
    MAX_DRAFTS,
    MAX_DRAFTS_OF_A_USER,
    TRIAL_AGE_S,
    Drafts,
    Ticket,
    Trial,
    Trials,
)

NUMBER = "+15550100002"
DRAFT = Profile(name="a draft")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def start(ticket: Ticket, call_sid: str | None = None) -> Start:
    return Start(1, STREAM_SID, ACCOUNT_SID, call_sid or ticket.call_sid, parameters={"token": ticket.token})


def test_a_token_grants_a_call_with_the_profile_as_it_was_edited() -> None:
    trials = Trials(SECRET_KEY)
    assert trials.admit(start(trials.issue("ada", NUMBER, DRAFT)), "ada") == Trial("ada", NUMBER, DRAFT)


def test_a_token_without_a_profile_grants_a_call_with_the_saved_one() -> None:
    trials = Trials(SECRET_KEY)
    assert trials.admit(start(trials.issue("ada", NUMBER)), "ada") == Trial("ada", NUMBER, None)


def test_a_token_is_taken_once() -> None:
    trials = Trials(SECRET_KEY)
    ticket = trials.issue("ada", NUMBER, DRAFT)
    trials.admit(start(ticket), "ada")
    with pytest.raises(Refused, match="used before"):
        trials.admit(start(ticket), "ada")


def test_a_token_is_taken_until_it_is_ten_minutes_old() -> None:
    clock = Clock()
    trials = Trials(SECRET_KEY, clock)
    first, second = trials.issue("ada", NUMBER, DRAFT), trials.issue("ada", NUMBER, DRAFT)
    clock.now_s += TRIAL_AGE_S
    trials.admit(start(first), "ada")
    clock.now_s += 1
    with pytest.raises(Refused, match="older than 600 s"):
        trials.admit(start(second), "ada")


def test_another_user_or_another_call_cannot_take_a_token_nor_use_it_up() -> None:
    trials = Trials(SECRET_KEY)
    ticket = trials.issue("ada", NUMBER, DRAFT)
    with pytest.raises(Refused, match="another user"):
        trials.admit(start(ticket), "bob")
    with pytest.raises(Refused, match="another call"):
        trials.admit(start(ticket, "CA" + "9" * 32), "ada")
    assert trials.admit(start(ticket), "ada").profile == DRAFT


def test_no_token_of_one_door_opens_the_other() -> None:
    gate, trials = Gate(SECRET_KEY), Trials(SECRET_KEY)
    ticket = trials.issue("ada", NUMBER, DRAFT)
    with pytest.raises(Refused, match="not ours"):
        gate.admit(start(ticket))
    carriers = Ticket(gate.issue(Admission("CA1", "+15550100001", NUMBER, "0123456789ab"))[0], "CA1")
    with pytest.raises(Refused, match="not ours"):
        trials.admit(start(carriers), "ada")


def test_a_profile_that_another_process_keeps_is_refused_in_a_sentence() -> None:
    ticket = Trials(SECRET_KEY).issue("ada", NUMBER, DRAFT)
    with pytest.raises(Refused, match="no longer kept"):
        Trials(SECRET_KEY).admit(start(ticket), "ada")


def test_a_user_who_tries_much_pushes_out_his_own_oldest_profile_only() -> None:
    drafts = Drafts()
    others = drafts.keep("bob", DRAFT)
    names = [drafts.keep("ada", Profile(name=str(n))) for n in range(MAX_DRAFTS_OF_A_USER + 1)]
    with pytest.raises(Refused):
        drafts.take(names[0])
    assert [drafts.take(name).name for name in names[1:]] == [str(n + 1) for n in range(MAX_DRAFTS_OF_A_USER)]
    assert drafts.take(others) == DRAFT


def test_no_more_profiles_are_kept_than_may_be_nor_longer() -> None:
    clock = Clock()
    drafts = Drafts(clock)
    for n in range(MAX_DRAFTS + 1):
        drafts.keep(f"user {n}", DRAFT)
    assert len(drafts) == MAX_DRAFTS
    clock.now_s += TRIAL_AGE_S + 2
    drafts.keep("ada", DRAFT)
    assert len(drafts) == 1
