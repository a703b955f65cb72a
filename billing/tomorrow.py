"""What a day to come will bring: the very functions of the tick, played ahead and rolled back.

A few payers at a time go through the days until then in one transaction, which is never committed. Whatever is random
or comes from outside stays as it is: nobody pays, every mail is taken at once, Stripe is heard from as it is now. If
nothing else happens in between, the day does exactly what is said here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Table, exists, func, or_, select, text, union, update
from sqlalchemy.exc import OperationalError

from base import clock
from base.access import AccessLevel
from base.business import Business, load_business
from base.calendar import local_date, local_midnight
from base.crypto import Vault, open_vault
from base.database import engine
from base.money import Money
from base.offers import plan, service_plan, skipped_period
from base.settings import settings
from base.tables import access_history, policy, service, subscriber
from billing.apply import refresh_access
from billing.bill_holds import end_holds, hold_back
from billing.bill_runs import sentence_of
from billing.changes import due_switches, switch_plans
from billing.cheques.clear import count_for
from billing.cheques.tables import cheque
from billing.collect.cases import owed_by
from billing.collect.parts import open_parts
from billing.collect.tables import collection
from billing.dunning.arrivals import note_arrivals
from billing.dunning.promises import settle_promises
from billing.dunning.run import dun
from billing.dunning.tables import dunning_look, dunning_notice, promise
from billing.endings import due_deposits, return_deposits
from billing.instalments.agreed import in_plan, load_plans
from billing.instalments.plans import settle_plans
from billing.instalments.rules import left_of
from billing.instalments.tables import instalment_plan
from billing.issue import due_subscribers, issue_for_subscribers
from billing.prepaid.renewal import due_for_renewal, renew_and_refresh
from billing.refused import need
from billing.run_tables import bill_hold
from billing.settle import lock_subscribers
from billing.tables import charge, invoice, message, open_item, payment
from billing.walled import WALLED, skip_for_payers

# Payers to a transaction, for tomorrow and for a day further ahead: their rows are locked while it lasts.
CHUNK, FAR_CHUNK = 5, 1
FAR_NUMBERS = 10**9  # numbers of the invoices that are played: nobody waits for them
MOST_DAYS = 62


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that will happen."""

    kind: str
    "invoice, charge, fee, mail, cheque (it counts), part (of a plan), broken (plan), suspend, slow, restore or end."
    number: str
    "Of the account."
    name: str
    what: str
    "The kind of mail, the login, the text of the fee; '' for an invoice."
    amount: Money | None


@dataclass(slots=True)
class Day:
    """Everything that a day will bring, in the order of the accounts."""

    day: date
    items: list[Item] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    "Subscribers for whom something cannot be done, each with the reason."


def preview_day(day: date, progress: Callable[[int, int], None] = lambda done, of: None) -> Day:
    """What `day` will bring, from now on where it is today. Refused for the past and for days too far ahead.

    Nothing is changed, and no number is taken; the rows of one subscriber (tomorrow: of a few) at a time are locked for
    a moment. No change of access waits for that: readers of the feed do not wait for transactions that are open.
    """
    vault = open_vault(settings().secret_keys)
    with _played() as (tx, now):
        business = load_business(tx, vault)
        today = local_date(now, business.zone)
        need(day >= today, "That day is over; `bill report` and the trail say what happened.", "day")
        need((day - today).days <= MOST_DAYS, f"At most {MOST_DAYS} days ahead can be seen.", "day")
        due = _concerned(tx, business, day)
    found = Day(day)
    size = CHUNK if (day - today).days <= 1 else FAR_CHUNK
    for begin in range(0, len(due), size):
        chunk = due[begin : begin + size]
        found.items += _play_or_split(vault, chunk, day, found.failures)
        progress(begin + len(chunk), len(due))
    found.items.sort(key=lambda item: (item.number, item.kind, item.what))
    return found


class _played:
    """A transaction that is rolled back whatever happens, and the business time at which it begins."""

    def __enter__(self) -> tuple[Connection, datetime]:
        self._connection = engine().connect()
        self._transaction = self._connection.begin()
        return self._connection, clock.now()

    def __exit__(self, *exception: object) -> None:
        self._transaction.rollback()
        self._connection.invalidate()  # statements that it prepared for our series are not to meet the real one
        self._connection.close()


