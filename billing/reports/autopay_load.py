"""Who pays by card without being asked, as far as it is known on a day."""

from datetime import date, timedelta

from sqlalchemy import Connection, and_, exists, or_, select

from base.business import Business
from base.calendar import local_midnight
from billing.collect.account import current_account
from billing.collect.tables import autopay, card, gateway_customer


def load_enrolled(tx: Connection, business: Business, day: date) -> list[int]:
    """Subscribers who had agreed by the end of `day`, still do, and have a card that can be charged then."""
    account = current_account(tx, business)
    if account is None:
        return []
    usable = exists().where(
        card.c.subscriber_id == autopay.c.subscriber_id,
        card.c.state == "usable",
        or_(card.c.exp_year > day.year, and_(card.c.exp_year == day.year, card.c.exp_month >= day.month)),
        gateway_customer.c.id == card.c.customer_id,
        gateway_customer.c.account == account.account,
        gateway_customer.c.live == account.live,
    )
    end = local_midnight(day + timedelta(days=1), business.zone)
    return list(tx.scalars(select(autopay.c.subscriber_id).where(autopay.c.since < end, usable)))
