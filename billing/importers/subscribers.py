"""Subscribers of an old system: looked up, numbered and written. Nobody is greeted, nobody gets a password."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from base import tables
from base.bulk import copy_rows, take_ids
from billing.importers.reader import Raw
from billing.importers.rows import SUBSCRIBERS, Subscriber, check_subscriber
from billing.importers.work import Work
from billing.numbers import next_numbers
from billing.tables import series
from billing.tax_numbers import check_format, seller_country

COLUMNS = SUBSCRIBERS
_COUNTING = 10**15  # a number of digits beyond it is a name, and our series does not follow it


def check(work: Work, raws: Sequence[Raw]) -> list[Subscriber]:
    """The new ones among the rows."""
    rows: list[Subscriber] = work.check(raws, lambda cells: check_subscriber(cells, work.business.currency))
    rows = [row for row in rows if _once(work, row)]
    named = work.subscribers([row.number for row in rows if row.number])
    alike = _alike(work, [row for row in rows if not row.number])
    new = []
    for row in rows:
        known = named.get(row.number)
        if known is not None and known.name != row.name:
            sentence = f"The account number {row.number} is taken by {known.name}, and the row is about {row.name}."
            work.fault(row.line, "number", sentence)
        elif known is not None or (not row.number and _identity(row) in alike):
            work.known += 1
        elif (taxed := _taxed(work, row)) is not None:
            new.append(taxed)
            work.count("{} are numbered by us." if not row.number else "{} keep their number.")
    return new


def begin(work: Work) -> None:
    """Keep everybody else from being numbered meanwhile."""
    work.tx.execute(insert(series).values(name="subscriber", last_number=0).on_conflict_do_nothing())
    work.tx.execute(select(series).where(series.c.name == "subscriber").with_for_update())


def write(work: Work, rows: Sequence[Subscriber]) -> None:
    """Add those who bring a number; the others wait until the highest of these is known."""
    _add(work, [row for row in rows if row.number])
    work.cache.setdefault("waiting", []).extend(row for row in rows if not row.number)
    work.cache["highest"] = max([work.cache.get("highest", 0), *(_counts(row.number) for row in rows)])


def finish(work: Work) -> None:
    """Have our series go on after the highest number, and number who has none."""
    beyond = func.greatest(series.c.last_number, work.cache.get("highest", 0))
    work.tx.execute(update(series).where(series.c.name == "subscriber").values(last_number=beyond))
    if waiting := work.cache.get("waiting"):
        numbers = next_numbers(work.tx, "subscriber", len(waiting))
        _add(work, [replace(row, number=f"{number:05d}") for row, number in zip(waiting, numbers, strict=True)])


def show(row: Subscriber) -> str:
    """One row in words."""
    return " · ".join(part for part in (row.number or "(to be numbered)", row.name, row.email) if part)


def _once(work: Work, row: Subscriber) -> bool:
    if row.number:
        return work.once(row.number, row.line, "number", f"The account number {row.number}")
    return work.once(_identity(row), row.line, "number", f"{row.name} with the same mail, phone and address")


def _identity(row: Any) -> tuple[str, str, str, str]:
    return row.name, row.email, row.phone, row.address


def _alike(work: Work, rows: Sequence[Subscriber]) -> set[tuple[str, str, str, str]]:
    """Who is here under a number of ours already, by what tells people apart."""
    if not rows:
        return set()
    who = tables.subscriber.c
    query = select(who.name, who.email, who.phone, who.address)
    same = tuple_(who.name, who.email, who.phone, who.address).in_([_identity(row) for row in rows])
    return {_identity(row) for row in work.tx.execute(query.where(same))}


def _taxed(work: Work, row: Subscriber) -> Subscriber | None:
    """With the tax number as documents show it; a number that cannot be one is no reason for reverse charge."""
    normalised = check_format(row.country, row.tax_number) if row.tax_number else None
    if row.tax_treatment == "reverse_charge" and row.country == seller_country(work.business):
        work.fault(row.line, "country", f"{row.country} is your own country: reverse charge is for customers abroad.")
        return None
    if row.tax_treatment == "reverse_charge" and normalised is None:
        work.fault(row.line, "tax_number", f"{row.tax_number!r} is not a tax number of {row.country}.")
        return None
    if row.tax_number and normalised is None:
        work.count("{} have a tax number whose format is not known; it is kept as it is.")
    return row if normalised is None else replace(row, tax_number=normalised)


def _counts(number: str) -> int:
    return int(number) if number.isascii() and number.isdigit() and int(number) < _COUNTING else 0


def _add(work: Work, rows: Sequence[Subscriber]) -> None:
    ids = take_ids(work.tx, tables.subscriber, len(rows))
    values = []
    for subscriber_id, row in zip(ids, rows, strict=True):
        checked = bool(row.tax_number) and check_format(row.country, row.tax_number) == row.tax_number
        values.append(
            {
                "id": subscriber_id,
                **{name: getattr(row, name) for name in Subscriber.__dataclass_fields__ if name != "line"},
                "tax_number_check": "format" if checked else "",
                "tax_number_checked_on": work.today if checked else None,
                "created_at": work.now,
            }
        )
    copy_rows(work.tx, tables.subscriber, values)
    deeds = [
        {
            "at": work.now, "actor": work.actor, "act": "subscriber.imported", "subject": "subscriber",
            "subject_id": subscriber_id, "detail": {"name": row.name, "line": row.line},
        }
        for subscriber_id, row in zip(ids, rows, strict=True)
    ]  # fmt: skip
    copy_rows(work.tx, tables.trail, deeds)