def _concerned(tx: Connection, business: Business, day: date) -> list[int]:
    """Payers for whom anything can happen until the end of `day`; all that could is enough to be looked at."""
    end = local_midnight(day + timedelta(days=1), business.zone)
    changing = [*due_switches(tx, day), *due_deposits(tx, day)]
    switching = select(service.c.payer_id).where(service.c.id == func.any(changing))
    reviewed = (
        select(service.c.payer_id)
        .join(policy, policy.c.service_id == service.c.id)
        .where((policy.c.review_at < end) | (policy.c.level > int(AccessLevel.FULL)))
    )
    dunned = select(open_item.c.subscriber_id).where(open_item.c.due_on <= day)
    planned = select(instalment_plan.c.subscriber_id).where(instalment_plan.c.state == "active")
    covered = select(cheque.c.subscriber_id).where(cheque.c.state == "waiting", cheque.c.counts_on <= day)
    promised = select(promise.c.subscriber_id).where(promise.c.state == "open")
    charged = select(collection.c.subscriber_id).where(collection.c.state == "waiting", collection.c.next_try_at < end)
    found = set(tx.scalars(union(switching, reviewed, dunned, planned, covered, promised, charged)))
    return sorted(found | set(due_subscribers(tx, day, business.issue_days_before)))


def _play_or_split(vault: Vault, payers: Sequence[int], day: date, failures: dict[int, str]) -> list[Item]:
    try:
        return _play(vault, payers, day)
    except OperationalError:
        raise
    except Exception as error:
        if len(payers) == 1:
            failures[payers[0]] = sentence_of(error)
            return []
        return [item for each in payers for item in _play_or_split(vault, [each], day, failures)]


def _play(vault: Vault, payers: Sequence[int], day: date) -> list[Item]:
    with _played() as (tx, now):
        lock_subscribers(tx, payers)  # before any service, as everybody else does
        _shadow_numbers(tx)
        business = load_business(tx, vault)
        zone = business.zone
        before = _marks(tx)
        for instant in _instants(tx, payers, now, day, zone):
            if local_date(instant, zone) == day and instant != now and instant == local_midnight(day, zone):
                before = _marks(tx)
            with clock.standing(instant):
                _tick(tx, vault, business, payers, instant)
        return _gather(tx, payers, before) + _charges(tx, payers, now, day, zone) + _parts(tx, payers, day)


def _shadow_numbers(tx: Connection) -> None:
    """Number from far away in a table of our own, so that the real series is neither locked nor met."""
    tx.execute(text("CREATE TEMPORARY TABLE series (LIKE public.series INCLUDING ALL) ON COMMIT DROP"))
    tx.execute(text("INSERT INTO series SELECT name, last_number + :far FROM public.series"), {"far": FAR_NUMBERS})


def _instants(tx: Connection, payers: Sequence[int], now: datetime, day: date, zone: ZoneInfo) -> Iterator[datetime]:
    """Now, every midnight until `day`, and in between whenever time alone changes somebody's access."""
    theirs = select(service.c.id).where(service.c.payer_id == func.any(list(payers)))
    instant = now
    end = local_midnight(day + timedelta(days=1), zone)
    while instant < end:
        yield instant
        midnight = local_midnight(local_date(instant, zone) + timedelta(days=1), zone)
        later = select(func.min(policy.c.review_at)).where(
            policy.c.service_id.in_(theirs), policy.c.review_at > instant
        )
        instant = min(midnight, tx.scalar(later) or midnight)


