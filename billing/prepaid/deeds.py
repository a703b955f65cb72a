"""What people decide about a prepaid service: whether it renews itself, and the next period now."""

from datetime import datetime

from sqlalchemy import Connection

from base.crypto import Vault
from base.i18n import format_instant, format_money
from billing.deed import Deed, begin, plan_of
from billing.prepaid.renewal import balance_of, offer_of, renew
from billing.refused import need


def set_auto_renew(tx: Connection, vault: Vault, actor: str, service_id: int, on: bool) -> None:
    """Have a prepaid service renew itself from the balance, or end with the time that is paid for."""
    deed = _begin(tx, vault, actor, service_id)
    deed.set(auto_renew=on)
    deed.end("service.auto_renew_on" if on else "service.auto_renew_off", {})


def renew_now(tx: Connection, vault: Vault, actor: str, service_id: int) -> datetime:
    """Begin the next period of a service whose paid time is over; returns until when it is paid then (UTC).

    Raises Refused while the paid time still runs, and when the balance does not cover the price.
    """
    deed = _begin(tx, vault, actor, service_id)
    business, until = deed.business, deed.row.paid_until
    if until is not None:
        shown = format_instant(until, business.zone, business.language)
        need(until <= deed.now, f"It is paid until {shown}; the next period begins then.", "service_id")
    need(deed.row.staff_order == "none", "It is suspended or blocked: restore it first.", "service_id")
    need_cover(deed)
    renewed = renew(tx, vault, business, [service_id], deed.now, asked=True)
    need(renewed, "It has not begun, or it has ended.", "service_id")
    deed.end("service.renewed_by_hand", {})
    return begin(tx, vault, actor, service_id).row.paid_until  # type: ignore[no-any-return]


def need_cover(deed: Deed) -> None:
    """Refuse unless the balance pays for the period that would begin now."""
    offer = offer_of(deed.tx, deed.business, deed.row.id, deed.now)
    if offer is not None:
        there = balance_of(deed.tx, deed.row.payer_id)
        language = deed.business.language
        words = f"That costs {format_money(offer.price, language)}; the balance is {format_money(there, language)}."
        need(offer.price <= there, words, "balance")


def _begin(tx: Connection, vault: Vault, actor: str, service_id: int) -> Deed:
    deed = begin(tx, vault, actor, service_id)
    need(plan_of(tx, deed.row.plan_id).prepaid, "This service is not prepaid.", "service_id")
    return deed
