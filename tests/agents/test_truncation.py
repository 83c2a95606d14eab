"""How much of a long call the model goes on knowing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET

from phonebot.agents.profile import Profile
from phonebot.call.planning import plan_for
from phonebot.errors import ProfileError
from phonebot.realtime.beta import BETA
from phonebot.realtime.events import UpdateSession
from phonebot.realtime.ga import GA


def session_of(**profile: Any) -> Any:
    plan = plan_for(Profile.from_table(profile, "test"), caller="", number="", now=datetime.now(UTC))
    return plan.session


@pytest.mark.parametrize(
    ("table", "sent"),
    [
        ({}, {"type": "retention_ratio", "retention_ratio": 0.8}),
        (
            {"retention_ratio": 0.5, "post_instructions": 8_000},
            {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 8_000}},
        ),
        ({"type": "auto"}, "auto"),
        ({"type": "disabled"}, "disabled"),
    ],
)
def test_the_session_has_it_as_the_service_wants_it(table: dict[str, Any], sent: Any) -> None:
    session = session_of(truncation=table)
    assert session.truncation == sent
    assert b'"truncation"' in GA.encode(UpdateSession(session)).encode()
    assert b'"truncation"' not in BETA.encode(UpdateSession(session)).encode()


def test_without_the_key_nothing_is_said_of_it() -> None:
    assert session_of().truncation is UNSET


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"type": "never"}, 'truncation.type is "never"; it must be "retention_ratio", "auto" or "disabled"'),
        ({"retention_ratio": 1.5}, "truncation.retention_ratio is 1.5; it must be a number from 0 to 1"),
        (
            {"post_instructions": 10},
            "truncation.post_instructions is 10; it must be a whole number of tokens from 500 to 128000",
        ),
        (
            {"type": "auto", "post_instructions": 900},
            'truncation.post_instructions needs truncation.type = "retention_ratio"',
        ),
        ({"retention": 1}, "truncation.retention is not a known key; the nearest is retention_ratio"),
        (
            "auto",
            'truncation is "auto"; it must be a table such as { retention_ratio = 0.8, post_instructions = 8000 }',
        ),
    ],
)
def test_what_is_wrong_with_it_is_said(table: Any, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        session_of(truncation=table)
    assert problem in str(caught.value)
