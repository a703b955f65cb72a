"""What coming back costs, by the policy of who pays: charged when it comes back, or first, when debt walls it in."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from base.access import AccessLevel, Reason
from base.business import Business
from base.calendar import local_date
from base.i18n import translations
from base.money import Money
from base.tables import service, subscriber
from billing.charges import add_charge
from billing.dunning.policies import load_policies
from billing.dunning.policy import CAUSES
from billing.dunning.tables import dunning_group
from billing.notices import Change


def charge_reconnections(tx: Connection, business: Business, changes: Sequence[Change], now: datetime) -> None:
    """Charge for coming back where the payer's policy does: when it comes back, or first, when debt walls it in."""
    moved = {change.service_id: change for change in changes if _cause(change) is not None}
    if not moved:
        return
    policies = load_policies(tx, business)
    if not any(policy.reconnection for policy in policies.by_id.values()):
        return
    rows = tx.execute(
        select(
            service.c.id,
            service.c.login,
            service.c.payer_id,
            subscriber.c.currency,
            subscriber.c.language,
            dunning_group.c.policy_id,
        )
        .join(subscriber, subscriber.c.id == service.c.payer_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == subscriber.c.id)
        .where(service.c.id == func.any(sorted(moved)))
        .order_by(service.c.id)
    ).all()
    today = local_date(now, business.zone)
    for row in rows:
        change, policy = moved[row.id], policies.of(row.policy_id)
        cause = _cause(change)
        minor = policy.reconnection.get(cause or "", 0)
        first = policy.reconnection_first and cause == Reason.DEBT.value
        closing = change.now >= AccessLevel.WALLED
        if not minor or row.currency != policy.currency or closing != first:
            continue
        words = translations(row.language or business.language).gettext("Reconnection (%(login)s)")
        add_charge(
            tx,
            subscriber_id=row.payer_id,
            service_id=row.id,
            kind="reconnection",
            text=words % {"login": row.login},
            amount=Money(minor, policy.currency),
            tax_class_id=policy.fee_tax_class,
            on_day=today,
            bill_on=today if first else None,
            author="dunning",
        )


def _cause(change: Change) -> str | None:
    """What the service was, or is, cut off for; None when it was neither cut off nor let in again."""
    if change.before < AccessLevel.WALLED <= change.now:
        reasons = change.reasons
    elif change.now < AccessLevel.WALLED <= change.before:
        reasons = change.reasons_before
    else:
        return None
    return next((reason.value for reason in reasons if reason.value in CAUSES), None)
