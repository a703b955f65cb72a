"""What time alone brings: bills, reminders, and access whose review is due. Run it as often as you like.

Every step asks what is due by now, so a missed run is caught up and a second run finds nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from base.business import load_business
from base.calendar import local_date
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from billing.apply import due_for_review, refresh_access
from billing.changes import due_switches, switch_plans
from billing.dunning import send_reminders
from billing.invoices import issue_due
from billing.sweep import sweep

CHUNK = 200  # services to a transaction
EVERYTHING = 10_000_000


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one run did."""

    issued: list[int]
    "Invoices."
    reminded: list[int]
    "Invoices."
    changed: list[int]
    "Services whose access the review changed (a bill that is issued reviews its payer's itself)."


def run(now: datetime) -> Ticked:
    """Switch plans, issue, remind, review, in this order; a step that fails keeps none of the others back.

    Raises ExceptionGroup at the end when a step left something undone.
    """
    failures: list[Exception] = []

    def attempt(step: Callable[[datetime], list[int]]) -> list[int]:
        try:
            return step(now)
        except Exception as error:
            failures.append(error)
            return []

    attempt(switch_due)
    done = Ticked(issued=attempt(issue_due), reminded=attempt(send_reminders), changed=attempt(review_due))
    if failures:
        raise ExceptionGroup("the tick left something undone", failures)
    return done


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

    def review(tx: Connection, service_ids: list[int]) -> list[int]:
        return refresh_access(tx, vault, service_ids, now, because="time")

    return sweep("review", due, review, size=CHUNK)
