"""`phonebot doctor`, from a terminal."""

from collections.abc import Sequence

from rich.console import Console

from phonebot.deployment import secrets_of
from phonebot.discretion import set_up_logging
from phonebot.doctor.examination import Report, examine
from phonebot.settings import Survey, look_through

SHORTEST_SECRET = 6  # characters: what is shorter may be a part of any word
MASK = "***"


async def look(dev: bool, progress: Console) -> tuple[Report, Survey]:
    """Examine the deployment of this process's settings."""
    survey = look_through()
    # What goes wrong is in the report; the log is for what should not happen.
    set_up_logging("error", secrets_of(survey.settings))
    with progress.status("looking"):
        return await examine(survey, dev), survey


class Scrubber:
    """Takes the deployment's secrets out of a text."""

    def __init__(self, secrets: Sequence[str]) -> None:
        # The longest first: one may be a part of another.
        self._secrets = sorted({each for each in secrets if len(each) >= SHORTEST_SECRET}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text
