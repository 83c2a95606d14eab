"""What a call came to, its cost, and rules for it."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as altered
from rehearsed import GREETING, UNDERSTOOD, interrupted, log_of

from phonebot.errors import ProfileError
from phonebot.realtime.events import (
    FunctionCall,
    OutputItemDone,
    Response,
    ResponseDone,
    TranscriptionCompleted,
    TranscriptionUsage,
    Usage,
)
from phonebot.realtime.prices import Price, Rates, Tariff, TranscriptionPrice
from phonebot.replay.account import Account, FunctionCalled, account_of
from phonebot.replay.reader import Step
from phonebot.replay.rules import Rules, broken, load_rules


def account() -> Account:
    return account_of(log_of(interrupted(), model="gpt-realtime-2.1"))


def test_an_account_has_the_lines_turn_by_turn() -> None:
    turns = [[line.text for line in turn] for turn in account().turns]
    assert turns[0] == [GREETING]
    assert [turn[0] for turn in turns[1:]] == [UNDERSTOOD, UNDERSTOOD]
    assert turns[2][-1] == f"You said {UNDERSTOOD}"


def test_answers_are_timed_from_the_callers_last_sound() -> None:
    """300 ms of silence end his turn; then come the ear, the voice and the ways there and back."""
    latencies_ms = account().latencies_ms
    assert len(latencies_ms) == 2
    assert all(500 <= latency_ms <= 900 for latency_ms in latencies_ms)


def test_tokens_and_their_cost_are_summed() -> None:
    tokens = account().tokens
    assert tokens.total == tokens.input + tokens.output > 100
    cost = account().cost_usd
    assert cost is not None
    assert 0 < cost < 0.1


def test_functions_that_were_called_are_listed() -> None:
    log = log_of(interrupted())
    called = Step(50, OutputItemDone("resp_1", 0, FunctionCall("end_call", "call_1", "{}")), ())
    with_call = replace(log, steps=(log.steps[0], called, *log.steps[1:]))
    assert account_of(with_call).functions == (FunctionCalled(50, "end_call", "{}"),)


def test_a_call_costs_what_its_responses_and_the_writing_down_cost_at_its_own_tariff() -> None:
    tariff = Tariff(Price(audio=Rates(output=1_000_000)), TranscriptionPrice(per_minute=60))
    log = log_of(interrupted())
    responses = Response("r", "completed", usage=Usage(output_audio=3))
    written = TranscriptionUsage(seconds=2)
    steps = (Step(50, ResponseDone(responses), ()), Step(60, TranscriptionCompleted("u", 0, "Hi.", written), ()))
    assert account_of(replace(log, plan=altered(log.plan, tariff=tariff), steps=steps)).cost_usd == 5
    unknown = altered(log.plan, tariff=Tariff())
    assert account_of(replace(log, plan=unknown, steps=steps)).cost_usd is None


@pytest.mark.parametrize(
    ("rules", "sentences"),
    [
        (Rules(), []),
        (Rules(must_say=("HOW can  i help",)), []),
        (Rules(must_say=("goodbye",)), ['the bot did not say "goodbye"']),
        (Rules(must_not_say=("how can",)), ['the bot said "how can"']),
        (Rules(must_not_say=("goodbye",)), []),
        (Rules(must_call=("end_call",)), ["end_call was not called"]),
        (Rules(must_end_within_s=600), []),
        (Rules(must_end_within_s=1), [f"the call took {interrupted().now_ms / 1000:.1f} s, allowed were 1 s"]),
    ],
)
def test_each_rule_that_is_broken_is_a_sentence(rules: Rules, sentences: list[str]) -> None:
    assert list(broken(rules, account())) == sentences


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('must_say = ["a"]\nmust_not_say = ["b"]\nmust_call = ["c"]\nmust_end_within_s = 9.5\n')
    assert load_rules(path) == Rules(("a",), ("b",), ("c",), 9.5)


@pytest.mark.parametrize("text", ["must_sing = []", "must_say = 3", "= =", "\ud800", "#" * 1024 * 1025])
def test_a_wrong_file_of_rules_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.toml").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ProfileError, match=r"rules\.toml"):
        load_rules(tmp_path / "rules.toml")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_rules(tmp_path / "nowhere.toml")
