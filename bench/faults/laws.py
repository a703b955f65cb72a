"""What must be true once everything has come to rest, as sentences about what is not."""

from typing import Any

from sqlalchemy import Connection, func, or_, select, text

from base import clock
from base.database import transaction
from base.money import Money
from base.tables import inbox, job
from bench.faults.stage import Sequence, Stage, level_of
from billing.apply import refresh_access
from billing.clearing.fetch import fetch
from billing.clearing.reconcile import reconcile
from billing.collect.tables import attempt, collected, collection
from billing.collect.tables import checkout as pages
from billing.gateway.words import chargeable
from billing.ledger import check_books
from billing.money_back.tables import gone_back
from billing.services import services_of
from billing.settle import open_invoices
from billing.tables import entry, payment, posting

MOVING = ("creating", "charging", "unknown", "pending")

# A try charges what was owed of its invoices at that moment, neither more nor less. The moment is read just before the
# subscriber's money is held still, for which another thread may have had to end first: so what came in that second is
# looked at, too.
_OWED_THEN = text(
    "SELECT a.id, a.amount_minor AS tried, a.currency, array_agg((SELECT sum(i.total_minor - coalesce((SELECT "
    "  sum(x.amount_minor) FROM allocation x WHERE x.invoice_id = i.id AND x.created_at <= a.at + late.span), 0)) "
    "  FROM collected k JOIN invoice i ON i.id = k.invoice_id WHERE k.collection_id = a.collection_id)) AS owed "
    "FROM attempt a JOIN collection c ON c.id = a.collection_id, "
    "  unnest(ARRAY[interval '0', interval '1 second']) late(span) WHERE c.subscriber_id = :who GROUP BY a.id"
)


def unsettled(play: Sequence) -> list[str]:
    """What is still under way or unknown."""
    with transaction() as tx:
        cases = select(collection.c.state).where(
            collection.c.subscriber_id == play.who,
            collection.c.state.in_(MOVING)
            | ((collection.c.state == "waiting") & (collection.c.next_try_at <= clock.now())),
        )
        gone = select(gone_back.c.state).where(
            gone_back.c.subscriber_id == play.who,
            gone_back.c.kind == "refund",
            gone_back.c.state.in_(("sent", "unknown", "pending")),
        )
        paying = select(pages.c.state).where(pages.c.subscriber_id == play.who, pages.c.state == "pending")
        return (
            [f"a collection is {each}" for each in tx.scalars(cases)]
            + [f"a refund is {each}" for each in tx.scalars(gone)]
            + [f"a page is {each}" for each in tx.scalars(paying)]
        )


def broken(stage: Stage, play: Sequence) -> list[str]:
    """Which laws do not hold for the subscriber of a sequence, or for the books as a whole."""
    problems = unsettled(play)
    fetch(stage.vault)
    intents = _intents(stage, play)
    with transaction() as tx:
        problems += check_books(tx)
        problems += _work_left(tx)
        problems += _twice(tx, play)
        problems += _access(tx, stage, play)
        problems += _recorded(tx, stage, play, intents)
        agreed = reconcile(tx)
        problems += [
            f"Stripe has {each.available + each.pending}, our account says {each.booked}: {each.items}"
            for each in agreed.sides
            if each.difference
        ]
    return problems


def _work_left(tx: Connection) -> list[str]:
    dead = tx.scalars(select(job.c.last_error).where(job.c.state == "dead")).all()
    unread = tx.execute(select(inbox.c.kind, inbox.c.event_id).where(inbox.c.processed_at.is_(None))).all()
    return [f"a job gave up: {each}" for each in dead] + [
        f"the event {each.kind} ({each.event_id}) is not understood" for each in unread
    ]


def _twice(tx: Connection, play: Sequence) -> list[str]:
    """No invoice is charged by two tries that succeed, and no try charges more than is owed."""
    charged = tx.execute(
        select(collected.c.invoice_id, func.count())
        .join(attempt, attempt.c.collection_id == collected.c.collection_id)
        .join(collection, collection.c.id == attempt.c.collection_id)
        .where(collection.c.subscriber_id == play.who, attempt.c.state == "succeeded")
        .group_by(collected.c.invoice_id)
        .having(func.count() > 1)
    ).all()
    tries = tx.execute(_OWED_THEN, {"who": play.who}).all()
    return [f"invoice {row.invoice_id} was charged {row.count} times" for row in charged] + [
        f"the try {row.id} was for {row.tried}, owed was {row.owed}"
        for row in tries
        if row.tried not in {chargeable(Money(max(0, int(each)), row.currency)).minor for each in row.owed}
    ]


