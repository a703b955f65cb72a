"""What is known about bills, drafted or issued, when they are judged: one query per kind of fact, nothing locked."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, text

from base.business import Business
from base.calendar import Period, boundary, period_around
from base.i18n import format_money
from base.money import Money
from base.tables import service, subscriber, trail
from billing.addresses import find_bad, load_reaches
from billing.anomalies import EACH_PERIOD, Anomaly, Before, Bill, Key, Limits, Line, Payer, Unbilled, judge
from billing.draft import FAR, Recurring, due_lines, next_piece, price_of, without
from billing.issue import Draft
from billing.outbox import channel_of
from billing.recurring import load_recurring
from billing.tables import charge, credit_note_line, invoice, invoice_line

NEWEST = 2**63 - 1  # of a draft every line that exists was billed before it


@dataclass(frozen=True, slots=True)
class _Found:
    """A bill with the first of its lines' ids: what is older was billed before it."""

    bill: Bill
    oldest: int


def judge_drafts(tx: Connection, business: Business, drafts: Sequence[Draft]) -> list[Anomaly]:
    """What is odd about bills that are not issued yet."""
    payers = _payers(tx, business, [draft.payer for draft in drafts])
    parts = _recurring(tx, {line.service_id for draft in drafts for line in draft.lines})
    found = []
    for draft in drafts:
        lines = tuple(
            Line(
                each.kind, each.service_id, each.service_product_id, each.text, each.amount, each.period,
                whole=_whole(parts, (each.service_id, each.service_product_id), each.period), by_day=each.by_day,
                on_day=None if each.charge_id is None else each.supplied_on,
            )
            for each in draft.lines
        )  # fmt: skip
        found.append(_Found(Bill(payers[draft.payer.id], lines, draft.total), NEWEST))
    return _judge(tx, business, found, parts, ())


def judge_issued(tx: Connection, business: Business, invoice_ids: Sequence[int]) -> list[Anomaly]:
    """What is odd about invoices, seen from the day on which they were issued."""
    query = select(invoice.c.id, invoice.c.total_minor, invoice.c.currency, invoice.c.subscriber_id)
    invoices = tx.execute(query.where(invoice.c.id.in_(invoice_ids)).order_by(invoice.c.id)).all()
    wanted = {row.subscriber_id for row in invoices}
    payers = _payers(tx, business, tx.execute(select(subscriber).where(subscriber.c.id.in_(wanted))).all())
    of_lines = select(invoice_line, charge.c.on_day).outerjoin(charge, charge.c.id == invoice_line.c.charge_id)
    rows: dict[int, list[Row[Any]]] = {}
    for row in tx.execute(of_lines.where(invoice_line.c.invoice_id.in_(invoice_ids)).order_by(invoice_line.c.id)):
        rows.setdefault(row.invoice_id, []).append(row)
    parts = _recurring(tx, {row.service_id for found in rows.values() for row in found})
    bills = [
        _Found(
            Bill(
                payers[each.subscriber_id],
                tuple(_line(row, each.currency, parts, row.on_day) for row in rows.get(each.id, ())),
                Money(each.total_minor, each.currency),
            ),
            min((row.id for row in rows.get(each.id, ())), default=NEWEST),
        )
        for each in invoices
    ]
    return _judge(tx, business, bills, parts, invoice_ids)


def find_unbilled(tx: Connection, day: date, done_until: date | None, days_before: int) -> list[Unbilled]:
    """Services with a price that are active on `day` and have no line on any invoice.

    `done_until`: nor will the runs until that day bring one.
    """
    query = text(
        "SELECT id FROM service WHERE starts_on < :day AND (ends_on IS NULL OR ends_on > :day) "
        "AND NOT EXISTS (SELECT FROM invoice_line WHERE invoice_line.service_id = service.id) ORDER BY id"
    )
    ids = list(tx.scalars(query, {"day": day}))
    found = []
    for begin in range(0, len(ids), 500):
        chunk = ids[begin : begin + 500]
        columns = service.c.id, service.c.payer_id, service.c.next_bill_on
        rows = {row.id: row for row in tx.execute(select(*columns).where(service.c.id.in_(chunk)))}
        ours = _taken_over(tx, chunk)
        for each in load_recurring(tx, services=chunk, lock=False):
            row = rows[each.service_id]
            if each.service_product_id is not None:
                continue
            if done_until is not None and row.next_bill_on is not None and due_lines(each, done_until, days_before)[0]:
                continue
            if one := _unbilled(each, row.payer_id, day, ours.get(each.service_id, each.starts_on)):
                found.append(one)
    return found


