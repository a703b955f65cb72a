"""A business setting that changes, and what follows from it for lines that are open."""

from datetime import datetime

from sqlalchemy import Connection

from base.business import load_business, set_business
from base.crypto import Vault
from billing.apply import ask_for_review

ACCESS = (
    "debt_reach", "reduced_rate_down", "reduced_rate_up", "walled_rate_down", "walled_rate_up", "walled_pool",
    "walled_address_list", "interim_interval", "card_pending_days", "debit_pending_days", "time_zone",
)  # fmt: skip
"Settings that a decision of access or what a NAS is sent rests on."


def change_business(tx: Connection, vault: Vault, actor: str, now: datetime, **values: object) -> int:
    """Set business settings (base.business.set_business, with its errors).

    Where access rests on one that has changed, every service is due for a review, which the next tick does; returns
    how many that are.
    """
    before = load_business(tx, vault)
    set_business(tx, vault, actor, **values)
    after = load_business(tx, vault)
    if all(getattr(before, name) == getattr(after, name) for name in ACCESS):
        return 0
    return len(ask_for_review(tx, now))
