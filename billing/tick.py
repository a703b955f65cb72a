"""What time alone brings: bills, dunning, and access whose review is due. Run it as often as you like.

Every step asks what is due by now, so a missed run is caught up and a second run finds nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from base.business import load_business
from base.calendar import local_date
from base.crypto import Vault, open_vault
from base.database import transaction
from base.settings import settings
from base.tables import service
from billing.apply import due_for_review
from billing.bill_holds import hold_back
from billing.chain import seal_due
from billing.changes import due_switches, switch_plans
from billing.dunning.run import run_dunning
from billing.invoices import issue_due
from billing.issue import issue_for_subscribers
from billing.prepaid.renewal import due_for_renewal, renew_and_refresh
from billing.settle import lock_subscribers
from billing.sweep import sweep
from billing.tables import charge
from billing.walled import skip_walled

CHUNK = 200  # services to a transaction
EVERYTHING = 10_000_000


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one run did."""

    issued: list[int]
    "Invoices."
    dunned: list[int]
    "Invoices for which a step of dunning was taken."
    changed: list[int]
    "Services whose access the review changed (a bill that is issued reviews its payer's itself)."


def run(now: datetime) -> Ticked:
    """Renew, switch plans, skip, issue, dun, review, skip, seal, in this order; a failure keeps no other back.

    Raises ExceptionGroup at the end when a step left something undone.
    """
    failures: list[Exception] = []

    def attempt(step: Callable[[datetime], list[int]]) -> list[int]:
        try:
            return step(now)
        except Exception as error:
            failures.append(error)
            return []

    attempt(renew_due)
    attempt(switch_due)
    attempt(skip_walled)  # before bills, which skip what is not billed while walled
    done = Ticked(issued=attempt(issue_due), dunned=attempt(run_dunning), changed=attempt(review_due))
    attempt(skip_walled)  # whoever was walled in or let out just now
    attempt(seal_due)
    if failures:
        raise ExceptionGroup("the tick left something undone", failures)
    return done


def renew_due(now: datetime) -> list[int]:
    """Give prepaid services whose time is over their next period or wall them in; returns the services.

    It comes first, because that happens at a minute, and a bill run takes a while.
    """
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        due = due_for_renewal(tx, now)

    def renew(tx: Connection, service_ids: list[int]) -> list[int]:
        payers = select(service.c.payer_id).where(service.c.id == func.any(service_ids)).distinct()
        lock_subscribers(tx, list(tx.scalars(payers)))  # before the services, as bills and payments do
        renew_and_refresh(tx, vault, service_ids, now, because="time")
        return service_ids

    return sweep("renew", due, renew, size=CHUNK)


def switch_due(now: datetime) -> list[int]:
    """Let planned changes of plan take effect; returns the services."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        due = due_switches(tx, local_date(now, load_business(tx, vault).zone))

    def switch(tx: Connection, service_ids: list[int]) -> list[int]:
        return switch_plans(tx, vault, service_ids, now)

    return sweep("switch", due, switch, size=CHUNK)


def review_due(now: datetime) -> list[int]:
    """Decide anew wherever time alone changes access by now; returns the services whose access changed."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        due = due_for_review(tx, now, limit=EVERYTHING)

    return sweep("review", due, lambda tx, ids: review(tx, vault, ids, now, "time"), size=CHUNK)


def review(tx: Connection, vault: Vault, service_ids: list[int], now: datetime, because: str) -> list[int]:
    """Decide anew for these services of whomever; returns those whose access changed."""
    payers = select(service.c.payer_id).where(service.c.id == func.any(service_ids)).distinct()
    lock_subscribers(tx, list(tx.scalars(payers)))  # before the services, as bills and payments do
    changed = renew_and_refresh(tx, vault, service_ids, now, because=because)
    _issue_demanded(tx, vault, changed, now)
    return changed


def _issue_demanded(tx: Connection, vault: Vault, service_ids: list[int], now: datetime) -> None:
    """Bill in the same commit what has to be paid before these come back, so that no page shows a smaller sum."""
    wanted = (
        select(charge.c.subscriber_id)
        .where(
            charge.c.kind == "reconnection",
            charge.c.service_id == func.any(service_ids),
            charge.c.bill_on.is_not(None),
            charge.c.invoice_id.is_(None),
            charge.c.dropped_at.is_(None),
        )
        .distinct()
    )
    if service_ids and (payers := list(tx.scalars(wanted))):
        business = load_business(tx, vault)
        going, _ = hold_back(tx, business, payers, local_date(now, business.zone))  # what else is due goes out with it
        issue_for_subscribers(tx, vault, business, going, now)
