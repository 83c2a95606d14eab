"""
How the console's pages look and are worked: what is written on their colours can be read (WCAG 2.2, 1.4.3 and
1.4.11), they bring nothing that their policy forbids, and keys that they promise do something.
"""

import re

import pytest

from phonebot.web.console import STATIC, TEMPLATES

SHEET = (STATIC / "phonebot.css").read_text()
NAMED = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", SHEET)
PAIRS = {name: (light, dark) for name, light, dark in NAMED}
PAIRS["on-fill"] = ("#ffffff", "#ffffff")
ON_SURFACES = ["text", "muted", "accent", "danger", "warning", "success"]
TEXTS = [
    *((text, ground) for text in ON_SURFACES for ground in ("background", "surface", "sunken")),
    *(("on-fill", f"{name}-fill{hover}") for name in ("accent", "danger") for hover in ("", "-hover")),
    *((name, f"{name}-soft") for name in ("accent", "danger", "warning", "success")),
    *(("text", f"{name}-soft") for name in ("accent", "danger", "warning", "success")),
]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_text_stands_out_from_its_ground(text: str, ground: str, scheme: int) -> None:
    assert contrast(PAIRS[text][scheme], PAIRS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["background", "surface"])
def test_a_control_stands_out_from_its_ground(ground: str, scheme: int) -> None:
    assert contrast(PAIRS["control-border"][scheme], PAIRS[ground][scheme]) >= 3


def test_sheets_use_no_colour_that_is_not_named() -> None:
    for sheet in STATIC.glob("*.css"):
        rules = re.sub(r"^ *--.*$", "", sheet.read_text(), flags=re.MULTILINE)
        assert re.findall(r"#[0-9a-f]{3,8}\b", rules) == []


def test_pages_hold_no_script_and_no_style_of_their_own() -> None:
    for page in TEMPLATES.glob("*.html"):
        text = page.read_text()
        assert re.findall(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", text) == []
        assert re.findall(r"(?:src|href)=\"(?:https?:)?//", text) == []


def test_a_search_that_promises_a_key_is_found_by_it() -> None:
    """static/keys.js looks for `data-search`."""
    searches = [
        field
        for page in TEMPLATES.glob("*.html")
        for field in re.findall(r"<input[^>]*aria-keyshortcuts=\"/\"[^>]*>", page.read_text())
    ]
    assert len(searches) >= 4
    assert [field for field in searches if "data-search" not in field] == []
