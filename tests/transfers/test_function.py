"""The function as a profile has it: what the model is told of it, what it may say, and where it is left out."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.carrier.account import CarrierAccount
from phonebot.tools.running import Leaving, Runnable, ToolContext, ToolError, ToolFault
from phonebot.transfers.continuations import Continuation, Continuations
from phonebot.transfers.function import MAX_SUMMARY_CHARACTERS, NOT_HERE, TransferCall
from phonebot.transfers.legs import Legs
from phonebot.transfers.urls import TransferUrls

BILLS = {"billing": {"to": "+15550100010", "description": "Bills and refunds"}}
CONTEXT = ToolContext("CA1", "+15550100001", "+15550100002")


class Calls:
    """Calls in progress: all from the carrier, or none."""

    def __init__(self, are_carriers: bool = True) -> None:
        self._are_carriers = are_carriers

    def is_carriers(self, call_sid: str) -> bool:
        return self._are_carriers


async def blocking(function: Callable[[], Any]) -> Any:
    return function()


def made(
    account: CarrierAccount | None = None, are_carriers: bool = True, **table: object
) -> tuple[Any, Continuations]:
    given = {"transfer_to": "+15550100009", "tools": ["transfer_call"]} | table
    continuations = Continuations(None)
    legs = Legs(account, TransferUrls("http://a.example", "key"))
    builtin = TransferCall(legs, continuations, Calls(are_carriers))
    return builtin.made_for(Profile.from_table(given, "test")), continuations


def test_with_one_destination_there_is_nothing_to_choose() -> None:
    function, _ = made()
    assert list(function.function.parameters["properties"]) == ["summary"]
    assert function.function.parameters["required"] == ["summary"]


def test_the_model_chooses_among_names_and_sees_no_number() -> None:
    function, _ = made(destinations=BILLS)
    to = function.function.parameters["properties"]["to"]
    assert to["enum"] == ["default", "billing"]
    assert "billing: Bills and refunds" in to["description"]
    assert "+1555" not in json.dumps(function.function.parameters) + function.function.description


async def test_the_caller_is_told_and_then_put_through_with_a_summary_that_is_bounded() -> None:
    function, continuations = made(destinations=BILLS, transfer={"say": "One moment."})
    summary = "He asks\n for  a \x00refund. " + "x" * 1000
    result = await function.run(json.dumps({"to": "billing", "summary": summary}), CONTEXT, blocking)
    assert isinstance(result, Leaving)
    assert (result.leave.words, result.leave.outcome, result.leave.listens) == ("One moment.", "transferred", False)
    kept = await continuations.of("CA1")
    assert kept == Continuation("billing", ("He asks for a refund. " + "x" * 1000)[:MAX_SUMMARY_CHARACTERS])


@pytest.mark.parametrize(
    "arguments",
    ["{", "[]", '{"to": "+15550199999"}', '{"to": ["billing"]}', '{"to": "billing", "summary": 5}', "[" * 100_000],
)
async def test_arguments_that_do_not_fit_are_refused_and_nobody_is_called(arguments: str) -> None:
    function, continuations = made(destinations=BILLS)
    with pytest.raises(ToolFault) as caught:
        await function.run(arguments, CONTEXT, blocking)
    assert caught.value.kind == "arguments"
    assert await continuations.of("CA1") is None


async def test_a_call_from_the_consoles_phone_is_not_transferred() -> None:
    function, continuations = made(are_carriers=False)
    with pytest.raises(ToolError, match=NOT_HERE):
        await function.run('{"summary": ""}', CONTEXT, blocking)
    assert await continuations.of("CA1") is None


def test_where_nobody_can_be_asked_first_it_takes_no_longer_than_to_say_so() -> None:
    account = CarrierAccount("AC1", "token")
    cold, _ = made(transfer={"warm": True})
    warm, _ = made(account, transfer={"warm": True, "ring_s": 30})
    assert (cold.timeout_s, warm.timeout_s) == (10, 85)
    assert warm.rule.music
    reminding, _ = made(account, transfer={"warm": True, "hold_music": False, "say": "One moment."})
    assert reminding.rule.fillers == ("One moment.",)


def test_without_what_it_works_with_it_is_left_out() -> None:
    function: Runnable | str = TransferCall().made_for(Profile.from_table({"transfer_to": "+15550100009"}, "test"))
    assert function == "transfer_call is left out: no carrier asks this process how its calls go on"
    left_out, _ = made(transfer_to=None, tools=[])
    assert left_out == "transfer_call is left out: the profile has neither transfer_to nor destinations"
