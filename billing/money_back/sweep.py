"""What time brings of money that goes back: refunds and disputes that are asked about."""

from datetime import datetime

from base.database import transaction
from billing.money_back import card, disputes


def run(_now: datetime) -> list[int]:
    """Do what is due by now."""
    with transaction() as tx:
        card.ask_due(tx)
        disputes.ask_due(tx)
    return []
