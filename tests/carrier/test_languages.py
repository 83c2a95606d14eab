"""In which language the carrier's own voice speaks."""

import pytest

from phonebot.carrier.languages import spoken_language


@pytest.mark.parametrize(
    ("tag", "spoken"),
    [
        ("de-DE", "de-DE"),
        ("de", "de-DE"),
        ("de-AT", "de-DE"),
        ("EN-gb", "en-GB"),
        ("en-ZA", "en-US"),
        ("pt-PT", "pt-PT"),
        ("tlh", None),
        ("d", None),
    ],
)
def test_the_nearest_that_it_speaks_is_taken(tag: str, spoken: str | None) -> None:
    assert spoken_language(tag) == spoken
