"""Fees that have to be paid before a service comes back: billed in the transaction that walls it in.

So nobody meets a captive page, or pays, without the whole sum.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from billing.dunning.reconnection import Demand
from billing.issue import draft_charges, issue_drafts


def issue_demands(tx: Connection, vault: Vault, business: Business, demands: Sequence[Demand], now: datetime) -> None:
    """Issue an invoice over these fees alone to each payer, who is locked; what else is due keeps its own day."""
    wanted: dict[int, list[int]] = {}
    for each in demands:
        wanted.setdefault(each.payer_id, []).append(each.charge_id)
    drafts = draft_charges(tx, wanted, local_date(now, business.zone))
    issue_drafts(tx, vault, business, drafts, now)