def _wanted(tx: Connection, business: Business, payers: Sequence[int], now: datetime) -> set[str]:
    """Which parts of a tick could find anything to do for these payers, in one statement: most days bring nothing.

    Their rows are locked until the transaction ends, so it has to be short.
    """
    today = local_date(now, business.zone)
    ids = list(payers)
    theirs = service.c.payer_id == func.any(ids)
    mine = select(service.c.id).where(theirs)
    ahead = today + timedelta(days=business.issue_days_before)
    fees = (
        charge.c.subscriber_id == func.any(ids),
        charge.c.invoice_id.is_(None),
        charge.c.dropped_at.is_(None),
        charge.c.bill_on <= today,
    )
    owing = (open_item.c.subscriber_id == func.any(ids), open_item.c.dunned, ~in_plan())
    later = exists().where(dunning_look.c.invoice_id == open_item.c.invoice_id, dunning_look.c.look_on > today)
    awaited = (
        dunning_notice.c.invoice_id == open_item.c.invoice_id,
        dunning_notice.c.arrived_on.is_(None),
        dunning_notice.c.withdrawn_at.is_(None),
    )
    parts = {
        "cheque": exists().where(
            cheque.c.subscriber_id == func.any(ids), cheque.c.state == "waiting", cheque.c.counts_on <= today
        ),
        "renew": exists().where(theirs, service.c.paid_until <= now),
        "end": exists().where(theirs, service.c.ends_on == today),
        "switch": exists().where(service_plan.c.service_id.in_(mine), service_plan.c.from_on == today),
        "skip": or_(
            exists().where(skipped_period.c.service_id.in_(mine), skipped_period.c.reason == WALLED),
            exists().where(theirs, plan.c.id == service.c.plan_id, plan.c.walled_billing != "bill"),
        ),
        "bill": or_(
            exists().where(theirs, service.c.next_bill_on <= ahead),
            exists().where(*fees),
            exists().where(bill_hold.c.subscriber_id == func.any(ids)),
        ),
        "promise": exists().where(promise.c.subscriber_id == func.any(ids), promise.c.state == "open"),
        "plan": exists().where(instalment_plan.c.subscriber_id == func.any(ids), instalment_plan.c.state == "active"),
        "arrive": exists().where(*owing, *awaited),
        "dun": exists().where(*owing, open_item.c.due_on <= today, ~later),
        "review": exists().where(policy.c.service_id.in_(mine), policy.c.review_at <= now),
    }
    row = tx.execute(select(*(each.label(name) for name, each in parts.items()))).one()
    return {name for name in parts if getattr(row, name)}


def _tick(tx: Connection, vault: Vault, business: Business, payers: Sequence[int], now: datetime) -> None:
    """What billing.tick does, for these payers within one transaction; then the mail server takes every mail."""
    wanted = _wanted(tx, business, payers, now)
    if not wanted:
        return
    services = list(tx.scalars(select(service.c.id).where(service.c.payer_id == func.any(list(payers)))))
    if "cheque" in wanted:
        count_for(tx, vault, payers, now)
    if "renew" in wanted:
        renew_and_refresh(tx, vault, due_for_renewal(tx, now, of=services), now, because="time")
    if "switch" in wanted:
        switch_plans(tx, vault, services, now)
    if "end" in wanted:
        ended = due_deposits(tx, local_date(now, business.zone))
        return_deposits(tx, vault, sorted(set(ended) & set(services)), now)
    if "skip" in wanted:
        skip_for_payers(tx, vault, business, payers, now)
    if wanted & {"bill", "switch", "skip"}:
        _issue(tx, vault, business, payers, now)
    if "plan" in wanted:
        settle_plans(tx, vault, payers, now)
    if "promise" in wanted:
        settle_promises(tx, vault, payers, now)
    if "arrive" in wanted:
        note_arrivals(tx, vault, payers, now)
    if wanted - {"arrive", "renew"}:
        wanted |= _wanted(tx, business, payers, now)
    if "dun" in wanted:
        dun(tx, vault, payers, now)
    if wanted & {"review", "renew"}:
        refresh_access(tx, vault, services, now, because="time", renewed=True)
    if wanted & {"dun", "promise", "bill"}:
        _issue(tx, vault, business, payers, now)  # fees of the next minute
    if "skip" in wanted:
        skip_for_payers(tx, vault, business, payers, now)
    if "plan" in wanted:
        open_parts(tx, business, payers, now)
    mine = message.c.subscriber_id == func.any(list(payers))
    tx.execute(update(message).where(mine, message.c.state == "queued").values(state="sent", sent_at=now))


def _issue(tx: Connection, vault: Vault, business: Business, payers: Sequence[int], now: datetime) -> None:
    going, _ = hold_back(tx, business, payers, local_date(now, business.zone))
    issue_for_subscribers(tx, vault, business, going, now)
    end_holds(tx, going)


_WATCHED = (invoice, charge, message, access_history)


def _marks(tx: Connection) -> dict[str, int]:
    """The newest row of each table, so that what comes after it can be told."""
    return {table.name: tx.scalar(select(func.coalesce(func.max(table.c.id), 0))) or 0 for table in _WATCHED}


