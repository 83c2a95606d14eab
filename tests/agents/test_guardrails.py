"""The guardrails of a profile: what is taken, and the sentences for what is not."""

from typing import Any

import pytest

from phonebot.agents.guardrails import Guardrail, compiled, problems
from phonebot.agents.profile import Profile
from phonebot.agents.tools import Known
from phonebot.errors import ProfileError

WORDS: dict[str, Any] = {"name": "advice", "words": ["pills"]}
BOTH = 'needs both then = "hand_over" and to, the agent who takes over, or neither'
BILLING: dict[str, dict[str, Any]] = {"billing": {"description": "Bills.", "prompt": "Bills."}}


def profile_of(*entries: dict[str, Any], **keys: Any) -> Profile:
    return Profile.from_table({"guardrails": list(entries), **keys}, "test")


def problem_of(*entries: Any, **keys: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        Profile.from_table({"guardrails": list(entries), **keys}, "test")
    (problem,) = caught.value.problems
    return problem


def lacking(known: Known | None = None, **keys: Any) -> list[str]:
    return list(problems(profile_of({"name": "advice", **keys}).guardrail_lists(), known or Known()))


def test_a_guardrail_of_words_has_defaults_for_the_rest() -> None:
    assert profile_of(WORDS).guardrails == [Guardrail(name="advice", words=["pills"])]
    (rail,) = profile_of(WORDS).guardrails
    assert (rail.on, rail.then, rail.debounce_characters, rail.timeout_s) == ("bot", "interrupt", 100, 3)


def test_what_could_not_be_found_out_passes_for_words_and_not_for_arguments() -> None:
    assert Guardrail(**WORDS).passes_unknown
    assert not Guardrail(**WORDS, on="arguments").passes_unknown
    assert Guardrail(**WORDS, on="arguments", if_unknown="pass").passes_unknown
    assert not Guardrail(**WORDS, if_unknown="trip").passes_unknown


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"name": "x"}, "needs exactly one of words, pattern, function, url and ask"),
        (WORDS | {"pattern": "x"}, "needs exactly one of words, pattern, function, url and ask"),
        ({"name": "x", "words": ["..."]}, "has the entry '...' in words, which is no word"),
        (WORDS | {"tools": ["book"]}, 'needs on = "arguments" for tools'),
        (WORDS | {"sign_with": "SHOP"}, "needs url for headers and sign_with"),
        (WORDS | {"then": "say"}, 'needs say, the words that then = "say" says'),
        (WORDS | {"then": "go_on", "say": "x"}, 'says nothing with then = "go_on": leave out say'),
        (WORDS | {"then": "hand_over"}, BOTH),
        (WORDS | {"to": "billing"}, BOTH),
    ],
)
def test_keys_that_do_not_go_together_are_refused(entry: dict[str, Any], problem: str) -> None:
    assert problem_of(entry) == f"guardrails[0] {problem}"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (7, "guardrails[0] is 7; it must be a table with name and one of words, pattern, function, url and ask"),
        ({"words": ["x"]}, "guardrails[0].name is missing; it must be 1 to 64 letters, digits, _ or -"),
        (WORDS | {"wrods": 1}, "guardrails[0].wrods is not a known key; the nearest is words"),
        (WORDS | {"on": "dog"}, 'guardrails[0].on is "dog"; it must be "bot", "caller" or "arguments"'),
        (
            WORDS | {"debounce_characters": 5},
            "guardrails[0].debounce_characters is 5; it must be a whole number of",
        ),
        ({"name": "x", "pattern": "(?=a)"}, "guardrails[0].pattern is no regular expression of RE2: invalid perl"),
        ({"name": "x", "pattern": "((a{99}){99}){99}"}, "guardrails[0].pattern is no regular expression of RE2: "),
        ({"name": "x", "pattern": "a*"}, "guardrails[0].pattern finds something in an empty text: it would always"),
        ({"name": "x", "url": "https://a.example/{id}"}, "guardrails[0].url is not https://HOST/PATH"),
        ({"name": "x\x1b[31m", "words": ["x"]}, "guardrails[0].name is "),
    ],
)
def test_a_wrong_value_has_its_sentence(entry: object, problem: str) -> None:
    told = problem_of(entry)
    assert told.startswith(problem)
    assert told.isprintable()


def test_a_name_stands_for_one_guardrail() -> None:
    assert problem_of(WORDS, WORDS) == "guardrails holds advice twice"
    own = {"billing": BILLING["billing"] | {"guardrails": [WORDS | {"words": ["x"]}]}}
    keys: dict[str, Any] = {"agents": own, "handoffs": ["billing"]}
    assert "rename one" in problem_of(WORDS, **keys)
    own["billing"]["guardrails"] = [WORDS]
    assert "holds for all agents already" in problem_of(WORDS, **keys)


def test_a_wrong_guardrail_of_an_agent_is_told_with_its_place() -> None:
    agent = BILLING["billing"] | {"guardrails": [WORDS | {"on": "dog"}]}
    assert problem_of(agents={"billing": agent}, handoffs=["billing"]).startswith(
        'agents.billing.guardrails[0].on is "dog"'
    )


def test_the_agent_that_takes_over_must_be_there_and_is_reached_by_that() -> None:
    to = WORDS | {"then": "hand_over", "to": "billing"}
    assert problem_of(to) == 'guardrails[0].to is "billing"; the agents are main'
    assert profile_of(to, agents=BILLING).guardrails[0].to == "billing"


def test_the_callers_words_must_be_written_down() -> None:
    assert (
        problem_of(WORDS | {"on": "caller"}, transcription=False)
        == 'guardrails[0].on is "caller", which needs transcription'
    )


def test_there_are_at_most_twenty() -> None:
    entries = [WORDS | {"name": f"rail_{number}"} for number in range(21)]
    assert problem_of(*entries) == "guardrails is an array; it must be an array of at most 20 tables"


def test_what_the_deployment_does_not_have_is_told() -> None:
    known = Known(frozenset(), frozenset({"SHOP"}), frozenset({"inside"}), frozenset({"rude"}))
    assert lacking(known, function="rude") == []
    assert lacking(function="rude") == [
        'guardrails[0].function is "rude", a guardrail that this deployment does not have: PHONEBOT_TOOLS must name'
        " it"
    ]
    sent: dict[str, Any] = {
        "url": "http://inside/x",
        "sign_with": "SHOP",
        "headers": {"Authorization": {"secret": "SHOP"}},
    }
    assert lacking(known, **sent) == []
    missing = "needs the secret SHOP: set PHONEBOT_SECRET_SHOP where phonebot runs"
    assert lacking(**sent) == [
        f"guardrails[0].headers {missing}",
        f"guardrails[0].sign_with {missing}",
        "guardrails[0].url is http://: it must be https://, or PHONEBOT_TOOL_HOSTS_ALLOWED must name inside",
    ]
    assert lacking(ask="Is it rude?") == []


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    assert compiled("(a+)+b").search("a" * 1_000_000) is None  # years, where a search goes back
