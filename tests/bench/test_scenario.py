"""The scenarios of the accuracy benchmark: which there are, and what is allowed in each."""

import pytest

from phonebot.bench.accuracy import chosen
from phonebot.bench.scenario import LIMIT_MS, SCENARIOS, Freeze, Heard, Pause, Reply, Scenario, Speak
from phonebot.bench.tones import LEVELS
from phonebot.errors import PhonebotError
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

COLUMN = 28  # of the table, for a name


def test_the_scenarios_of_the_lab_are_there_under_their_names() -> None:
    names = [scenario.name.split()[0] for scenario in SCENARIOS]

    assert set(names) >= {*(f"S{number}" for number in range(1, 13)), "S12b"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_can_be_played_and_shown(scenario: Scenario) -> None:
    items = sum(len(step.items_ms) for step in scenario.steps if isinstance(step, Reply))
    waited_for = [step.item for step in scenario.steps if isinstance(step, Heard)]
    spoken = [step for step in scenario.steps if isinstance(step, Speak)]

    assert len(scenario.name) <= COLUMN
    assert [other for other in SCENARIOS if other.name == scenario.name] == [scenario]
    assert 0 < items <= len(LEVELS)
    assert all(item < items for item in waited_for)
    assert spoken, "without an interruption there is nothing to measure"
    assert scenario.clears is None or scenario.clears <= len(spoken)


def test_an_answered_scenario_allows_a_frame_either_way() -> None:
    jittered = Scenario("jitter", (), network=Network(300, 100, 300, 100), oddities=Oddities(start_buffer_ms=150))

    assert jittered.limits_ms == (-LIMIT_MS, LIMIT_MS) == (-20.0, 20.0)


def test_where_nothing_comes_back_the_model_is_never_told_too_much() -> None:
    network, oddities = Network(300, 100, 300, 50), Oddities(start_buffer_ms=150, marks_lost=1.0)
    silent = Scenario("silent", (), network=network, oddities=oddities, answered=False)

    assert silent.limits_ms == (-(100 + 50 + 150 + 20), 0.0)


def test_a_scenario_that_freezes_the_service_has_a_server_of_its_own() -> None:
    assert Scenario("frozen", (Reply((1000,)), Freeze(400))).freezes
    assert not Scenario("not", (Reply((1000,)), Pause(400))).freezes
    assert [scenario.name.split()[0] for scenario in SCENARIOS if scenario.freezes] == ["S10", "S10b"]


def test_scenarios_are_chosen_by_the_first_words_of_their_names() -> None:
    assert [scenario.name for scenario in chosen(["S1", "marks"])] == [
        "S1 one item, being generated",
        "marks lost, all",
        "marks 100 ms late",
        "marks doubled",
    ]
    assert chosen([]) == SCENARIOS


def test_a_scenario_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    with pytest.raises(PhonebotError, match=r"no scenario is called 'S99'; there are: S1 one item"):
        chosen(["S99"])
