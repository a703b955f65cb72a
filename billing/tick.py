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
from billing.chain import seal_due
from billing.changes import due_switches, switch_plans
from billing.cheques.clear import count_due
from billing.collect.sweep import run as collect_due
from billing.dunning.arrivals import hold_returned
from billing.dunning.run import run_dunning
from billing.endings import due_deposits, return_deposits
from billing.invoices import issue_due
from billing.money_back.sweep import run as money_back_due
from billing.moves import due_moves, end_old_lines
from billing.prepaid.renewal import due_for_renewal, renew_and_refresh
from billing.settle import lock_subscribers
from billing.sweep import sweep
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
    """Count cheques, renew, switch, move, return, skip, issue, dun, review, skip, collect, seal, in this order.

    A failure keeps no other step back. Raises ExceptionGroup at the end when a step left something undone.
    """
    failures: list[Exception] = []

    def attempt(step: Callable[[datetime], list[int]]) -> list[int]:
        try:
            return step(now)
        except Exception as error:
            failures.append(error)
            return []

    attempt(count_due)  # money first: it may renew, settle and restore
    attempt(renew_due)
    attempt(switch_due)
    attempt(move_due)
    attempt(deposits_due)
    attempt(skip_walled)  # before bills, which skip what is not billed while walled
    done = Ticked(issued=attempt(issue_due), dunned=attempt(run_dunning), changed=attempt(review_due))
    attempt(skip_walled)  # whoever was walled in or let out just now
    attempt(collect_due)
    attempt(money_back_due)
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


def move_due(now: datetime) -> list[int]:
    """End sessions at the old line of who has moved by now; returns them."""
    with transaction() as tx:
        zone = load_business(tx, open_vault(settings().secret_keys)).zone
        due = due_moves(tx, local_date(now, zone), zone)

    return sweep("move", due, end_old_lines, size=CHUNK)


def deposits_due(now: datetime) -> list[int]:
    """Give back the deposits of services that have ended by now; returns the services."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        due = due_deposits(tx, local_date(now, load_business(tx, vault).zone))

    return sweep("deposits", due, lambda tx, ids: return_deposits(tx, vault, ids, now), size=CHUNK)


def review_due(now: datetime) -> list[int]:
    """Decide anew wherever time alone changes access by now; returns the services whose access changed."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        due = due_for_review(tx, now, limit=EVERYTHING)

    return sweep("review", due, lambda tx, ids: review(tx, vault, ids, now, "time"), size=CHUNK)


def review(tx: Connection, vault: Vault, service_ids: list[int], now: datetime, because: str) -> list[int]:
    """Decide anew for these services of whomever; returns those whose access changed.

    A last look at the mailbox comes before anything is taken away: what came back a moment ago has not arrived.
    """
    payers = select(service.c.payer_id).where(service.c.id == func.any(service_ids)).distinct()
    payer_ids = lock_subscribers(tx, list(tx.scalars(payers)))  # before the services, as bills and payments do
    hold_returned(tx, payer_ids, local_date(now, load_business(tx, vault).zone))
    return renew_and_refresh(tx, vault, service_ids, now, because=because)
