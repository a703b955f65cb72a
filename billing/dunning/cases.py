"""Who is dunned and how far it has come, loaded many payers at a time: for the run, for access, and for people."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, union

from base.business import Business
from base.calendar import local_date
from base.money import Money
from base.tables import service, subscriber
from billing.cheques.waiting import Cover, covers, waiting_of
from billing.dunning.doubt import doubts
from billing.dunning.policies import Policies, load_policies
from billing.dunning.policy import Policy
from billing.dunning.rules import Case, Notice, mark_lapsed
from billing.dunning.tables import (
    dunning_anew,
    dunning_group,
    dunning_notice,
    dunning_step,
    dunning_wall,
    exemption,
    promise,
)
from billing.instalments.agreed import in_plan
from billing.settle import open_by_subscriber
from billing.tables import charge, credit_note_line, invoice, invoice_line, open_item


@dataclass(frozen=True, slots=True)
class Payer:
    """One subscriber with open invoices that are dunned."""

    id: int
    number: str
    name: str
    language: str | None
    currency: str
    policy: Policy
    at_stake: bool
    "They pay for a service that has not ended."
    held_until: date | None
    "First day on which no promise and no exemption holds; None: none does."
    doubt_until: datetime | None
    demanded: bool
    "A reconnection fee that has to be paid first is open."
    cases: tuple[Case, ...]
    "The one due first at the front."

    @property
    def minimum(self) -> int:
        """Minor units of their currency; who is overdue with less is left alone."""
        return self.policy.minimum if self.currency == self.policy.currency else 0

    def by(self, policy: Policy) -> "Payer":
        """The same payer, dunned by a policy: which notices hold depends on its minimum."""
        payer = replace(self, policy=policy)
        return replace(payer, cases=mark_lapsed(payer.cases, payer.minimum))


def load_payers(
    tx: Connection,
    business: Business,
    payer_ids: Collection[int],
    now: datetime,
    policies: Policies | None = None,
) -> dict[int, Payer]:
    """Those of these subscribers who have open invoices that are dunned, or a reconnection fee to pay first."""
    ids = list(payer_ids)
    today = local_date(now, business.zone)
    policies = policies or load_policies(tx, business)
    cases = _cases(tx, ids)
    demanded = demanding(tx, ids)
    held, doubtful = _holds(tx, ids, today), doubts(tx, ids, now)
    at_stake = set(
        tx.scalars(
            select(service.c.payer_id).where(
                service.c.payer_id == func.any(ids), service.c.ends_on.is_(None) | (service.c.ends_on > today)
            )
        )
    )
    query = (
        select(subscriber, dunning_group.c.policy_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == subscriber.c.id)
        .where(subscriber.c.id == func.any(sorted(cases.keys() | demanded)))
    )
    return {
        row.id: Payer(
            id=row.id,
            number=row.number,
            name=row.name,
            language=row.language,
            currency=row.currency,
            policy=policies.of(row.policy_id),
            at_stake=row.id in at_stake,
            held_until=held.get(row.id),
            doubt_until=doubtful.get(row.id),
            demanded=row.id in demanded and policies.of(row.policy_id).reconnection_first,
            cases=cases.get(row.id, ()),
        ).by(policies.of(row.policy_id))
        for row in tx.execute(query)
    }


def announced(tx: Connection, payer_ids: Collection[int]) -> set[int]:
    """Those for whom a date has been named, or who have to pay a reconnection fee first: debt may touch their access.

    One query, because the bill run asks it for everybody.
    """
    ids = list(payer_ids)
    named = (
        select(open_item.c.subscriber_id)
        .join(dunning_notice, dunning_notice.c.invoice_id == open_item.c.invoice_id)
        .where(open_item.c.subscriber_id == func.any(ids), open_item.c.dunned, ~in_plan())
    )
    return set(tx.scalars(union(named, _demanded(ids))))


def demanding(tx: Connection, payer_ids: Collection[int]) -> set[int]:
    """Those who have to pay a reconnection fee before they come back."""
    return set(tx.scalars(_demanded(list(payer_ids))))


def _demanded(ids: list[int]) -> Select[tuple[int]]:
    """Fees are paid last: one that was not waived is open while anything is of its invoice, whatever else is on it."""
    waived = select(func.sum(credit_note_line.c.net_minor)).where(
        credit_note_line.c.invoice_line_id == invoice_line.c.id
    )
    return (
        select(open_item.c.subscriber_id)
        .join(charge, charge.c.invoice_id == open_item.c.invoice_id)
        .join(invoice_line, invoice_line.c.charge_id == charge.c.id)
        .where(
            open_item.c.subscriber_id == func.any(ids),
            invoice_line.c.net_minor > func.coalesce(waived.scalar_subquery(), 0),
            charge.c.kind == "reconnection",
            charge.c.bill_on.is_not(None),
            ~in_plan(),
        )
    )


def _cases(tx: Connection, ids: list[int]) -> dict[int, tuple[Case, ...]]:
    query = (
        select(open_item, invoice.c.number)
        .join(invoice, invoice.c.id == open_item.c.invoice_id)
        .where(open_item.c.subscriber_id == func.any(ids), open_item.c.dunned, ~in_plan())
        .order_by(open_item.c.due_on, open_item.c.invoice_id)
    )
    rows = tx.execute(query).all()
    invoices = [row.invoice_id for row in rows]
    taken: dict[int, dict[str, date]] = {}
    bore: set[int] = set()
    for step in tx.execute(select(dunning_step).where(dunning_step.c.invoice_id == func.any(invoices))):
        taken.setdefault(step.invoice_id, {})[step.act] = step.on_day
        if step.charge_id is not None:
            bore.add(step.invoice_id)
    notices: dict[int, dict[str, Notice]] = {}
    letters: dict[int, set[str]] = {}
    found = (
        select(dunning_notice).where(dunning_notice.c.invoice_id == func.any(invoices)).order_by(dunning_notice.c.id)
    )
    for each in tx.execute(found):
        letters.setdefault(each.invoice_id, set()).add(each.message_key)
        if each.withdrawn_at is not None:
            continue
        returned = each.arrived_on is None and each.in_time is False
        notice = Notice(each.act, each.on_day, each.message_key, each.arrived_on, bool(each.in_time), returned)
        notices.setdefault(each.invoice_id, {})[each.act] = notice
    fees = _fees(tx, invoices)
    begun: dict[int, int] = {}
    for invoice_id in tx.scalars(
        select(dunning_anew.c.invoice_id).where(dunning_anew.c.invoice_id == func.any(invoices))
    ):
        begun[invoice_id] = begun.get(invoice_id, 0) + 1
    walls: dict[int, list[Row[Any]]] = {}
    for wall in tx.execute(select(dunning_wall).where(dunning_wall.c.invoice_id == func.any(invoices))):
        walls.setdefault(wall.invoice_id, []).append(wall)
    cases: dict[int, tuple[Case, ...]] = {}
    under_way = _under_way(tx, ids)
    for row in rows:
        left = Money(row.open_minor, row.currency)
        dunned = left - fees.get(row.invoice_id, Money(0, row.currency))
        if dunned.minor <= 0:
            continue  # only fees are left of it
        case = Case(
            invoice_id=row.invoice_id,
            number=row.number,
            due_on=row.due_on,
            open=left,
            dunned=dunned,
            taken=taken.get(row.invoice_id, {}),
            notices=notices.get(row.invoice_id, {}),
            letters=len(letters.get(row.invoice_id, ())),
            begun=begun.get(row.invoice_id, 0),
            fee_charged=row.invoice_id in bore,
            walled_on=min((wall.on_day for wall in walls.get(row.invoice_id, ())), default=None),
            walled_now=any(wall.back_on is None for wall in walls.get(row.invoice_id, ())),
            waits_until=_waits(under_way.get(row.invoice_id), dunned),
        )
        cases[row.subscriber_id] = (*cases.get(row.subscriber_id, ()), case)
    return cases


def _under_way(tx: Connection, ids: list[int]) -> dict[int, Cover]:
    """What cheques under way would pay of which invoice."""
    cheques = waiting_of(tx, ids)
    found: dict[int, Cover] = {}
    for payer_id, open_now in open_by_subscriber(tx, list(cheques)).items() if cheques else ():
        found |= covers(cheques[payer_id], open_now)
    return found


def _waits(cover: Cover | None, dunned: Money) -> date | None:
    """How long an invoice is waited for: only a cheque that pays all that is dunned of it holds anything."""
    return None if cover is None or cover.amount < dunned else cover.until + timedelta(days=1)


def _fees(tx: Connection, invoices: list[int]) -> Mapping[int, Money]:
    """What of each invoice is fees that dunning brought and nobody waived, with their tax; they are paid last."""
    given = (
        select(func.coalesce(func.sum(credit_note_line.c.net_minor), 0))
        .where(credit_note_line.c.invoice_line_id == invoice_line.c.id)
        .scalar_subquery()
    )
    query = (
        select(
            invoice_line.c.invoice_id, invoice_line.c.net_minor, given.label("given"), invoice_line.c.taxes,
            invoice.c.currency,
        )
        .join(invoice, invoice.c.id == invoice_line.c.invoice_id)
        .where(invoice_line.c.invoice_id == func.any(invoices), invoice_line.c.kind.in_(("late_fee", "reconnection")))
    )  # fmt: skip
    found: dict[int, Money] = {}
    for row in tx.execute(query):
        net = Money(row.net_minor - int(row.given), row.currency)
        with_tax = net.times(1 + sum((Decimal(tax["percent"]) for tax in row.taxes), Decimal(0)) / 100)
        found[row.invoice_id] = found.get(row.invoice_id, Money(0, row.currency)) + with_tax
    return found


def _holds(tx: Connection, ids: list[int], today: date) -> dict[int, date]:
    promised = select(promise.c.subscriber_id, (promise.c.until_on + 1).label("until")).where(
        promise.c.subscriber_id == func.any(ids), promise.c.state == "open"
    )
    exempt = select(exemption.c.subscriber_id, exemption.c.until_on.label("until")).where(
        exemption.c.subscriber_id == func.any(ids), exemption.c.from_on <= today
    )
    found: dict[int, date] = {}
    for row in tx.execute(union(promised, exempt)):
        if row.until > today:
            found[row.subscriber_id] = max(row.until, found.get(row.subscriber_id, row.until))
    return found
