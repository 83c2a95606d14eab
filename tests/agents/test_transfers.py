"""To whom calls may be transferred, and how: what may stand in a profile."""

from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.agents.transfers import chain
from phonebot.errors import ProfileError

DESK, BILLS = "+15550100009", "+15550100010"


def wrong(**keys: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        Profile.from_table(keys, "test")
    (problem,) = caught.value.problems
    return problem


ADDRESS = 'a number in E.164 format such as "+15550100009", or an address such as "sip:desk@example.com"'


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"transfer_to": "0555 0100"}, f'transfer_to is "0555 0100"; it must be {ADDRESS}'),
        ({"transfer_to": "sip:a@b.example&x=1"}, f'transfer_to is "sip:a@b.example&x=1"; it must be {ADDRESS}'),
        ({"transfer_to": 5}, f"transfer_to is 5; it must be {ADDRESS}"),
        (
            {"tools": ["transfer_call"]},
            "tools holds transfer_call, which needs transfer_to or destinations: to whom calls may be transferred",
        ),
        (
            {"destinations": {"billing": {"to": "12"}}},
            f'destinations.billing.to is "12"; it must be {ADDRESS}',
        ),
        ({"destinations": {"billing": {}}}, f"destinations.billing.to is missing; it must be {ADDRESS}"),
        (
            {"destinations": {"billing": "+15550100010"}},
            'destinations.billing is "+15550100010"; it must be a table such as { to = "+15550100010" }',
        ),
        (
            {"destinations": {"Billing!": {"to": BILLS}}},
            'destinations holds the name "Billing!", which is none: 1 to 40 of a to z, 0 to 9, _ and -, with a '
            "letter first",
        ),
        (
            {"destinations": {"default": {"to": BILLS}}},
            'destinations holds the name "default", which is that of transfer_to: 1 to 40 of a to z, 0 to 9, _ and '
            "-, with a letter first",
        ),
        (
            {"destinations": {"billing": {"to": BILLS, "fallback": "default"}}},
            'destinations.billing.fallback is "default", which is no other destination: there are none',
        ),
        (
            {"transfer_to": DESK, "destinations": {"billing": {"to": BILLS, "fallback": "billing"}}},
            'destinations.billing.fallback is "billing", which is no other destination: there are default',
        ),
        ({"transfer": {"ring_s": 4}}, "transfer.ring_s is 4; it must be a whole number of seconds from 5 to 120"),
        (
            {"transfer": {"whisper": "{name} calls"}},
            "transfer.whisper holds {name}, but only {summary}, {caller}, {number}, {now}, {language} are replaced",
        ),
        (
            {"transfer": {"warm": True, "caller_id": "caller"}},
            'transfer.caller_id = "caller" needs warm = false: a call of its own, to the colleague, can show only '
            "a number of the account",
        ),
        (
            {"transfer_to": "sip:desk@example.com", "transfer": {"warm": True}},
            "transfer.warm needs numbers: an address of SIP is reached by a transfer that is not warm",
        ),
        ({"transfer": {"hold_musik": True}}, "transfer.hold_musik is not a known key; the nearest is hold_music"),
        ({"transfer": 1}, "transfer is 1; it must be a table such as { warm = true, ring_s = 25 }"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(keys: dict[str, Any], problem: str) -> None:
    assert wrong(**keys) == problem


@pytest.mark.parametrize("address", [DESK, "sip:desk@example.com", "sips:1001@pbx.example.com:5061;transport=tls"])
def test_a_number_and_an_address_of_sip_may_be_called(address: str) -> None:
    assert Profile.from_table({"transfer_to": address, "tools": ["transfer_call"]}, "test").transfer_to == address


def test_who_is_tried_one_after_another_is_tried_once() -> None:
    """Fallbacks may point at each other: the first to be asked for is where it ends."""
    profile = Profile.from_table(
        {
            "transfer_to": DESK,
            "destinations": {
                "billing": {"to": BILLS, "fallback": "orders"},
                "orders": {"to": "+15550100011", "fallback": "billing"},
                "house": {"to": "+15550100012", "fallback": "default"},
            },
        },
        "test",
    )
    names = (*profile.reachable, "nobody")
    tried = {name: [other for other, _ in chain(profile.reachable, name)] for name in names}
    assert tried == {
        "default": ["default"],
        "billing": ["billing", "orders"],
        "orders": ["orders", "billing"],
        "house": ["house", "default"],
        "nobody": [],
    }
