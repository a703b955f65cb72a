"""What cards' owners are told: a charge that was refused, a card that is about to expire."""

from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from base.business import Business
from base.money import Money
from base.settings import settings
from base.tables import subscriber
from billing.collect.cases import pay_page
from billing.collect.declines import said_to_subscriber
from billing.collect.shown import shown
from billing.gateway.words import Decline
from billing.mail_sources import load_sources
from billing.mail_words import write
from billing.outbox import Outgoing, queue_all


def tell_refused(
    tx: Connection,
    business: Business,
    charged: Row[Any],
    refusal: Decline,
    row: Row[Any],
    again_on: date | None,
    tried: Row[Any],
) -> None:
    """Say that a card was refused and what comes next; `again_on` None: nothing, unless its owner does something."""
    who = tx.execute(select(subscriber).where(subscriber.c.id == row.subscriber_id)).one()
    letter = write(
        "card_failed",
        business,
        language=who.language,
        sources=load_sources(tx),
        name=who.name,
        card=shown(charged),
        amount=Money(tried.amount_minor, tried.currency),
        retry_on=again_on,
        reason=said_to_subscriber(refusal),
        link=pay_page(tx, row.id),
    )
    key = f"card_failed:{tried.id}"
    queue_all(tx, business, [Outgoing(who.id, "card_failed", key, letter.subject, letter.body)])


def tell_expiring(tx: Connection, business: Business, cards: list[Row[Any]]) -> None:
    """Say once that a card expires; `cards`: rows of card."""
    who = {
        row.id: row
        for row in tx.execute(select(subscriber).where(subscriber.c.id.in_([each.subscriber_id for each in cards])))
    }
    sources = load_sources(tx)
    letters = []
    for each in cards:
        owner = who[each.subscriber_id]
        letter = write(
            "card_expiring",
            business,
            language=owner.language,
            sources=sources,
            name=owner.name,
            card=shown(each),
            expires=f"{each.exp_month:02d}/{each.exp_year}",
            link=f"{settings().public_url}/",
        )
        key = f"card_expiring:{each.id}:{each.exp_year}-{each.exp_month:02d}"
        letters.append(Outgoing(owner.id, "card_expiring", key, letter.subject, letter.body))
    queue_all(tx, business, letters)
