"""Links to recordings: signed, for some days, for one call."""

from datetime import UTC, datetime, timedelta

import pytest

from phonebot.store.links import RecordingLinks

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def links(key: str = "key", at: datetime = NOW) -> RecordingLinks:
    return RecordingLinks(key, clock=lambda: at)


@pytest.mark.parametrize(("later", "opens"), [(timedelta(days=6, hours=23), "CA1"), (timedelta(days=7), None)])
def test_a_link_opens_one_recording_until_it_expires(later: timedelta, opens: str | None) -> None:
    token = links().make("CA1", days=7)
    assert links(at=NOW + later).read(token) == opens


@pytest.mark.parametrize("forged", ["", "x", "W10.x"])
def test_what_is_not_ours_opens_nothing(forged: str) -> None:
    assert links().read(forged) is None
    assert links("another key").read(links().make("CA1", days=7)) is None
    assert links().read(links().make("CA1", days=7)[:-1]) is None