def _taken_over(tx: Connection, service_ids: Sequence[int]) -> dict[int, date]:
    """Of services that an importer brought: the first day that is ours to bill."""
    query = select(trail.c.subject_id, trail.c.detail["billed_until"].astext.label("day")).where(
        trail.c.subject == "service", trail.c.subject_id.in_(service_ids), trail.c.act == "service.imported"
    )
    return {row.subject_id: date.fromisoformat(row.day) for row in tx.execute(query)}


def _unbilled(each: Recurring, payer: int, day: date, since: date) -> Unbilled | None:
    piece = next_piece(each, since)
    if piece is None or since >= day or any(one.percent is not None and one.percent >= 100 for one in each.discounts):
        return None
    so_far = Period(since, day)
    paused = so_far.days - sum(left.days for left in without(so_far, each.skipped))
    end = boundary(since, piece.terms.cycle, 1) + timedelta(days=paused)
    return Unbilled(each.service_id, payer, each.login, since, end, price_of(piece))


def _judge(
    tx: Connection, business: Business, found: Sequence[_Found], parts: dict[Key, Recurring], invoices: Collection[int]
) -> list[Anomaly]:
    limits = Limits(business.bill_jump_percent, business.bill_jump_least)
    before = Before(_last(tx, found, parts), _covered(tx, found), _charges(tx, found, limits.charge_days, invoices))
    return [
        anomaly
        for each in found
        for anomaly in judge(each.bill, before, limits, lambda money: format_money(money, business.language))
    ]


def _payers(tx: Connection, business: Business, rows: Iterable[Row[Any]]) -> dict[int, Payer]:
    by_id = {row.id: row for row in rows}
    reaches = load_reaches(tx, list(by_id))
    bad = find_bad(tx, (address for reach in reaches.values() for address in reach.addresses("invoice")))
    return {
        row.id: Payer(
            row.id,
            row.name,
            channel_of(business, reaches[row.id], "invoice", bad) != "paper" or bool(row.address.strip()),
            row.tax_treatment == "reverse_charge" and not row.tax_number_check,
        )
        for row in by_id.values()
    }


def _recurring(tx: Connection, service_ids: Collection[int | None]) -> dict[Key, Recurring]:
    wanted = [each for each in service_ids if each is not None]
    return {
        (each.service_id, each.service_product_id): each for each in load_recurring(tx, services=wanted, lock=False)
    }


def _whole(parts: dict[Key, Recurring], key: Key, days: Period | None) -> Period | None:
    """The whole period that the first of `days` lies in, as it was sold then."""
    each = parts.get(key)
    if each is None or days is None:
        return None
    held = [terms for terms in each.terms if terms.from_on <= days.start]
    terms = held[-1] if held else each.terms[0]
    return period_around(terms.anchor, terms.cycle, days.start)


def _line(row: Any, currency: str, parts: dict[Key, Recurring], on_day: date | None = None) -> Line:
    days = None if row.period_start is None else Period(row.period_start, row.period_end)
    whole = _whole(parts, (row.service_id, row.service_product_id), days)
    amount = Money(row.amount_minor, currency)
    return Line(
        row.kind, row.service_id, row.service_product_id, row.text, amount, days, whole, row.by_day, on_day
    )  # fmt: skip


