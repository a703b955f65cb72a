"""The door of the importers: a file is read and checked as a whole, and only then, in one transaction, written.

One transaction and not chunks made visible at the end: rows that only count when a mark is set would have to be left
out by every query of the house, and a forgotten one would bill or wall somebody. Ten thousand subscribers with services
are some seconds of one transaction, in which nobody is locked out but who adds a subscriber. Memory holds the file's
text and a chunk of rows; the file is parsed twice.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from types import ModuleType

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from base import trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.money import Money
from billing.importers import balances, payments, products, services, subscribers
from billing.importers.cells import Fault
from billing.importers.reader import Raw, Reading, Sheet, Unreadable, open_sheet, read_rows
from billing.importers.work import Work
from billing.refused import Refused, need

KINDS: dict[str, ModuleType] = {
    "subscribers": subscribers,
    "services": services,
    "products": products,
    "balances": balances,
    "payments": payments,
}
CHUNK = 500  # rows
SHOWN = 5
QUIET_DAYS = 14
_LOCK = 0x746B_696D  # one import at a time

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a file holds, and what became of it."""

    kind: str
    encoding: str
    delimiter: str
    decimal: str
    rows: int
    "Without empty lines."
    new: int
    known: int
    "Here already, from an earlier import."
    left_out: int
    "Say nothing, such as a balance of zero."
    sums: tuple[tuple[str, Money], ...]
    "Of the new ones: what it is, how much."
    notes: tuple[str, ...]
    "Sentences about the new ones."
    first: tuple[str, ...]
    "The first new rows in words."
    faults: tuple[Fault, ...]
    "In the order of their lines, 10,000 at most; none: every row is right."
    fault_count: int
    committed: bool


def import_file(
    tx: Connection,
    vault: Vault,
    business: Business,
    actor: str,
    kind: str,
    data: bytes,
    now: datetime,
    *,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    commit: bool = False,
    quiet_days: int = QUIET_DAYS,
    tell: Tell = lambda done, of: None,
) -> Report:
    """Check a CSV file, and with `commit` write it if every row is right; the caller commits the transaction.

    `kind` is one of KINDS. `quiet_days`: so long nobody is dunned for what was overdue on the day of the move. `tell`
    hears how many lines (of twice as many with `commit`) are done. Raises Refused when the database changed
    meanwhile so that a row is right no longer; the transaction is then of no use.
    """
    need(kind in KINDS, f"We import {', '.join(KINDS)}.", "kind")
    need(0 <= quiet_days <= 366, "The quiet days are 0 to 366.", "quiet_days")
    module = KINDS[kind]
    try:
        sheet = open_sheet(data, reading, module.COLUMNS)
    except Unreadable as unreadable:
        return _unreadable(kind, unreadable)

    def begin_work() -> Work:
        return Work(tx, vault, business, actor, now, local_date(now, business.zone), sheet.decimal, quiet_days)

    if commit:
        tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    of = (sheet.text.count("\n") + 1) * (2 if commit else 1)
    work, rows, new, first = begin_work(), 0, 0, list[str]()
    for chunk in _chunks(read_rows(sheet, work.tell)):
        found = module.check(work, chunk)
        rows, new = rows + len(chunk), new + len(found)
        first += [module.show(each) for each in found[: SHOWN - len(first)]]
        tell(min(chunk[-1].line, of), of)
    report = _report(kind, sheet, work, rows, new, tuple(first))
    if report.fault_count or not commit or not new:
        tell(of, of)
        return report
    again = begin_work()
    again.touched = set(work.touched)
    work.seen.clear()
    try:
        module.begin(again)
        for chunk in _chunks(read_rows(sheet, again.tell)):
            found = module.check(again, chunk)
            if again.faults:
                raise Refused(f"Line {again.faults[0].line}: {again.faults[0].sentence}", again.faults[0].column)
            if found:
                module.write(again, found)
            tell(min(of // 2 + chunk[-1].line, of), of)
        module.finish(again)
    except IntegrityError:
        raise Refused("Somebody has added one of these meanwhile; nothing is imported. Check the file again.") from None
    detail = {"rows": rows, "new": new, "known": work.known, "sha256": hashlib.sha256(data).hexdigest()}
    trail.record(tx, actor, f"import.{kind}", subject="import", detail=detail)
    tell(of, of)
    return _report(kind, sheet, work, rows, new, tuple(first), committed=True)


def _chunks(rows: Iterable[Raw]) -> Iterator[list[Raw]]:
    each = iter(rows)
    while chunk := list(islice(each, CHUNK)):
        yield chunk


def _report(
    kind: str, sheet: Sheet, work: Work, rows: int, new: int, first: tuple[str, ...], *, committed: bool = False
) -> Report:
    return Report(
        kind=kind,
        encoding=sheet.encoding,
        delimiter=sheet.delimiter,
        decimal=sheet.decimal,
        rows=rows,
        new=new,
        known=work.known,
        left_out=work.left_out,
        sums=tuple((what, Money(minor, currency)) for (what, currency), minor in sorted(work.sums.items())),
        notes=tuple(sentence.replace("{}", str(count), 1) for sentence, count in work.counts.items()),
        first=first,
        faults=tuple(sorted(work.faults)),
        fault_count=work.fault_count,
        committed=committed,
    )


def _unreadable(kind: str, unreadable: Unreadable) -> Report:
    faults = unreadable.faults
    return Report(kind, "", "", "", 0, 0, 0, 0, (), (), (), faults[:10_000], len(faults), committed=False)
