"""The journal for other programs: CSV, beancount, hledger; one transaction per entry, streamed.

Accounts are named by type, the accountant's code and our name, by tax class where they are kept so:
'Income:4400-Revenue-Standard'. Beancount's rules for names, strings and metadata are those of its syntax
documentation, hledger's those of its manual's section on the journal format.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from io import StringIO
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.i18n import decimal_text
from base.money import Money
from base.tables import subscriber
from billing.accounts import BY_KEY
from billing.codes import Codes, load_codes
from billing.refused import need
from billing.tables import entry, posting

ROOTS = {"asset": "Assets", "liability": "Liabilities", "income": "Income", "expense": "Expenses", "equity": "Equity"}
HEADER = (
    "entry", "day", "source", "text", "account", "name", "code", "tax_class", "subscriber", "currency", "debit",
    "credit",
)  # fmt: skip
Kind = tuple[str, int | None]
"(account, tax class)"


@dataclass(frozen=True, slots=True)
class Journal:
    """What is written: names, first of all, and the days that it is about, [start, end)."""

    start: date
    end: date
    codes: Codes
    names: dict[Kind, str]
    "As beancount and hledger call them, of all accounts that have postings before `end`."
    currencies: tuple[str, ...]


def export(tx: Connection, start: date, end: date, form: str) -> Iterator[str]:
    """The journal of the days [start, end) in one of FORMS, piece by piece, in the order of (day, id).

    Raises Refused when there is no such form or the days are none.
    """
    need(form in FORMS, f"A format is one of {', '.join(FORMS)}.", "format")
    need(start < end, "The last day is not before the first.", "to")
    query = (
        select(posting.c.account, posting.c.tax_class_id, func.array_agg(posting.c.currency.distinct()))
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(entry.c.day < end)
        .group_by(posting.c.account, posting.c.tax_class_id)
    )
    found = tx.execute(query).all()
    codes = load_codes(tx)
    kinds = sorted(((account, tax_class) for account, tax_class, _ in found), key=lambda kind: (kind[0], kind[1] or 0))
    currencies = sorted({currency for _, _, used in found for currency in used})
    journal = Journal(start, end, codes, _names(kinds, codes), tuple(currencies))
    return FORMS[form](journal, _entries(tx, start, end))


def _entries(tx: Connection, start: date, end: date) -> Iterator[list[Row[Any]]]:
    """The postings of each entry, read by a cursor of the server."""
    query = (
        select(
            posting.c.entry_id, posting.c.account, posting.c.tax_class_id, posting.c.amount_minor, posting.c.currency,
            entry.c.day, entry.c.source, entry.c.text, subscriber.c.number,
        )
        .join(entry, entry.c.id == posting.c.entry_id)
        .outerjoin(subscriber, subscriber.c.id == posting.c.subscriber_id)
        .where(entry.c.day >= start, entry.c.day < end)
        .order_by(entry.c.day, entry.c.id, posting.c.id)
        .execution_options(yield_per=2000)
    )  # fmt: skip
    rows: Iterator[Row[Any]] = iter(tx.execute(query))
    for _, found in groupby(rows, key=lambda row: row.entry_id):
        yield list(found)


def _names(kinds: Iterable[Kind], codes: Codes) -> dict[Kind, str]:
    """A name of its own for each; beancount allows letters, digits and '-' in a part of one."""
    names: dict[Kind, str] = {}
    for account, tax_class in kinds:
        each = BY_KEY[account]
        parts = [codes.of(account, tax_class), each.name, codes.class_name(tax_class)]
        words = [word for part in parts for word in re.findall(r"[^\W_]+", part)]
        name = f"{ROOTS[each.type]}:{'-'.join(word[:1].upper() + word[1:] for word in words)}"
        names[account, tax_class] = name if name not in names.values() else f"{name}-{tax_class or 0}"
    return names


def _csv(journal: Journal, entries: Iterable[list[Row[Any]]]) -> Iterator[str]:
    """One row per posting."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")

    def line(cells: Iterable[object]) -> str:
        writer.writerow(cells)
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield line(HEADER)
    for rows in entries:
        for row in rows:
            amount = Money(row.amount_minor, row.currency)
            words = (
                row.source, row.text, row.account, BY_KEY[row.account].name,
                journal.codes.of(row.account, row.tax_class_id), journal.codes.class_name(row.tax_class_id),
                row.number or "", row.currency,
            )  # fmt: skip
            sides = (decimal_text(amount), "") if amount.minor > 0 else ("", decimal_text(-amount))
            yield line((row.entry_id, row.day.isoformat(), *(_harmless(word) for word in words), *sides))


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def _beancount(journal: Journal, entries: Iterable[list[Row[Any]]]) -> Iterator[str]:
    """Accounts are opened on the first day; codes, sources and subscribers are metadata."""
    yield 'option "title" "Tollkeeper"\n'
    for currency in journal.currencies:
        yield f'option "operating_currency" "{currency}"\n'
    yield "\n"
    for (account, tax_class), name in journal.names.items():
        yield f"{journal.start} open {name}\n  code: {_quoted(journal.codes.of(account, tax_class))}\n"
    for rows in entries:
        first = rows[0]
        yield f"\n{first.day} * {_quoted(first.text)}\n  source: {_quoted(first.source)}\n  entry: {first.entry_id}\n"
        for row in rows:
            amount = Money(row.amount_minor, row.currency)
            yield f"  {journal.names[row.account, row.tax_class_id]}  {decimal_text(amount)} {row.currency}\n"
            if row.number is not None:
                yield f"    subscriber: {_quoted(row.number)}\n"


def _quoted(words: str) -> str:
    return '"' + " ".join(words.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hledger(journal: Journal, entries: Iterable[list[Row[Any]]]) -> Iterator[str]:
    """Accounts are declared with their codes as tags; a transaction's code is its source."""
    for currency in journal.currencies:
        yield f"commodity {_sample(currency)}\n"
    for (account, tax_class), name in journal.names.items():
        yield f"account {name}  ; code:{_plain(journal.codes.of(account, tax_class))}\n"
    for rows in entries:
        first = rows[0]
        yield f"\n{first.day} * ({first.source}) {_plain(first.text)}  ; entry:{first.entry_id}\n"
        for row in rows:
            amount = Money(row.amount_minor, row.currency)
            whose = "" if row.number is None else f"  ; subscriber:{_plain(row.number)}"
            yield f"    {journal.names[row.account, row.tax_class_id]}  {decimal_text(amount)} {row.currency}{whose}\n"


def _sample(currency: str) -> str:
    """How hledger is told the decimals of a currency: the mark stands there even where there are none."""
    text = decimal_text(Money(0, currency))
    return f"{text if '.' in text else text + '.'} {currency}"


def _plain(words: str) -> str:
    """Words without what ends a description (;), splits it (|) or ends a tag (,) in hledger."""
    return " ".join(re.sub(r"[;|,]", " ", words).split())


FORMS: dict[str, Callable[[Journal, Iterable[list[Row[Any]]]], Iterator[str]]] = {
    "csv": _csv,
    "beancount": _beancount,
    "hledger": _hledger,
}
