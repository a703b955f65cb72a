"""QR codes: what a banking app reads, and where there is none."""

import base64
import io
import re

import pytest
import segno
from PIL import Image

from base.money import Money
from billing.qr import qr_image, transfer_qr, transfer_text

IBAN, BIC = "DE89370400440532013000", "COBADEFFXXX"


def test_a_transfer_is_written_as_the_guideline_wants_it() -> None:
    text = transfer_text("Nordlicht\nInternet GmbH", IBAN, BIC, Money(7139, "EUR"), "INV-000042")
    assert text is not None
    assert text.split("\n") == [
        "BCD", "002", "1", "SCT", BIC, "Nordlicht Internet GmbH", IBAN, "EUR71.39", "", "", "INV-000042",
    ]  # fmt: skip


def test_it_says_what_segno_would_say() -> None:
    from segno.helpers import _make_epc_qr_data

    ours = transfer_text("Müller & Söhne", IBAN, BIC, Money(7139, "EUR"), "INV-000042")
    theirs = _make_epc_qr_data("Müller & Söhne", IBAN, 71.39, text="INV-000042", bic=BIC, encoding="utf-8")
    assert ours is not None
    assert ours.encode() == theirs.rstrip(b"\n") if isinstance(theirs, bytes) else ours == theirs.rstrip("\n")


@pytest.mark.parametrize(
    ("iban", "amount"),
    [("", Money(100, "EUR")), (IBAN, Money(100, "USD")), (IBAN, Money(0, "EUR")), (IBAN, Money(10**11, "EUR"))],
)
def test_there_is_none_where_no_transfer_can_be(iban: str, amount: Money) -> None:
    assert transfer_qr("Nordlicht", iban, BIC, amount, "INV-1") is None


def test_long_words_are_cut_to_the_room_there_is() -> None:
    text = transfer_text("n" * 99, IBAN, "", Money(10**10, "EUR"), "r" * 199)
    assert text is not None
    lines = text.split("\n")
    assert (len(lines[5]), len(lines[10]), len(text.encode()) <= 331) == (70, 140, True)
    assert segno.make_qr(text, error="m").version <= 13, "the largest symbol that the guideline allows"


def test_the_picture_is_the_code() -> None:
    (packed,) = re.findall(r"base64,([^\"]+)", qr_image("https://portal.example/invoices/42"))
    picture = Image.open(io.BytesIO(base64.b64decode(packed))).convert("1")
    code = segno.make_qr("https://portal.example/invoices/42", error="m", mask=0, encoding="utf-8")
    rows = [
        [not picture.getpixel((x * 4 + 1, y * 4 + 1)) for x in range(picture.width // 4)]
        for y in range(picture.height // 4)
    ]
    assert rows == [[bool(module) for module in row] for row in code.matrix]
