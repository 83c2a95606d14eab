"""What a profile wants to be done after a call: taken, refused with a sentence, and kept as JSON."""

from typing import Any

import pytest

from phonebot.agents.after_call import AfterCall, Extract, Summary, Wishes
from phonebot.agents.profile import Profile
from phonebot.agents.tools import Known, Secret
from phonebot.errors import ProfileError

URL = "https://crm.example.com/calls"


def profile_of(**table: object) -> Profile:
    return Profile.from_table(table, "test")


@pytest.mark.parametrize(
    ("given", "summary"),
    [(True, Summary()), (False, None), ({}, Summary()), ({"prompt": "Who?"}, Summary(prompt="Who?"))],
)
def test_a_summary_is_wanted_by_true_or_by_a_table(given: object, summary: Summary | None) -> None:
    assert profile_of(summary=given).summary == summary


def test_wishes_survive_as_json() -> None:
    table: dict[str, Any] = {
        "summary": {"model": "small"},
        "extract": {"schema": {"type": "object"}, "prompt": "Which day?"},
        "after_call": {"url": URL, "headers": {"A": {"secret": "CRM"}, "B": "b"}, "sign_with": "CRM"},
    }
    wishes = profile_of(**table).wishes
    assert wishes.table()["extract"] == table["extract"]
    assert Wishes.model_validate(wishes.table()) == Wishes(
        summary=Summary(model="small"),
        extract=Extract.model_validate({"schema": {"type": "object"}, "prompt": "Which day?"}),
        after_call=AfterCall(url=URL, headers={"A": Secret(secret="CRM"), "B": "b"}, sign_with="CRM"),
    )
    assert profile_of().wishes.table() == {}


@pytest.mark.parametrize(
    ("key", "given", "sentence"),
    [
        ("summary", 3, "summary is 3; it must be true or false, or a table such as"),
        ("summary", {"promt": "x"}, "summary.promt is not a known key; the nearest is prompt"),
        ("summary", {"prompt": ""}, 'summary.prompt is ""; it must be text of 1 to 4000 characters'),
        ("extract", {}, "extract.schema is missing; it must be a JSON schema such as"),
        ("extract", {"wanted": {}, "schema": {"type": "object"}}, "extract.wanted is not a known key; allowed are"),
        ("extract", {"schema": {"type": "array"}}, 'extract.schema must have type = "object"'),
        ("extract", {"schema": {"type": "object", "$ref": "https://x"}}, "extract.schema refers to https://x"),
        ("after_call", True, "after_call is true; it must be a table such as"),
        ("after_call", {}, "after_call.url is missing; it must be text such as"),
        ("after_call", {"url": "https://crm.example.com/{id}"}, "after_call.url is not https://HOST/PATH"),
        ("after_call", {"url": URL, "timeout_s": 31}, "after_call.timeout_s is 31; it must be a number of seconds"),
        (
            "after_call",
            {"url": URL, "headers": {"Host": "x"}},
            "after_call.headers holds Host, which phonebot sets",
        ),
        ("after_call", {"url": URL, "sign_with": "KEY"}, "after_call.sign_with names the secret KEY, but"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(key: str, given: object, sentence: str) -> None:
    with pytest.raises(ProfileError) as refused:
        profile_of(**{key: given})
    assert [problem for problem in refused.value.problems if problem.startswith(sentence)]


def test_what_a_deployment_does_not_have_is_told() -> None:
    wish = AfterCall(url="http://crm.local/calls", headers={"A": Secret(secret="B")}, sign_with="CRM")
    assert list(wish.problems(Known(secrets=frozenset({"CRM"})))) == [
        "after_call needs the secret B: set PHONEBOT_SECRET_B where phonebot runs",
        "after_call.url is http://: it must be https://, or PHONEBOT_TOOL_HOSTS_ALLOWED must name crm.local",
    ]
    assert list(wish.problems(Known(secrets=frozenset({"CRM", "B"}), hosts=frozenset({"crm.local"})))) == []