def _access(tx: Connection, stage: Stage, play: Sequence) -> list[str]:
    changed = refresh_access(tx, stage.vault, services_of(tx, play.who), clock.now(), because="test")
    problems = [f"access of service {each} was not what it has to be" for each in changed]
    level = level_of(tx, play.who)
    if level != "FULL" and not any(each.due_on < stage.day for each in open_invoices(tx, play.who)):
        problems.append(f"access is {level}, and nothing is overdue")
    return problems


def _recorded(tx: Connection, stage: Stage, play: Sequence, intents: dict[str, int]) -> list[str]:
    """Every movement at Stripe is recorded once, with its amount, and the ledger's side of them is the same sum."""
    mine = (payment.c.subscriber_id == play.who, payment.c.gateway_id.is_not(None))
    known = {row.gateway_id: row.amount_minor for row in tx.execute(select(payment).where(*mine))}
    problems = [
        f"Stripe took {minor} by {intent}, which is recorded as {known.get(intent, 'nothing')}"
        for intent, minor in intents.items()
        if known.get(intent) != minor
    ]
    problems += [f"{intent} is recorded, and Stripe took nothing" for intent in known.keys() - intents.keys()]
    gone = {
        row.gateway_id: row
        for row in tx.execute(select(gone_back).where(gone_back.c.subscriber_id == play.who, gone_back.c.way == "card"))
    }
    moved = sum(intents.values())
    for each in stage.list_all("refunds", play.begun):
        if each["payment_intent"] in intents:
            failed = each["status"] in ("failed", "canceled")
            moved -= 0 if failed else each["amount"]
            ours = gone.pop(each["id"], None)
            if ours is None or (ours.amount_minor, ours.state) != (each["amount"], each["status"]):
                problems.append(f"refund {each['id']} of {each['amount']} is {each['status']}; we have {ours}")
            elif each["metadata"] not in ({"by": "hand"}, {"tollkeeper_refund": ours.key}):
                problems.append(f"refund {each['id']} of {each['amount']} was not asked for")
    for each in stage.list_all("disputes", play.begun):
        if each["payment_intent"] in intents:
            moved += sum(one["amount"] for one in each["balance_transactions"])
            ours = gone.pop(each["id"], None)
            if ours is None or (ours.amount_minor, ours.state) != (each["amount"], _dispute_state(each["status"])):
                problems.append(f"dispute {each['id']} of {each['amount']} is {each['status']}; we have {ours}")
    problems += [f"{row} is not at Stripe" for row in gone.values() if row.state not in ("canceled", "failed")]
    booked = _booked(tx, play)
    if moved != booked:
        problems.append(f"{moved} moved at Stripe, the books say {booked}")
    return problems


def _dispute_state(status: str) -> str:
    if status.startswith("warning_"):
        return "won" if status == "warning_closed" else "inquiry"
    return status if status in ("won", "lost") else "open"


def _booked(tx: Connection, play: Sequence) -> int:
    """What the ledger says moved at Stripe for a subscriber: payments and what became of them."""
    paid = select(func.concat("payment:", payment.c.id)).where(payment.c.subscriber_id == play.who)
    own = gone_back.c.subscriber_id == play.who
    back = [
        select(func.concat(word, gone_back.c.id, tail)).where(own)
        for word, tail in (
            ("gone_back:", ""),
            ("came_again:", ""),
            ("dispute_withdrawn:", ""),
            ("dispute_withdrawn:", ":again"),
            ("dispute_returned:", ""),
        )
    ]
    query = (
        select(func.coalesce(func.sum(posting.c.amount_minor), 0))
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(posting.c.account == "stripe", or_(*(entry.c.source.in_(each) for each in (paid, *back))))
    )
    return int(tx.execute(query).scalar_one())


def _intents(stage: Stage, play: Sequence) -> dict[str, int]:
    """What Stripe took by our intents for the subscriber, whether or not it knows the customer."""
    with transaction() as tx:
        tokens = set(tx.scalars(select(pages.c.token).where(pages.c.subscriber_id == play.who)))
        tokens |= set(tx.scalars(select(collection.c.token).where(collection.c.subscriber_id == play.who)))
    found: dict[str, int] = {}
    for each in stage.list_all("payment_intents", play.begun):
        about: dict[str, Any] = each["metadata"]
        words = {about[name] for name in ("tollkeeper_attempt", "tollkeeper_collection") if name in about}
        if words & tokens and each["status"] == "succeeded":
            found[each["id"]] = each["amount"]
    return found
