"""The fonts of our documents: they hold what invoices need, and WeasyPrint takes every letter from them."""

import re
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from tests.peers.peer import miss

FONTS = Path(__file__).resolve().parents[2] / "billing/fonts"
FILES = sorted(FONTS.glob("*.ttf"))
# U+2011 and U+202F stand in formatted numbers and dates; a letter that is missing is searched for in every font of
# the machine, which takes seconds.
SENTENCE = "Zażółć gęślą jaźń, Ελλάδα, Привет, Їжак, Việt Nam: 1\u202f234,50\u00a0€ £ ¥ zł ₹ ₺ ₽ ₴ – — \u2011 − № ×"


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def font(request):
    return TTFont(request.param)


def test_regular_and_bold_of_one_family_are_small():
    assert [path.name for path in FILES] == ["NotoSans-Bold.ttf", "NotoSans-Regular.ttf"]
    assert all(path.stat().st_size < 200_000 for path in FILES)
    assert {TTFont(path)["name"].getDebugName(1) for path in FILES} == {"Noto Sans"}


def test_font_holds_every_letter_and_currency(font):
    letters = font.getBestCmap()
    currencies = [chr(code) for code in range(0x20A0, 0x20C1)]
    extended = [chr(code) for code in range(0x00A0, 0x0250)]
    assert not [letter for letter in [*SENTENCE, *currencies, *extended] if ord(letter) not in letters]


def test_figures_are_of_one_width(font):
    letters = font.getBestCmap()
    assert len({font["hmtx"][letters[ord(figure)]][0] for figure in "0123456789"}) == 1


def test_licence_is_in_the_font_and_beside_it(font):
    assert "SIL Open Font License" in font["name"].getDebugName(13)
    text = (FONTS / "LICENSE").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in text
    assert font["name"].getDebugName(0) in text
    assert "with Reserved Font Name" not in text


def test_weasyprint_takes_every_letter_from_them():
    try:
        import weasyprint
    except OSError as missing:
        miss(f"WeasyPrint lacks a library: {missing}")
    faces = "".join(
        f"@font-face {{ font-family: Documents; font-weight: {weight}; src: url({name}) }}"
        for weight, name in (("400", "NotoSans-Regular.ttf"), ("700", "NotoSans-Bold.ttf"))
    )
    html = f"<style>{faces} body {{ font-family: Documents }}</style><p>{SENTENCE}</p><b>{SENTENCE}</b>"
    pdf = weasyprint.HTML(string=html, base_url=FONTS.as_uri() + "/").write_pdf(uncompressed_pdf=True)
    used = {name.decode() for name in re.findall(rb"/BaseFont /\w+\+([\w-]+)", pdf)}
    assert used == {"Documents", "Documents-Bold"}
