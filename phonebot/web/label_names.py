"""Names that operators give, as values of labels: each costs memory here and where it is scraped."""

OTHERS = "(others)"


class LabelNames:
    """The first `most` names stand for themselves, the rest together for OTHERS."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """The label's value for this name."""
        if len(self._known) < self._most:
            self._known.add(name)
        return name if name in self._known else OTHERS
