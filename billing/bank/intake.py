"""From a bank's file to rows, once: the same file twice, and files that overlap, add only what is new.

Law: a file is taken whole or not at all; a line is known by its fingerprint, which is unique in the database. Nothing
becomes a payment here: that is settling.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from base import trail
from base.bulk import copy_rows
from base.business import Business
from base.calendar import local_date
from base.i18n import decimal_text
from base.money import Money
from billing.bank.camt import read_camt
from billing.bank.mt940 import read_mt940
from billing.bank.statement import Line, Statement, fingerprints, problems
from billing.bank.table import TableMapping, read_table
from billing.bank.tables import bank_file, bank_line
from billing.importers.cells import Fault
from billing.importers.reader import Unreadable

LOCK = 0x746B_626E  # one import, and one settling, at a time
_STRIPE = re.compile(r"\bSTRIPE\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a file held."""

    file_id: int
    format: str
    lines: int
    new: int
    first: date | None
    last: date | None
    incoming: Money
    "Of all lines."
    outgoing: Money
    "Below zero."
    checked: bool
    "Whether the file says what the account held before and after, so that the sum could be checked."
    again: bool
    "The very same file was taken before."
    aside: Mapping[str, int]
    "New lines that no subscriber is asked about: outgoing, payout, ignored."


def recognise(data: bytes) -> str:
    """'camt.053', 'mt940' or 'csv', by what is in a file."""
    start = data[:4000].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    if start.startswith(b"<"):
        return "camt.053"
    return "mt940" if re.search(rb"(?m)^:(20|25|60[FM]|61):", data[:20_000].replace(b"\r", b"\n")) else "csv"


def read_file(data: bytes, mapping: TableMapping | None, currency: str) -> tuple[str, list[Statement]]:
    """(format, statements); a CSV needs a mapping. Raises Unreadable with every reason that is found, by line."""
    found = recognise(data)
    if found == "camt.053":
        return found, read_camt(data)
    if found == "mt940":
        return found, read_mt940(data)
    if mapping is None:
        raise Unreadable(Fault(0, "", "A CSV file needs a mapping that says what its columns are; none fits it."))
    return found, [read_table(data, mapping, currency)]


def take_file(
    tx: Connection,
    business: Business,
    author: str,
    name: str,
    data: bytes,
    mapping: TableMapping | None,
    now: datetime,
) -> Taken:
    """Write the new lines of a file; the caller commits. Raises Unreadable, with all that is wrong by line."""
    form, statements = read_file(data, mapping, business.currency)
    today = local_date(now, business.zone)
    faults = [fault for each in statements for fault in problems(each, business.bank_iban, business.currency, today)]
    if faults:
        raise Unreadable(*sorted(faults))
    tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    lines = [line for each in statements for line in each.lines]
    checked = all(each.opening is not None and each.closing is not None for each in statements)
    digest = hashlib.sha256(data).hexdigest()
    known = tx.scalar(select(bank_file.c.id).where(bank_file.c.sha256 == digest))
    if known is not None:
        return _taken(known, form, business.currency, lines, [], checked, again=True)
    marks = _marks(statements, business.bank_iban)
    new = _new(tx, marks)
    file_id = tx.execute(
        insert(bank_file)
        .values(
            sha256=digest, name=name, format=form, account=marks[0][1] if marks else business.bank_iban,
            from_on=min((line.day for line in lines), default=None),
            to_on=max((line.day for line in lines), default=None),
            line_count=len(lines), new_count=len(new), author=author, created_at=now,
        )
        .returning(bank_file.c.id)
    ).scalar_one()  # fmt: skip
    doubts = _doubts(tx, marks, new)
    copy_rows(tx, bank_line, [_row(file_id, *each, doubts.get(each[0], ""), author, now) for each in new])
    detail = {"name": name, "lines": len(lines), "new": len(new), "sha256": digest}
    trail.record(tx, author, "bank.file_taken", subject="bank_file", subject_id=file_id, detail=detail)
    return _taken(file_id, form, business.currency, lines, [each[2] for each in new], checked, again=False)


Mark = tuple[str, str, Line]
"(fingerprint, account, line)"


