"""Which invoices and accounts a transfer's text names, and how clearly. Pure.

People leave the prefix and the zeros away, banks put blanks in the middle of a number and dates beside it, and a slip
of one digit is the number of somebody else. So each mention has a quality, and what is one slip away from a mention is
a mention, too: the caller weighs them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from billing.bank.names import edits

NONE, NEAR, SHORT, BARE, EXACT = range(5)
"Of a mention: one slip away; digits without zeros; all digits, or few with a word; prefix, or all with a word."

_FOR_INVOICES = (
    "RECHNUNG RECHNUNGEN RECHNUNGSNUMMER RECHNUNGSNR RECHN RECHNR RNR RG RGNR RE RENR INVOICE INVOICES INV BILL "
    "FACTURA FACTURE FATTURA FAKTURA FAKT BELEG BELEGNR"
)
_INVOICE_WORDS = frozenset(_FOR_INVOICES.split())
_FOR_ACCOUNTS = (
    "KUNDE KUNDENNUMMER KUNDENNR KUNDEN KDNR KD KNR KUNR CUSTOMER CUST CLIENT CLIENTE ACCOUNT ACC ACCT KONTO"
)
_ACCOUNT_WORDS = frozenset(_FOR_ACCOUNTS.split())
_WORDS = _INVOICE_WORDS | _ACCOUNT_WORDS
_BETWEEN = frozenset(("NR", "NO", "NUM", "NUMMER", "NUMBER", "NRO", "N", "ID", "UND", "AND", "U"))
_NO_NUMBER = re.compile(
    r"\b\d{1,2}\s?[./-]\s?\d{1,2}\s?[./-]\s?(?:\d{4}|\d{2})\b"  # dates
    r"|\b(?:19|20)\d\d-\d\d-\d\d\b"
    r"|\b[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){3,7}(?: [A-Z0-9]{1,3})?)\b"  # IBANs
    r"|(?<![\d-])\d{1,6}[.,]\d{2}(?!\d)(?:\s?(?:EUR|€))?"  # amounts
    r"|\+\d[\d /-]{6,}"  # phones
)
_PIECE = re.compile(r"[A-Z]+|\d+|[^A-Z\d]+")
_LETTERS_FOR_DIGITS = str.maketrans("OILB", "0118")
_MIXED = re.compile(r"(?=[0-9OILB]*\d[0-9OILB]*)(?=[0-9OILB]*[OILB])[0-9OILB]{4,12}")


@dataclass(frozen=True, slots=True)
class Named:
    """What can be named: an invoice, or a subscriber by the account number (`invoice_id` is None)."""

    number: str
    subscriber_id: int
    invoice_id: int | None


@dataclass(frozen=True, slots=True)
class Mention:
    """One reading of something in the text."""

    named: Named
    quality: int


@dataclass(slots=True)
class Numbers:
    """Everything that can be named, by its head (letters before the last digits) and those digits without zeros."""

    by_head: dict[str, dict[str, list[Named]]] = field(default_factory=dict)
    "head -> digits without leading zeros -> what bears them."
    widths: dict[str, set[int]] = field(default_factory=dict)
    "head -> how many digits its numbers have."

    def add(self, named: Named) -> None:
        """Make something known, once."""
        head, digits = split_number(named.number)
        if not digits:
            return
        found = self.by_head.setdefault(head, {}).setdefault(digits.lstrip("0"), [])
        if named not in found:
            found.append(named)
        self.widths.setdefault(head, set()).add(len(digits))

    def get(self, head: str, digits: str) -> list[Named]:
        """What bears a head and digits, with or without leading zeros."""
        return self.by_head.get(head, {}).get(digits.lstrip("0"), [])

    def is_whole(self, head: str, digits: str) -> bool:
        """Whether digits are as long as a number of this head is printed."""
        return len(digits) in self.widths.get(head, ())


def split_number(number: str) -> tuple[str, str]:
    """'INV-000042' -> ('INV', '000042'), '2026-000042' -> ('2026', '000042'), '00042' -> ('', '00042')."""
    *before, last = re.findall(r"[A-Z]+|\d+", number.upper()) or [""]
    return ("".join(before), last) if last.isdigit() else ("".join(before) + last, "")


def mentions(text: str, numbers: Numbers) -> list[Mention]:
    """The readings of a text, the clearest of each thing; nothing is decided here."""
    best: dict[Named, int] = {}
    for named, quality in _readings(text.upper(), numbers):
        best[named] = max(quality, best.get(named, NONE))
    return [Mention(named, quality) for named, quality in best.items()]


def digits_in(text: str) -> Iterator[int]:
    """Every number that the digits of a text can mean, so that the invoices that bear one can be looked up."""
    pieces = _PIECE.findall(text.upper())
    runs = [at for at, piece in enumerate(pieces) if piece.isdigit()]
    for at in runs:
        for joined in _joined(pieces, at):
            if len(joined) <= 9:
                yield int(joined)


def _readings(text: str, numbers: Numbers) -> Iterator[tuple[Named, int]]:
    whole = _PIECE.findall(text)
    taken: set[str] = set()
    for head in numbers.by_head:
        if head:
            yield from _with_head(whole, head, numbers, taken)
    pieces = _PIECE.findall(_NO_NUMBER.sub(" | ", text))
    for at, piece in enumerate(pieces):
        if piece.isdigit():
            yield from _bare(pieces, at, numbers, taken)
    for token in re.findall(r"[A-Z0-9]+", text):
        for found in _MIXED.findall(token):
            digits = found.translate(_LETTERS_FOR_DIGITS)
            for head in numbers.by_head:
                if numbers.is_whole(head, digits):
                    yield from ((named, NEAR) for named in numbers.get(head, digits))


def _with_head(pieces: list[str], head: str, numbers: Numbers, taken: set[str]) -> Iterator[tuple[Named, int]]:
    """Numbers with their prefix, whatever blanks and signs stand in between."""
    for at in range(len(pieces)):
        end = _after_head(pieces, at, head)
        if end is None:
            continue
        while end < len(pieces) and not pieces[end].isalnum() and len(pieces[end]) < 4:
            end += 1
        if end >= len(pieces) or not pieces[end].isdigit():
            continue
        joined = list(_joined(pieces, end))
        # all digits that a printed number has, if the pieces come to so many; else as they stand
        full = [each for each in joined if numbers.is_whole(head, each) and (each[0] == "0" or each == joined[0])]
        digits = full[0] if full else joined[0]
        taken.add(digits)
        taken.update(pieces[end : end + 2 * joined.index(digits) + 1])
        longer = {} if full else {each: numbers.get(head, each) for each in joined[1:]}
        # 'INV 3 36' is 3, or 336 in two pieces
        quality = SHORT if any(longer.values()) else EXACT
        if not full and digits[0] == "0":
            quality = NEAR  # of the zeros one is missing, or another digit is
        yield from ((named, quality) for named in numbers.get(head, digits))
        yield from ((named, SHORT) for found in longer.values() for named in found)
        yield from _slips(head, digits, numbers)


def _after_head(pieces: list[str], at: int, head: str) -> int | None:
    """Where the pieces behind a head that begins at `at` begin; a short head has to be a word of its own."""
    rest, here = head, at
    first = pieces[at]
    if len(head) > 2 and first.isalpha() and first.endswith(head):
        return at + 1  # glued to a word before it: RECHNUNGINV
    while rest:
        if here >= len(pieces):
            return None
        piece = pieces[here]
        if piece.isalnum():
            if not rest.startswith(piece):
                return None
            rest = rest[len(piece) :]
        elif here == at or len(piece) > 2:
            return None
        here += 1
    return here


def _bare(pieces: list[str], at: int, numbers: Numbers, taken: set[str]) -> Iterator[tuple[Named, int]]:
    """Digits that stand alone: of an invoice without its prefix, of an account, or of anything else."""
    word = _word_before(pieces, at)
    joined = list(_joined(pieces, at))
    # one number in two pieces begins with the zeros of a printed number
    readings = joined[:1] + [each for each in joined[1:] if each[0] == "0" or word in _WORDS]
    broken = (
        word in _WORDS and len(joined) > 1 and not any(numbers.is_whole(head, joined[0]) for head in numbers.by_head)
    )
    for digits in readings:
        if len(digits) > 12 or digits in taken or pieces[at] in taken:
            continue
        for head in numbers.by_head:
            if head.isdigit() and digits.startswith(head) and numbers.is_whole(head, digits[len(head) :]):
                yield from ((named, EXACT) for named in numbers.get(head, digits[len(head) :]))
            is_whole = len(digits) > 3 and numbers.is_whole(head, digits)  # three digits may be anything
            if digits is not joined[0] and not is_whole and not broken:
                continue
            for named in numbers.get(head, digits):
                is_account = named.invoice_id is None
                if (word in _INVOICE_WORDS and is_account) or (word in _ACCOUNT_WORDS and not is_account):
                    continue
                said = word in (_ACCOUNT_WORDS if is_account else _INVOICE_WORDS)
                if not is_whole and (broken or digits[0] == "0"):
                    yield named, SHORT if broken else NEAR
                else:
                    yield named, (BARE if is_whole else SHORT) + (1 if said else 0)
            if (
                numbers.get(head, digits)
                or is_whole
                or any(abs(len(digits) - width) == 1 and width > 4 for width in numbers.widths[head])
            ):
                yield from _slips(head, digits, numbers)


def _slips(head: str, digits: str, numbers: Numbers) -> Iterator[tuple[Named, int]]:
    """What is meant if one digit is wrong, too much, lost or exchanged."""
    known = numbers.by_head.get(head, {})
    padded = digits.zfill(max(numbers.widths.get(head, {0})))
    for other in edits(padded) | (edits(digits) if len(digits) > 3 else set()):
        if numbers.is_whole(head, other) and (found := known.get(other.lstrip("0"))):
            yield from ((named, NEAR) for named in found)


def _joined(pieces: list[str], at: int) -> Iterator[str]:
    """The digits at `at`, and they with the next ones behind single blanks or hyphens."""
    digits = pieces[at]
    yield digits
    here = at + 1
    while here + 1 < len(pieces) and pieces[here] in (" ", "-") and pieces[here + 1].isdigit() and len(digits) < 12:
        digits += pieces[here + 1]
        yield digits
        here += 2


def _word_before(pieces: Iterable[str], at: int) -> str:
    """The word that says what a number is; NR and other numbers of a list may stand in between."""
    before = list(pieces)[max(0, at - 8) : at]
    for piece in reversed(before):
        if piece.isalpha() and piece not in _BETWEEN:
            return piece
        if not piece.isalnum() and len(piece) > 3:
            return ""
    return ""
