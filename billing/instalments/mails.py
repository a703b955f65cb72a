"""What a subscriber is told of an instalment plan."""

from sqlalchemy import Connection, select

from base.business import Business
from base.money import total
from base.settings import settings
from base.tables import subscriber
from billing.collect.shown import shown
from billing.collect.tables import autopay, card
from billing.instalments.agreed import Plan
from billing.mail_sources import load_sources
from billing.mail_words import write
from billing.outbox import Outgoing, queue_all


def tell_plan(tx: Connection, business: Business, plan: Plan) -> None:
    """Confirm what was agreed: the invoices, the parts with their days, and which card is charged where one is."""
    who = tx.execute(select(subscriber).where(subscriber.c.id == plan.subscriber_id)).one()
    charged = (
        select(card.c.brand, card.c.last4)
        .join(autopay, autopay.c.subscriber_id == card.c.subscriber_id)
        .where(card.c.subscriber_id == who.id, card.c.is_default, card.c.state == "usable")
    )
    by_itself = tx.execute(charged).one_or_none()
    letter = write(
        "instalment_plan",
        business,
        language=who.language,
        sources=load_sources(tx),
        name=who.name,
        numbers=list(plan.numbers),
        total=total((each.amount for each in plan.parts), plan.open.currency),
        parts=[{"due_on": each.due_on, "amount": each.amount} for each in plan.parts],
        grace_days=plan.grace_days,
        card=None if by_itself is None else shown(by_itself),
        link=f"{settings().public_url}/",
    )
    key = f"instalment_plan:{plan.id}"
    queue_all(tx, business, [Outgoing(who.id, "instalment_plan", key, letter.subject, letter.body)])
