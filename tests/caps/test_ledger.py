"""What calls cost today, of this process and of others."""

from datetime import date

from phonebot.caps.ledger import Ledger

DAY, NEXT = date(2026, 11, 27), date(2026, 11, 28)


def test_own_calls_and_those_of_others_add_up_by_number_and_in_all() -> None:
    ledger = Ledger(DAY)
    ledger.add("+1", 0.5)
    ledger.add("+1", 0.25)
    ledger.add("+2", 1)
    ledger.add("+2", -5)
    ledger.learn({"+1": 2, "+3": 4})
    assert [ledger.of(number) for number in ("+1", "+2", "+3", "+4")] == [2.75, 1, 4, 0]
    assert ledger.total == 7.75


def test_what_has_changed_is_given_out_once_unless_it_could_not_be_written() -> None:
    ledger = Ledger(DAY)
    ledger.add("+1", 0.5)
    ledger.add("+2", 1)
    taken = ledger.take_changed()
    assert taken == {"+1": 0.5, "+2": 1}
    assert ledger.take_changed() == {}
    ledger.add("+1", 0.5)
    ledger.give_back({"+2": 1})
    assert ledger.take_changed() == {"+1": 1, "+2": 1}


def test_another_day_begins_with_nothing() -> None:
    ledger = Ledger(DAY)
    ledger.add("+1", 0.5)
    ledger.learn({"+1": 2})
    ledger.begin(DAY)
    assert ledger.total == 2.5
    ledger.begin(NEXT)
    assert (ledger.total, ledger.take_changed(), ledger.day) == (0, {}, NEXT)
