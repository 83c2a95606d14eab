"""Where a signed request goes by which a program of the deployment's is told something."""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from phonebot.agents.table import Table
from phonebot.agents.tools import NAMED, Headers, Known, SecretName, check_whole_url, secrets_in

Url: TypeAlias = Annotated[str, AfterValidator(check_whole_url), Field(max_length=2_000)]
SignWith: TypeAlias = Annotated[SecretName | None, Field(description=NAMED)]
TimeoutS: TypeAlias = Annotated[float, Field(ge=0.5, le=30, description="a number of seconds from 0.5 to 30")]


class Destination(Table):
    """
    Where a request goes, with which headers, within which time. `sign_with` names the secret of the signature;
    None: it is not signed.
    """

    url: Annotated[Url, Field(description='text such as "https://crm.example.com/calls"')]
    headers: Headers = {}
    sign_with: SignWith = None
    timeout_s: TimeoutS = 10

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it needs."""
        return secrets_in(self.headers) | ({self.sign_with} if self.sign_with else set())

    def lacks(self, where: str, known: Known) -> Iterator[str]:
        """What of it a deployment cannot do, a sentence for each; `where` is its key in the profile."""
        return known.lacking(where, self.secrets, self.url)
