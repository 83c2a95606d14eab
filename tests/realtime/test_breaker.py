"""When a service is asked, and when only by who has no choice."""

from phonebot.realtime.breaker import FIRST_WAIT_S, LONGEST_WAIT_S, Breaker


def failing(breaker: Breaker, times: int, now_s: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker.fail(breaker.begin(now_s), now_s)
    return breaker


def test_it_opens_after_three_failures_in_a_row() -> None:
    breaker = failing(Breaker(), 2)
    breaker.succeed()
    assert failing(breaker, 2).state(0) == "closed"
    assert failing(breaker, 1).state(0) == "open"
    assert not breaker.admits(14.9)


def test_one_trial_is_let_through_after_its_time_and_no_other_beside_it() -> None:
    breaker = failing(Breaker(), 3)
    assert breaker.admits(FIRST_WAIT_S)
    assert breaker.begin(FIRST_WAIT_S)
    assert breaker.state(FIRST_WAIT_S) == "half_open"
    assert not breaker.admits(FIRST_WAIT_S)
    assert not breaker.begin(FIRST_WAIT_S), "who has no choice is no trial"


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = failing(Breaker(), 3)
    breaker.begin(FIRST_WAIT_S)
    breaker.succeed()
    assert breaker.admits(FIRST_WAIT_S)
    assert failing(breaker, 3, FIRST_WAIT_S).due_s == 2 * FIRST_WAIT_S, "the waiting begins anew"


def test_each_trial_that_fails_doubles_the_time_up_to_two_minutes() -> None:
    breaker, waits = failing(Breaker(), 3), []
    for _ in range(5):
        now_s = breaker.due_s
        breaker.fail(breaker.begin(now_s), now_s)
        waits.append(breaker.due_s - now_s)
    assert waits == [30, 60, 120, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_trial_that_is_given_up_leaves_room_for_the_next() -> None:
    breaker = failing(Breaker(), 3)
    breaker.abandon(breaker.begin(FIRST_WAIT_S))
    assert breaker.admits(FIRST_WAIT_S)


def test_who_has_no_choice_neither_prolongs_it_nor_is_in_vain() -> None:
    breaker = failing(Breaker(), 30)
    assert breaker.due_s == FIRST_WAIT_S
    breaker.succeed()
    assert breaker.admits(1)


def test_sessions_that_are_lost_open_it_though_each_was_opened() -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.succeed()
        breaker.lose(0)
    assert breaker.state(0) == "open"
    breaker.begin(FIRST_WAIT_S)
    breaker.succeed()
    assert breaker.state(FIRST_WAIT_S) == "closed"
    breaker.lose(FIRST_WAIT_S)
    assert breaker.state(FIRST_WAIT_S) == "open", "none has lasted since"


def test_a_session_that_lasts_makes_up_for_those_that_did_not() -> None:
    breaker = Breaker()
    breaker.lose(0)
    breaker.lose(0)
    breaker.last()
    breaker.lose(0)
    assert breaker.state(0) == "closed"


def test_a_trial_that_fails_after_another_has_succeeded_counts_as_one_failure() -> None:
    breaker = failing(Breaker(), 3)
    trial = breaker.begin(FIRST_WAIT_S)
    breaker.succeed()
    breaker.fail(trial, FIRST_WAIT_S)
    assert breaker.state(FIRST_WAIT_S) == "closed"