def _gather(tx: Connection, payers: Sequence[int], before: dict[str, int]) -> list[Item]:
    def new(table: Table) -> ColumnElement[bool]:
        return table.c.id > before[table.name]

    who = {row.id: row for row in tx.execute(select(subscriber).where(subscriber.c.id == func.any(list(payers))))}
    items = []
    for row in tx.execute(select(invoice).where(invoice.c.subscriber_id == func.any(list(payers)), new(invoice))):
        payer = who[row.subscriber_id]
        items.append(Item("invoice", payer.number, payer.name, "", Money(row.total_minor, row.currency)))
    fees = select(charge).where(
        charge.c.subscriber_id == func.any(list(payers)), charge.c.kind.in_(["late_fee", "reconnection"]), new(charge)
    )
    for row in tx.execute(fees):
        payer = who[row.subscriber_id]
        items.append(Item("fee", payer.number, payer.name, row.kind, Money(row.amount_minor, payer.currency)))
    for row in tx.execute(select(message).where(message.c.subscriber_id == func.any(list(payers)), new(message))):
        payer = who[row.subscriber_id]
        items.append(Item("mail", payer.number, payer.name, row.kind, None))
    return items + _changes(tx, payers, before)


def _charges(tx: Connection, payers: Sequence[int], now: datetime, day: date, zone: ZoneInfo) -> list[Item]:
    """The cards that will be charged on a day: attempts, because nobody knows what their issuers will say."""
    query = (
        select(collection, subscriber.c.number, subscriber.c.name)
        .join(subscriber, subscriber.c.id == collection.c.subscriber_id)
        .where(collection.c.subscriber_id == func.any(list(payers)), collection.c.state == "waiting")
        .where(collection.c.next_try_at < local_midnight(day + timedelta(days=1), zone))
    )
    if local_date(now, zone) != day:  # what is due before is tried before
        query = query.where(collection.c.next_try_at >= local_midnight(day, zone))
    return [Item("charge", row.number, row.name, "", owed_by(tx, row.id, row.currency)[0]) for row in tx.execute(query)]


def _parts(tx: Connection, payers: Sequence[int], day: date) -> list[Item]:
    """What of instalment plans is to be paid on a day, which plans break, and which cheques count."""
    own = instalment_plan.c.subscriber_id == func.any(list(payers))
    query = select(subscriber).where(subscriber.c.id == func.any(list(payers)))
    who = {row.id: row for row in tx.execute(query)}
    items = []
    for each in load_plans(tx, own, or_(instalment_plan.c.state == "active", instalment_plan.c.decided_on == day)):
        payer = who[each.subscriber_id]
        if each.state == "broken":
            items.append(Item("broken", payer.number, payer.name, "", each.open))
        for place, left in enumerate(left_of(each.parts, each.open)):
            if each.state == "active" and left and each.parts[place].due_on == day:
                items.append(Item("part", payer.number, payer.name, f"{place + 1} of {len(each.parts)}", left))
    counted = (
        select(payment, cheque.c.counts_on)
        .join(cheque, cheque.c.payment_id == payment.c.id)
        .where(cheque.c.subscriber_id == func.any(list(payers)), cheque.c.counts_on == day, cheque.c.state == "cleared")
    )
    for row in tx.execute(counted):
        payer, amount = who[row.subscriber_id], Money(row.amount_minor, row.currency)
        items.append(Item("cheque", payer.number, payer.name, row.receipt_number, amount))
    return items


def _changes(tx: Connection, payers: Sequence[int], before: dict[str, int]) -> list[Item]:
    """What access each service had before, and has then."""
    old = (
        select(access_history.c.level)
        .where(access_history.c.service_id == service.c.id, access_history.c.id <= before["access_history"])
        .order_by(access_history.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(service.c.login, subscriber.c.number, subscriber.c.name, policy.c.level, old.label("old"))
        .join(policy, policy.c.service_id == service.c.id)
        .join(subscriber, subscriber.c.id == service.c.payer_id)
        .where(service.c.payer_id == func.any(list(payers)), policy.c.level != func.coalesce(old, 0))
    )
    kinds = {AccessLevel.FULL: "restore", AccessLevel.REDUCED: "slow", AccessLevel.WALLED: "suspend"}
    return [
        Item(kinds.get(AccessLevel(row.level), "end"), row.number, row.name, row.login, None)
        for row in tx.execute(query)
    ]
