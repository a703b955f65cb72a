"""The record of each day's bill runs, and the report about them that is read from rows, so that it is right whenever.

Law: a run's invoices are counted in the transactions that issue them. So two processes at once count each invoice once,
and of a run that is killed all that was issued is counted; the next run, of any day, notes that it ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from base.money import Money
from base.tables import subscriber
from billing.run_tables import bill_run

_COUNT = text(
    "INSERT INTO bill_run AS run (day, started_at, issued, totals) "
    "SELECT :day, :now, sum(invoices), jsonb_object_agg(currency, minor) FROM (SELECT currency, count(*) AS invoices, "
    "sum(total_minor) AS minor FROM invoice WHERE id = ANY(:ids) GROUP BY currency) fresh "
    "ON CONFLICT (day) DO UPDATE SET issued = run.issued + excluded.issued, ended_at = NULL, "
    "totals = (SELECT jsonb_object_agg(key, minor) FROM (SELECT key, sum(CAST(value AS bigint)) AS minor FROM "
    "(SELECT * FROM jsonb_each(run.totals) UNION ALL SELECT * FROM jsonb_each(excluded.totals)) parts "
    "GROUP BY key) summed)"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """On how many invoices of a day which way was taken; one that went two ways counts in both."""

    mailed: int = 0
    by_sms: int = 0
    on_paper: int = 0
    "Printed, or waiting to be."
    under_way: int = 0
    uncertain: int = 0
    refused: int = 0
    "By the mail server or the webhook, at once."
    bounced: int = 0
    unreachable: int = 0


@dataclass(frozen=True, slots=True)
class Issued:
    """Invoices of a day in one currency, and what has come in for them."""

    invoices: int
    net: Money
    tax: Money
    total: Money
    paid: int
    "On how many of them something was paid."
    charged: Money
    "Of payments, until now."


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the bill runs of a day."""

    day: date
    run: Row[Any] | None
    "The row of bill_run; None when no run had anything to do."
    issued: tuple[Issued, ...]
    "By currency."
    sent: Sent
    failed: tuple[tuple[str, str, str], ...]
    "Account number, name and reason of those whom the last run of the day could not bill."
    held: tuple[tuple[str, str, str], ...]
    "The same of those whose bill was held back that day."


def count_issued(tx: Connection, day: date, now: datetime, invoice_ids: Sequence[int]) -> None:
    """Count invoices that this transaction issues; call it last, because it waits for other runs of the day."""
    tx.execute(_COUNT, {"day": day, "now": now, "ids": list(invoice_ids)})


def note_held(tx: Connection, day: date, now: datetime, held: Mapping[int, Sequence[str]]) -> None:
    """Keep for whom a bill was held back on `day`, and why."""
    _merge(tx, day, now, "anomalies", {str(key): list(sentences) for key, sentences in held.items()})


def end_run(tx: Connection, day: date, began: datetime, ended: datetime, failures: Mapping[int, Exception]) -> None:
    """Note that a run of `day` is over and whom it could not bill; runs that were killed before end with it."""
    found = {str(key): sentence_of(error) for key, error in failures.items()}
    if found:
        _merge(tx, day, began, "failures", found)
    tx.execute(update(bill_run).where(bill_run.c.ended_at.is_(None)).values(ended_at=ended))
    value = bindparam("value", found, JSONB)
    tx.execute(update(bill_run).where(bill_run.c.day == day, bill_run.c.failures != value).values(failures=value))


def sentence_of(error: Exception) -> str:
    """An error in one line: what was refused speaks for itself, the others say what kind they are."""
    said = (str(error).splitlines() or [""])[0]
    return said if said and isinstance(error, ValueError) else f"{type(error).__name__}: {said}"


def report(tx: Connection, day: date) -> Report:
    """What became of the bill runs of `day`, as of now."""
    run = tx.execute(select(bill_run).where(bill_run.c.day == day)).one_or_none()
    failed = {} if run is None else run.failures
    held = {} if run is None else run.anomalies
    return Report(
        day,
        run,
        tuple(_issued(tx, day)),
        _sent(tx, day),
        _named(tx, failed),
        _named(tx, {key: " ".join(sentences) for key, sentences in held.items()}),
    )


def issued_on(tx: Connection, day: date) -> list[int]:
    """The invoices of a day."""
    return list(tx.scalars(text("SELECT id FROM invoice WHERE issued_on = :day ORDER BY id"), {"day": day}))


def _merge(tx: Connection, day: date, now: datetime, name: str, value: dict[str, Any]) -> None:
    statement = insert(bill_run).values(day=day, started_at=now, **{name: value})
    merged = {name: bill_run.c[name].op("||")(statement.excluded[name])}
    tx.execute(statement.on_conflict_do_update(index_elements=["day"], set_=merged))


_ISSUED = text(
    "SELECT currency, count(*) AS invoices, sum(net_minor) AS net, sum(tax_minor) AS tax, sum(total_minor) AS total, "
    "count(paid.minor) AS paid, coalesce(sum(paid.minor), 0) AS charged FROM invoice LEFT JOIN LATERAL ("
    "SELECT sum(amount_minor) AS minor FROM allocation WHERE allocation.invoice_id = invoice.id "
    "AND payment_id IS NOT NULL) paid ON true WHERE issued_on = :day GROUP BY currency ORDER BY currency"
)
_SENT = text(
    "SELECT CASE WHEN state = 'paper' OR channel = 'paper' THEN 'on_paper' WHEN state = 'none' THEN 'unreachable' "
    "WHEN state = 'sent' AND channel = 'sms' THEN 'by_sms' WHEN state = 'sent' THEN 'mailed' "
    "WHEN state IN ('refused', 'bounced', 'uncertain') THEN state WHEN state IN ('queued', 'sending') THEN 'under_way' "
    "END AS way, "
    "count(DISTINCT invoice_id) AS invoices FROM message WHERE kind = 'invoice' "
    "AND invoice_id IN (SELECT id FROM invoice WHERE issued_on = :day) GROUP BY way"
)


def _issued(tx: Connection, day: date) -> list[Issued]:
    return [
        Issued(
            row.invoices,
            net=Money(int(row.net), row.currency),
            tax=Money(int(row.tax), row.currency),
            total=Money(int(row.total), row.currency),
            paid=row.paid,
            charged=Money(int(row.charged), row.currency),
        )
        for row in tx.execute(_ISSUED, {"day": day})
    ]


def _sent(tx: Connection, day: date) -> Sent:
    return Sent(**{row.way: row.invoices for row in tx.execute(_SENT, {"day": day}) if row.way is not None})


def _named(tx: Connection, sentences: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    columns = subscriber.c.id, subscriber.c.number, subscriber.c.name
    wanted = subscriber.c.id == func.any([int(key) for key in sentences])
    rows = tx.execute(select(*columns).where(wanted).order_by(subscriber.c.number))
    return tuple((row.number, row.name, sentences[str(row.id)]) for row in rows)
