"""Each way in which a call may end has its words."""

import re
from typing import get_args

from phonebot.call.actions import Outcome
from phonebot.web.console import STATIC
from phonebot.web.console.outcomes import ENDINGS

OUTCOMES = set(get_args(Outcome))


def test_the_pages_have_words_for_each() -> None:
    assert ENDINGS.keys() == OUTCOMES


def test_the_phone_has_words_for_each_that_its_calls_may_have() -> None:
    _, _, rest = (STATIC / "phone.js").read_text().partition("const OUTCOME_WORDS = {")
    told = set(re.findall(r"^  (\w+): ", rest.partition("};")[0], re.MULTILINE))
    assert told == OUTCOMES - {"transferred"}  # nobody is put through from there
