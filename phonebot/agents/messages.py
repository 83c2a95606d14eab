"""
What becomes of messages that callers leave (the function take_message), as the operator writes it.

    messages = { url = "https://crm.example.com/messages", sign_with = "CRM", people = ["Rosa", "the kitchen"] }

docs/telephony.md explains it to operators.
"""

from typing import Annotated, TypeAlias

from pydantic import Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.destination import Destination, SignWith, TimeoutS, Url
from phonebot.agents.table import Table
from phonebot.agents.tools import Headers

MAX_PEOPLE = 50
MAX_PERSON_CHARACTERS = 60

Person: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=MAX_PERSON_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class Messages(Table):
    """
    Who is told of a message at once, by a request as `after_call` has it; `url` None: nobody, it is kept.

    `people` are those for whom a message may be; none: it is for whomever the caller names.
    """

    url: Annotated[Url | None, Field(description='text such as "https://crm.example.com/messages"')] = None
    headers: Headers = {}
    sign_with: SignWith = None
    timeout_s: TimeoutS = 10
    people: Annotated[
        list[Person],
        Field(
            max_length=MAX_PEOPLE,
            description=f'at most {MAX_PEOPLE} texts of 1 to {MAX_PERSON_CHARACTERS} characters such as ["Rosa"]',
        ),
    ] = []

    @property
    def destination(self) -> Destination | None:
        """Whom to tell; None: nobody."""
        if self.url is None:
            return None
        return Destination(url=self.url, headers=self.headers, sign_with=self.sign_with, timeout_s=self.timeout_s)

    @property
    def problem(self) -> str | None:
        """What would have no effect: a sentence that begins with the key."""
        if self.url is None:
            for key in ("headers", "sign_with", "timeout_s"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    return f"messages.{key} has no meaning without messages.url"
        return None


MESSAGES = 'a table such as { url = "https://crm.example.com/messages" }'


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `messages`."""
    return faults.sentence("messages", str(loc[0]) if loc else "", Messages, fault, MESSAGES)
