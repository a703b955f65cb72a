"""A bank statement as values, whatever format it came in, and what is wrong with it as a whole. Pure."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from base.i18n import decimal_text
from base.money import Money, total
from billing.importers.cells import EARLIEST, LATEST, Fault
from billing.importers.reader import Unreadable, decode


@dataclass(frozen=True, slots=True)
class Line:
    """One movement on the account."""

    at: int
    "Line of the file on which it begins."
    day: date
    "Of booking."
    amount: Money
    "Above zero: it came in."
    name: str = ""
    "Of the other side."
    iban: str = ""
    "Of the other side, without spaces; '' where the bank does not say it."
    text: str = ""
    bank_reference: str = ""
    end_to_end: str = ""
    returned: bool = False
    "The bank marks it as money that came back, not as a payment."


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines of one account in one currency, in the file's order, with what it held before and after them."""

    at: int
    account: str
    "As the file says it: an IBAN, or a national number; '' where it says nothing."
    currency: str
    opening: Money | None
    closing: Money | None
    lines: tuple[Line, ...]


def problems(statement: Statement, account: str, currency: str, today: date) -> Iterator[Fault]:
    """What keeps a statement from being taken: of another account, in another currency, sums or days that cannot be.

    `account` is our IBAN; '' takes a statement of any account.
    """
    if account and statement.account and not is_account(statement.account, account):
        sentence = f"This is a statement of {statement.account}; ours is {account} (setting bank_iban)."
        yield Fault(statement.at, "account", sentence)
    if statement.currency != currency:
        yield Fault(statement.at, "currency", f"It is in {statement.currency}; we do business in {currency}.")
    for line in statement.lines:
        if line.amount.currency != statement.currency:
            sentence = f"{decimal_text(line.amount)} {line.amount.currency} on an account in {statement.currency}."
            yield Fault(line.at, "currency", sentence)
        if not EARLIEST <= line.day < LATEST or (line.day - today).days > 7:
            yield Fault(line.at, "date", f"{line.day} cannot be the day of booking: today is {today}.")
    yield from _wrong_total(statement)


def _wrong_total(statement: Statement) -> Iterator[Fault]:
    opening, closing = statement.opening, statement.closing
    if opening is None or closing is None:
        return
    if {each.amount.currency for each in statement.lines} | {opening.currency, closing.currency} != {opening.currency}:
        return  # said already, and not to be added up
    moved = total((each.amount for each in statement.lines), opening.currency)
    if opening + moved != closing:
        difference = closing - opening - moved
        yield Fault(
            statement.at,
            "total",
            f"The sum is wrong by {decimal_text(difference)} {difference.currency}: {decimal_text(opening)} and lines "
            f"of {decimal_text(moved)} come to {decimal_text(opening + moved)}, but the file says "
            f"{decimal_text(closing)}. Lines are missing or changed; fetch the file anew.",
        )


def is_account(said: str, ours: str) -> bool:
    """Whether what a file says is our IBAN: the IBAN itself, or the national bank and account number in it."""
    bare = "".join(char for char in said.upper() if char.isalnum())
    if bare[:2].isalpha() and bare[2:4].isdigit():
        return bare.startswith(ours)  # some banks add the currency
    bank, slash, number = said.upper().partition("/")
    digits = "".join(filter(str.isdigit, number if slash else bank)).lstrip("0")
    bank = "".join(filter(str.isdigit, bank)) if slash else ""
    inside = ours[4:]
    return bool(digits) and inside.startswith(bank) and inside.removeprefix(bank).lstrip("0").endswith(digits)


def fingerprints(account: str, lines: Sequence[Line]) -> list[str]:
    """What each line is known by: account, day, amount, reference and text, and the how manieth of its like it is."""
    seen: dict[str, int] = {}
    found = []
    for line in lines:
        parts = (account, line.day.isoformat(), str(line.amount.minor), line.amount.currency, line.bank_reference)
        said = "\x1f".join((*parts, " ".join((line.name + " " + line.text).casefold().split())))
        seen[said] = seen.get(said, 0) + 1
        found.append(hashlib.sha256(f"{said}\x1f{seen[said]}".encode()).hexdigest())
    return found


def text_of(data: bytes, encoding: str | None = None) -> str:
    """The letters of a bank's file. Raises Unreadable as `decode` does.

    Without an encoding, and unless all of it is UTF-8, it is Windows': some lines that look like UTF-8 are what the
    payer's bank had broken already, and no sign of a damaged file.
    """
    try:
        return decode(data, encoding)[0]
    except Unreadable:
        if encoding is not None or b"\0" in data:
            raise
    try:
        return decode(data, "cp1252")[0]
    except Unreadable:
        return decode(data, "latin-1")[0]


def all_lines(statements: Iterable[Statement]) -> list[Line]:
    """The lines of a file."""
    return [line for each in statements for line in each.lines]