def _marks(statements: Sequence[Statement], ours: str) -> list[Mark]:
    by_account: dict[str, list[Line]] = {}
    for each in statements:
        by_account.setdefault(ours or each.account, []).extend(each.lines)
    return [
        (mark, account, line)
        for account, lines in by_account.items()
        for mark, line in zip(fingerprints(account, lines), lines, strict=True)
    ]


def _new(tx: Connection, marks: Sequence[Mark]) -> list[Mark]:
    """In order of their days: what was paid first is settled first, whichever way round the file is."""
    query = select(bank_line.c.fingerprint).where(bank_line.c.fingerprint == func.any([each[0] for each in marks]))
    known = set(tx.scalars(query))
    ordered = marks[::-1] if len(marks) > 1 and marks[0][2].day > marks[-1][2].day else marks
    return sorted((each for each in ordered if each[0] not in known), key=lambda each: each[2].day)


def _doubts(tx: Connection, marks: Sequence[Mark], new: Sequence[Mark]) -> dict[str, str]:
    """New lines that may be money of another file in another form (CSV today, CAMT tomorrow).

    A line of the same account, day and amount that is here, but not in this file, may be the same movement.
    """
    incoming = [each for each in new if each[2].amount.minor > 0]
    in_file = [each[0] for each in marks]
    query = select(bank_line.c.account, bank_line.c.day, bank_line.c.amount_minor, bank_line.c.id).where(
        bank_line.c.day == func.any(sorted({each[2].day for each in incoming})),
        bank_line.c.amount_minor > 0,
        bank_line.c.fingerprint != func.all(in_file),
    )
    here: dict[tuple[str, date, int], list[int]] = {}
    for row in tx.execute(query) if incoming else ():
        here.setdefault((row.account, row.day, row.amount_minor), []).append(row.id)
    left = Counter({key: len(ids) for key, ids in here.items()})
    found = {}
    for mark, account, line in incoming:
        key = (account, line.day, line.amount.minor)
        if left[key] > 0:
            left[key] -= 1
            amount = f"{decimal_text(line.amount)} {line.amount.currency}"
            found[mark] = f"Line {here[key][-1]} has {amount} on this day, too, from a file that tells it otherwise."
    return found


def _row(file_id: int, mark: str, account: str, line: Line, doubt: str, author: str, now: datetime) -> dict[str, Any]:
    state, why = _state(line)
    return {
        "file_id": file_id,
        "at_line": line.at,
        "fingerprint": mark,
        "account": account,
        "day": line.day,
        "amount_minor": line.amount.minor,
        "currency": line.amount.currency,
        "counterparty": line.name,
        "iban": line.iban,
        "text": line.text,
        "bank_reference": line.bank_reference,
        "end_to_end": line.end_to_end,
        "returned": line.returned,
        "doubt": doubt,
        "state": state,
        "why": why,
        "author": "" if state == "new" else author,
        "decided_at": None if state == "new" else now,
    }


def _state(line: Line) -> tuple[str, str]:
    if line.amount.minor < 0:
        return "outgoing", "The money left."
    if not line.amount:
        return "ignored", "It moves no money."
    if is_stripes(line.name, line.text):
        return "payout", "Stripe pays out what cards brought."
    return "new", ""


def is_stripes(name: str, words: str) -> bool:
    """Whether the other side of a line is Stripe, by its name, or by the text where the bank says no name."""
    return bool(_STRIPE.search(name) or (not name and _STRIPE.search(words)))


def _taken(
    file_id: int, form: str, currency: str, lines: Sequence[Line], new: Sequence[Line], checked: bool, *, again: bool
) -> Taken:
    days = [line.day for line in lines]
    return Taken(
        file_id=file_id,
        format=form,
        lines=len(lines),
        new=len(new),
        first=min(days, default=None),
        last=max(days, default=None),
        incoming=Money(sum(line.amount.minor for line in lines if line.amount.minor > 0), currency),
        outgoing=Money(sum(line.amount.minor for line in lines if line.amount.minor < 0), currency),
        checked=checked,
        again=again,
        aside=Counter(state for line in new if (state := _state(line)[0]) != "new"),
    )
