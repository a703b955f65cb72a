"""A bank's CSV as a statement, by a mapping that was saved for this bank. Pure.

Banks put lines of their own before the header: the header is the first line that has all columns of the mapping. What
the file says about balances is a column with the balance after each line, if the mapping names it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

from base.bank import checked_iban
from base.i18n import decimal_text
from base.money import Money
from billing.bank.statement import Line, Statement, text_of
from billing.importers.cells import Cells, Fault
from billing.importers.reader import DELIMITERS, Column, Reading, Sheet, Unreadable, open_sheet, read_rows
from billing.refused import need

DATES = {
    "DD.MM.YYYY": "%d.%m.%Y",
    "DD.MM.YY": "%d.%m.%y",
    "DD/MM/YYYY": "%d/%m/%Y",
    "DD-MM-YYYY": "%d-%m-%Y",
    "MM/DD/YYYY": "%m/%d/%Y",
    "YYYY-MM-DD": "%Y-%m-%d",
    "YYYYMMDD": "%Y%m%d",
}
"How dates are written -> for strptime."
_HEADER_WITHIN = 50  # lines


@dataclass(frozen=True, slots=True)
class TableMapping:
    """Which of a bank's columns is what; '' where there is none."""

    day: str
    amount: str = ""
    "One column with a sign in it; or with `sign` beside it; else `credit` and `debit`."
    credit: str = ""
    debit: str = ""
    sign: str = ""
    "Column that says which way the money went ..."
    debit_words: tuple[str, ...] = ()
    "... and what it says where it left: S, D, DBIT."
    text: tuple[str, ...] = ()
    name: str = ""
    iban: str = ""
    reference: str = ""
    "The bank's own of the movement."
    end_to_end: str = ""
    balance: str = ""
    "What the account held after the line."
    currency: str = ""
    account: str = ""
    date_format: str = "YYYY-MM-DD"
    decimal: str | None = None
    delimiter: str | None = None
    encoding: str | None = None

    @property
    def columns(self) -> list[tuple[str, str]]:
        """(their name, ours) of each column that is read."""
        single = ("day", "amount", "credit", "debit", "sign", "name", "iban", "reference", "end_to_end")
        named = [(getattr(self, ours), ours) for ours in (*single, "balance", "currency", "account")]
        return [each for each in named if each[0]] + [(name, f"text{at}") for at, name in enumerate(self.text)]


def check_mapping(mapping: TableMapping) -> None:
    """Raise Refused when a mapping cannot work."""
    need(mapping.day, "Which column is the day of booking?", "day")
    need(mapping.date_format in DATES, f"Dates are written as one of {', '.join(DATES)}.", "date_format")
    need(
        bool(mapping.amount) != bool(mapping.credit and mapping.debit),
        "The amount is one column, or one for what came in and one for what left.",
        "amount",
    )
    need(
        bool(mapping.sign) == bool(mapping.debit_words),
        "A column of signs needs the words for money that left.",
        "sign",
    )
    need(not mapping.sign or mapping.amount, "A column of signs goes with one column of amounts.", "sign")
    need(mapping.text, "Which columns are the text of a line? Without it nothing can be matched.", "text")
    theirs = [name.casefold() for name, _ in mapping.columns]
    need(len(theirs) == len(set(theirs)), "A column is used for two things.", "text")


def to_json(mapping: TableMapping) -> dict[str, Any]:
    """The mapping for a JSONB column."""
    return {"format": 1, **asdict(mapping)}


