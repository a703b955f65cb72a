"""QR codes for paper: addresses, voucher codes, and SEPA transfers that a banking app fills in. The door for segno.

Black on white, whatever the brand: cameras want contrast. The white around them is the page's.
"""

from base64 import b64encode
from functools import lru_cache
from io import BytesIO

import segno
from markupsafe import Markup

from base.i18n import decimal_text
from base.money import Money

EPC_LEAST, EPC_MOST = 1, 99_999_999_999
"Cents that a SEPA credit transfer takes."
MASK = 0
"A chequered one. Readers take any; trying all eight to find the prettiest is four fifths of the work of a code."


@lru_cache(maxsize=256)
def qr_image(text: str) -> Markup:
    """`text` as a QR code with error correction M: an <img>, a PNG of four pixels to a module.

    Not a drawing: as SVG paths, WeasyPrint takes eight times as long for it.
    """
    drawn = BytesIO()
    segno.make_qr(text, error="m", mask=MASK, encoding="utf-8").save(drawn, kind="png", scale=4, border=0)
    packed = b64encode(drawn.getvalue()).decode()
    return Markup('<img class="qr" alt="" src="data:image/png;base64,{}"/>').format(packed)


def transfer_qr(name: str, iban: str, bic: str, amount: Money, remittance: str) -> Markup | None:
    """A SEPA credit transfer as banking apps read it (EPC069-12); None where there cannot be one."""
    text = transfer_text(name, iban, bic, amount, remittance)
    return None if text is None else qr_image(text)


def transfer_text(name: str, iban: str, bic: str, amount: Money, remittance: str) -> str | None:
    """What a SEPA transfer's code says (EPC069-12 version 002, UTF-8): one element to a line.

    None without an IBAN, in another currency than the euro, for nothing, and for more than the scheme takes. There is
    room for 70 letters of the name and 140 of the remittance text.
    """
    if not iban or amount.currency != "EUR" or not EPC_LEAST <= amount.minor <= EPC_MOST:
        return None
    to, what = " ".join(name.split())[:70], " ".join(remittance.split())[:140]
    purpose = reference = ""
    return "\n".join(("BCD", "002", "1", "SCT", bic, to, iban, f"EUR{decimal_text(amount)}", purpose, reference, what))
