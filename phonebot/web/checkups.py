"""What the console and the API look at, when they are asked whether all that the service needs is there."""

from collections.abc import Sequence
from dataclasses import dataclass

from phonebot.checkup.check import Probe


@dataclass(frozen=True, slots=True)
class Checkup:
    """`probes` cost nothing; `session` opens a session with the model."""

    probes: Sequence[Probe]
    session: Probe
