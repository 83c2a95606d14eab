"""Points a number of Twilio's at this service, through Twilio's REST API."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]
from twilio.rest.api.v2010.account.incoming_phone_number import (  # type: ignore[import-untyped]
    IncomingPhoneNumberInstance,
)

from phonebot.carrier.linkage import ATTRIBUTES, linkage
from phonebot.carrier.refusals import remedy_for
from phonebot.errors import PhonebotError

TIMEOUT_S = 15.0
_CODE = re.compile(r'"code": ?([0-9]+)')


class LinkFailed(PhonebotError):
    """Twilio did not do it. `problem` is a sentence with its remedy."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class Change:
    """What was set on the number: its name at Twilio, what was there and what is there now, "" for nothing."""

    name: str
    before: str
    after: str


def link(number: str, public_url: str, account_sid: str, auth_token: str, api_url: str) -> list[Change]:
    """
    Let a number of the account call this service at `public_url`; what changed, nothing if it did already.

    An application or a SIP trunk on the number makes Twilio ask no webhook (Twilio, IncomingPhoneNumber resource).
    An application is taken off, a trunk is refused. Raises LinkFailed.
    """
    http = TwilioHttpClient(timeout=TIMEOUT_S)
    client = Client(account_sid, auth_token, http_client=http)
    client.api.base_url = api_url
    try:
        found = client.incoming_phone_numbers.list(phone_number=number)
        # A number without the plus also finds those that it is a part of.
        owned = next((each for each in found if each.phone_number == number), None)
        if owned is None:
            raise LinkFailed(f"the Twilio account {account_sid} has no number {number}: buy it, or correct it")
        if owned.trunk_sid:
            raise LinkFailed(
                f"{number} belongs to the SIP trunk {owned.trunk_sid}, so that Twilio asks no webhook: "
                "take it off the trunk"
            )
        changes = list(_changes(owned, public_url))
        if changes:
            owned.update(**{ATTRIBUTES[change.name]: change.after for change in changes})
    except TwilioException as error:
        raise LinkFailed(_refusal(error)) from error
    except OSError as error:  # requests' errors are among these
        raise LinkFailed(f"{api_url} cannot be reached: check the network, or TWILIO_API_URL") from error
    finally:
        http.session.close()  # the library leaves it to the collector
    return changes


def _refusal(error: TwilioException) -> str:
    said = str(getattr(error, "msg", ""))
    # Where a list is refused the library has the whole answer as its text.
    code = getattr(error, "code", None) or next(iter(_CODE.findall(str(error))), "")
    remedy = remedy_for(int(code or 0))
    return f"Twilio refuses it with error {code or 'unknown'}{f', {said:.200}' if said else ''}: {remedy}"


def _changes(owned: IncomingPhoneNumberInstance, public_url: str) -> Iterator[Change]:
    for name, after in linkage(public_url).items():
        before = getattr(owned, ATTRIBUTES[name]) or ""
        if before != after:
            yield Change(name, before, after)