def _asked(found: Iterable[_Found]) -> dict[str, list[Any]]:
    """What recurs on the bills, as arrays for the two queries below; each thing with all of its days."""
    every: dict[tuple[Key, int], Period] = {}
    for each in found:
        for line in each.bill.lines:
            if line.kind in EACH_PERIOD and line.days is not None:
                had = every.get((line.key, each.oldest), line.days)
                days = Period(min(had.start, line.days.start), max(had.end, line.days.end))
                every[line.key, each.oldest] = days
    return {
        "services": [key[0] for key, _ in every],
        "products": [key[1] for key, _ in every],
        "oldest": [oldest for _, oldest in every],
        "starts": [days.start for days in every.values()],
        "ends": [days.end for days in every.values()],
    }


_ASKED = (
    "unnest(CAST(:services AS bigint[]), CAST(:products AS bigint[]), CAST(:oldest AS bigint[]), "
    "CAST(:starts AS date[]), CAST(:ends AS date[])) AS asked (service_id, product_id, oldest, start_on, end_on)"
)
_SAME = (
    "line.service_id = asked.service_id AND line.service_product_id IS NOT DISTINCT FROM asked.product_id "
    "AND line.kind IN ('plan', 'product') AND line.id < asked.oldest"
)
# By the period, not by the id: the planner would read the table backwards for the newest id of a service without any.
_LAST = text(
    f"SELECT last.* FROM {_ASKED} CROSS JOIN LATERAL (SELECT line.* FROM invoice_line line "  # noqa: S608 - no input
    f"WHERE {_SAME} AND line.period_start IS NOT NULL ORDER BY line.period_start DESC, line.id DESC LIMIT 1) last"
)
_COVERED = text(
    f"SELECT line.* FROM {_ASKED} JOIN invoice_line line ON {_SAME} "  # noqa: S608 - no input
    "AND line.period_start < asked.end_on AND line.period_end > asked.start_on AND line.amount_minor <> 0"
)


def _last(tx: Connection, found: Sequence[_Found], parts: dict[Key, Recurring]) -> dict[Key, Line]:
    currencies = {line.key: line.amount.currency for each in found for line in each.bill.lines}
    rows = tx.execute(_LAST, _asked(found)).all()
    lines = [_line(row, currencies[row.service_id, row.service_product_id], parts) for row in rows]
    return {line.key: line for line in lines}


def _covered(tx: Connection, found: Sequence[_Found]) -> dict[Key, list[Period]]:
    rows = tx.execute(_COVERED, _asked(found)).all()
    by_day: dict[int, list[Period]] = {}
    given: dict[int, int] = {}
    query = select(credit_note_line).where(credit_note_line.c.invoice_line_id.in_([row.id for row in rows]))
    for row in tx.execute(query) if rows else ():
        given[row.invoice_line_id] = given.get(row.invoice_line_id, 0) + row.amount_minor
        if row.period_start is not None:
            by_day.setdefault(row.invoice_line_id, []).append(Period(row.period_start, row.period_end))
    covered: dict[Key, list[Period]] = {}
    for row in rows:
        if given.get(row.id, 0) != row.amount_minor:
            left = without(Period(row.period_start, row.period_end), by_day.get(row.id, ()))
            covered.setdefault((row.service_id, row.service_product_id), []).extend(left)
    return covered


def _charges(
    tx: Connection, found: Sequence[_Found], charge_days: int, invoices: Collection[int]
) -> dict[int, list[Line]]:
    """Charges of those who are charged something now, billed lately by other invoices than these."""
    days: dict[int, date] = {}
    for each in found:
        for line in each.bill.lines:
            if line.on_day is not None:
                payer = each.bill.payer.subscriber_id
                days[payer] = min(days.get(payer, FAR), line.on_day)
    if not days:
        return {}
    query = (
        select(charge, subscriber.c.currency)
        .join(subscriber, subscriber.c.id == charge.c.subscriber_id)
        .where(
            charge.c.subscriber_id.in_(days),
            charge.c.invoice_id.is_not(None),
            charge.c.on_day >= min(days.values()) - timedelta(days=charge_days),
        )
    )
    charges: dict[int, list[Line]] = {}
    for row in tx.execute(query):
        if row.invoice_id not in invoices:
            amount = Money(row.amount_minor, row.currency)
            line = Line(row.kind, row.service_id, None, row.text, amount, None, on_day=row.on_day)
            charges.setdefault(row.subscriber_id, []).append(line)
    return charges