def from_json(stored: Mapping[str, Any]) -> TableMapping:
    """The mapping that `to_json` made."""
    known = {field.name for field in fields(TableMapping)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return TableMapping(**{name: value for name, value in values.items() if name in known})


def fits(data: bytes, mapping: TableMapping) -> bool:
    """Whether a file has all columns of a mapping."""
    try:
        text = text_of(data, mapping.encoding)
    except Unreadable:
        return False
    return _header(text, mapping) is not None


def read_table(data: bytes, mapping: TableMapping, currency: str) -> Statement:
    """The lines of a file; `currency` where the file has no column for it. Unreadable with every fault, by line."""
    text = text_of(data, mapping.encoding)
    found = _header(text, mapping)
    if found is None:
        names = ", ".join(name for name, _ in mapping.columns)
        raise Unreadable(Fault(0, "", f"No line of the file names all columns of the mapping: {names}."))
    before, delimiter, header = found
    ours = {name.casefold(): own for name, own in mapping.columns}
    reading = Reading(
        encoding="utf-8",
        delimiter=delimiter,
        decimal=mapping.decimal,
        names={cell: ours.get(cell.casefold(), "") for cell in header},
    )
    rest = text.split("\n", before)[before] if before else text
    try:
        sheet = open_sheet(rest.encode(), reading, [Column(own) for _, own in mapping.columns])
    except Unreadable as unreadable:
        raise Unreadable(
            *(Fault(each.line + before, each.column, each.sentence) for each in unreadable.faults)
        ) from None
    return _read(sheet, before, mapping, currency)


def _read(sheet: Sheet, before: int, mapping: TableMapping, currency: str) -> Statement:
    faults: list[Fault] = []
    lines: list[Line] = []
    balances: list[Money | None] = []
    accounts: dict[str, int] = {}

    def tell(fault: Fault) -> None:
        faults.append(Fault(fault.line + before, fault.column, fault.sentence))

    for raw in read_rows(sheet, tell):
        cells = Cells(raw.line + before, raw.cells, sheet.decimal)
        if cells.text("account"):
            accounts.setdefault(cells.text("account").replace(" ", "").upper(), cells.line)
        in_currency = cells.text("currency").upper() or currency
        line = _line(cells, mapping, in_currency)
        balance = cells.money("balance", in_currency) if mapping.balance else None
        theirs = {own: name for name, own in mapping.columns}
        faults += (Fault(each.line, theirs.get(each.column, each.column), each.sentence) for each in cells.faults)
        if line is not None:
            lines.append(line)
            balances.append(balance)
    if len(accounts) > 1:
        faults += (Fault(at, "account", f"Lines of several accounts: {name}.") for name, at in accounts.items())
    if not lines and not faults:
        faults.append(Fault(before + 1, "", "The file has no lines."))
    if faults:
        raise Unreadable(*sorted(faults))
    opening, closing = _balances(lines, balances)
    account = next(iter(accounts), "")
    return Statement(before + 1, account, lines[0].amount.currency, opening, closing, tuple(lines))


def _line(cells: Cells, mapping: TableMapping, currency: str) -> Line | None:
    day = _day(cells, mapping.date_format)
    amount = _amount(cells, mapping, currency)
    text = " ".join(part for at in range(len(mapping.text)) if (part := cells.text(f"text{at}", most=2000, lines=True)))
    name = cells.text("name", lines=True)
    iban = _iban(cells.text("iban"))
    reference, end_to_end = cells.text("reference"), cells.text("end_to_end")
    if day is None or amount is None or cells.faults:
        return None
    return Line(
        at=cells.line,
        day=day,
        amount=amount,
        name=" ".join(name.split()),
        iban=iban,
        text=" ".join(text.split()),
        bank_reference=reference,
        end_to_end=end_to_end,
    )


def _iban(text: str) -> str:
    """An IBAN; a national number, or what is mistyped, is none and proves nothing."""
    try:
        return checked_iban(text)
    except ValueError:
        return ""


def _day(cells: Cells, written: str) -> date | None:
    text = cells.text("day", required=True)
    if not text:
        return None
    try:
        if not re.fullmatch(r"[0-9./-]{6,10}", text):
            raise ValueError
        return datetime.strptime(text, DATES[written]).date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        cells.fault("day", f"{text!r} is not a date written as {written}.")
        return None


def _amount(cells: Cells, mapping: TableMapping, currency: str) -> Money | None:
    if mapping.amount:
        amount = cells.money("amount", currency, required=True)
        if amount is None or not mapping.sign:
            return amount
        if amount.minor < 0:
            cells.fault("amount", "It has a sign of its own beside the column of signs.")
            return None
        left = cells.text("sign").casefold() in (word.casefold() for word in mapping.debit_words)
        return -amount if left else amount
    credit, debit = cells.money("credit", currency), cells.money("debit", currency)
    if bool(credit) == bool(debit):
        cells.fault("credit", "One of the two columns has an amount, and not both.")
        return None
    if credit:
        return credit
    assert debit is not None
    return debit if debit.minor < 0 else -debit


def _balances(lines: Sequence[Line], balances: Sequence[Money | None]) -> tuple[Money | None, Money | None]:
    """(opening, closing) of a file with a balance after each line, in either order; Unreadable where it breaks."""
    if any(each is None for each in balances) or len({line.amount.currency for line in lines}) > 1:
        return None, None
    held = [each for each in balances if each is not None]
    downwards = list(_breaks(lines, held))
    upwards = list(_breaks(lines[::-1], held[::-1]))
    if downwards and upwards:
        raise Unreadable(*min(downwards, upwards, key=len))
    if downwards:
        return held[-1] - lines[-1].amount, held[0]
    return held[0] - lines[0].amount, held[-1]


def _breaks(lines: Sequence[Line], held: Sequence[Money]) -> Iterator[Fault]:
    for at in range(1, len(lines)):
        expected = held[at - 1] + lines[at].amount
        if expected != held[at]:
            difference = held[at] - expected
            yield Fault(
                lines[at].at,
                "total",
                f"The balance is wrong by {decimal_text(difference)} {difference.currency}: after this line it is "
                f"{decimal_text(expected)}, but the file says {decimal_text(held[at])}.",
            )


def _header(text: str, mapping: TableMapping) -> tuple[int, str, list[str]] | None:
    """(lines before it, delimiter, its cells)."""
    wanted = {name.casefold() for name, _ in mapping.columns}
    for before, line in enumerate(text.split("\n", _HEADER_WITHIN)[:_HEADER_WITHIN]):
        for delimiter in (mapping.delimiter,) if mapping.delimiter else DELIMITERS:
            cells = [cell.strip().strip('"').strip() for cell in line.strip("\r").split(delimiter)]
            if wanted <= {cell.casefold() for cell in cells}:
                return before, delimiter, cells
    return None
