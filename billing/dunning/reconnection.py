"""What coming back costs, by the policy of whose debt it was: charged when it comes back, or first, with the wall.

Law: one debt costs one fee for a service, however often a promise, an exemption or another payer lets it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from base.access import AccessLevel, Reason
from base.business import Business
from base.calendar import local_date
from base.i18n import translations
from base.money import Money
from base.tables import service, subscriber
from billing.charges import add_charge
from billing.dunning.policies import Policies, load_policies
from billing.dunning.policy import CAUSES
from billing.dunning.tables import dunning_group
from billing.dunning.walls import end_walls, note_charge, note_walls, open_walls
from billing.notices import Change


@dataclass(frozen=True, slots=True)
class Demand:
    """A fee that has to be paid before a service comes back: it is billed in the transaction that walls it in."""

    payer_id: int
    charge_id: int


@dataclass(frozen=True, slots=True)
class _Return:
    """One service and who is charged for its coming back."""

    service_id: int
    login: str
    debtor_id: int
    cause: str
    first: bool


def charge_reconnections(tx: Connection, business: Business, changes: Sequence[Change], now: datetime) -> list[Demand]:
    """Charge for coming back where the debtor's policy does; returns what has to be paid first."""
    moved = [each for each in changes if _cause(each) is not None]
    fresh = note_walls(tx, business, changes, now)
    back = end_walls(tx, business, changes, now)
    demands = []
    today = local_date(now, business.zone)
    if moved:
        policies = load_policies(tx, business)
        if any(policy.reconnection for policy in policies.by_id.values()):
            found = (_charge(tx, business, policies, each, today) for each in _returns(tx, moved, fresh, back))
            demands = [each for each in found if each is not None]
    open_walls(tx, list(back), today)
    return demands


def _returns(
    tx: Connection, moved: Sequence[Change], fresh: set[int], back: dict[int, tuple[int, bool]]
) -> list[_Return]:
    by_id = {each.service_id: each for each in moved}
    query = select(service.c.id, service.c.login, service.c.payer_id).where(service.c.id == func.any(sorted(by_id)))
    found = []
    for row in tx.execute(query.order_by(service.c.id)):
        cause, closing = _cause(by_id[row.id]) or "", by_id[row.id].now >= AccessLevel.WALLED
        debtor, charged = back.get(row.id, (row.payer_id, False))
        if cause == Reason.DEBT.value and (charged or (closing and row.id not in fresh)):
            continue  # for this debt it was charged before
        found.append(_Return(row.id, row.login, debtor, cause, closing))
    return found


def _charge(tx: Connection, business: Business, policies: Policies, each: _Return, today: date) -> Demand | None:
    debtor = tx.execute(
        select(subscriber.c.currency, subscriber.c.language, dunning_group.c.policy_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == subscriber.c.id)
        .where(subscriber.c.id == each.debtor_id)
    ).one()
    policy = policies.of(debtor.policy_id)
    minor = policy.reconnection.get(each.cause, 0)
    first = policy.reconnection_first and each.cause == Reason.DEBT.value
    if not minor or debtor.currency != policy.currency or each.first != first:
        return None
    words = translations(debtor.language or business.language).gettext("Reconnection (%(login)s)")
    charge_id = add_charge(
        tx,
        subscriber_id=each.debtor_id,
        service_id=each.service_id,
        kind="reconnection",
        text=words % {"login": each.login},
        amount=Money(minor, policy.currency),
        tax_class_id=policy.fee_tax_class,
        on_day=today,
        bill_on=today if first else None,
        author="dunning",
    )
    if each.cause == Reason.DEBT.value:
        note_charge(tx, each.service_id, charge_id)
    return Demand(each.debtor_id, charge_id) if first else None


def _cause(change: Change) -> str | None:
    """What the service was, or is, cut off for; None when it was neither cut off nor let in again."""
    if change.before < AccessLevel.WALLED <= change.now:
        reasons = change.reasons
    elif change.now < AccessLevel.WALLED <= change.before:
        reasons = change.reasons_before
    else:
        return None
    return next((reason.value for reason in reasons if reason.value in CAUSES), None)
