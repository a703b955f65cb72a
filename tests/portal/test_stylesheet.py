"""Our colours can be read: WCAG 2.1 AA, 4.5 to 1 for text and 3 to 1 for the lines of form controls."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[2] / "portal/static/tollkeeper.css").read_text("utf-8")
COLOURS = dict(re.findall(r"--tk-([\w-]+): #([0-9a-f]{6});", CSS))
TONES = ["good", "notice", "wall", "bad", "neutral"]


def luminance(colour: str) -> float:
    """Relative luminance of a colour name, 0 to 1 (WCAG 2.1)."""
    parts = [int(COLOURS[colour][i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("tone", TONES)
def test_a_tone_is_legible_on_its_own_paper_and_on_the_page(tone):
    assert contrast(f"{tone}-ink", f"{tone}-paper") >= 4.5
    assert contrast(f"{tone}-ink", "paper") >= 4.5
    assert contrast("ink", f"{tone}-paper") >= 4.5


@pytest.mark.parametrize("ground", ["paper", "ground"])
@pytest.mark.parametrize("text", ["ink", "muted", "accent", "accent-dark", "bad-ink"])
def test_text_is_legible_on_every_ground(text, ground):
    assert contrast(text, ground) >= 4.5


def test_white_on_the_accent_and_the_current_menu_item_are_legible():
    assert contrast("paper", "accent") >= 4.5
    assert contrast("accent-dark", "accent-soft") >= 4.5


def test_the_lines_of_form_controls_are_visible():
    assert contrast("control-line", "paper") >= 3


@pytest.mark.parametrize("tone", TONES)
def test_each_tone_has_a_shape_of_its_own(tone):
    rules = {t: re.findall(rf"\.tk-badge\.tk-{t}::before {{ (.*) }}", CSS) for t in TONES}
    assert len(rules[tone]) == 1
    assert sum(rule == rules[tone] for rule in rules.values()) == 1
