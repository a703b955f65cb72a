"""The operator's account: who it is, and where it sends its events. Stripe doc: Accounts, Webhook Endpoints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base.business import Business
from billing.gateway.client import client, sorted_errors

if TYPE_CHECKING:
    from stripe import WebhookEndpoint


@dataclass(frozen=True, slots=True)
class AccountState:
    """What Stripe says of the account that a key opens."""

    id: str
    "acct_…"
    name: str
    country: str
    currency: str
    charges_enabled: bool
    payouts_enabled: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to which Stripe sends events."""

    id: str
    "we_…"
    url: str
    enabled: bool
    events: tuple[str, ...]
    api_version: str
    live: bool
    secret: str = ""
    "Only when it has just been made."


def read_account(business: Business) -> AccountState:
    """The account behind the key (the connected one, where one is set)."""
    with sorted_errors():
        found = client(business).v1.accounts.retrieve_current()
    shown = found.business_profile
    return AccountState(
        id=found.id,
        name=(shown.name if shown else None) or "",
        country=found.country or "",
        currency=(found.default_currency or "").upper(),
        charges_enabled=bool(found.charges_enabled),
        payouts_enabled=bool(found.payouts_enabled),
    )


def list_endpoints(business: Business) -> list[Endpoint]:
    """Where Stripe sends the account's events."""
    with sorted_errors():
        found = client(business).v1.webhook_endpoints.list(params={"limit": 100})
        return [_seen(each) for each in found.auto_paging_iter()]


def make_endpoint(business: Business, url: str, events: Sequence[str]) -> Endpoint:
    """Have Stripe send these events to an address, in the API version that the library speaks; with its secret."""
    import stripe

    params: dict[str, Any] = {
        "url": url,
        "enabled_events": list(events),
        "api_version": stripe.api_version,
        "description": "Tollkeeper",
    }
    if business.stripe_connected_account:
        params["connect"] = True
    with sorted_errors():
        return _seen(client(business).v1.webhook_endpoints.create(params=params))  # type: ignore[arg-type]


def change_endpoint(business: Business, endpoint_id: str, events: Sequence[str]) -> Endpoint:
    """Have an address get these events and be switched on; its secret and its API version stay."""
    params: dict[str, Any] = {"enabled_events": list(events), "disabled": False}
    with sorted_errors():
        return _seen(client(business).v1.webhook_endpoints.update(endpoint_id, params=params))  # type: ignore[arg-type]


def spoken_version() -> str:
    """The API version that the library speaks; events of another one may look different."""
    import stripe

    return stripe.api_version


def missing_permissions(business: Business) -> list[str]:
    """What the key may not do, in Stripe's names; empty for a key that may do all that is needed."""
    import stripe

    stripes = client(business).v1
    tries: dict[str, Callable[[], object]] = {
        "Customers": lambda: stripes.customers.list(params={"limit": 1}),
        "PaymentIntents": lambda: stripes.payment_intents.list(params={"limit": 1}),
        "Checkout Sessions": lambda: stripes.checkout.sessions.list(params={"limit": 1}),
        "Charges and Refunds": lambda: stripes.refunds.list(params={"limit": 1}),
        "Disputes": lambda: stripes.disputes.list(params={"limit": 1}),
        "Balance": lambda: stripes.balance_transactions.list(params={"limit": 1}),
        "Payouts": lambda: stripes.payouts.list(params={"limit": 1}),
        "Events": lambda: stripes.events.list(params={"limit": 1}),
        "Webhook Endpoints": lambda: stripes.webhook_endpoints.list(params={"limit": 1}),
    }
    missing = []
    for name, attempt in tries.items():
        with sorted_errors():
            try:
                attempt()
            except stripe.PermissionError:
                missing.append(name)
    return missing


def _seen(found: "WebhookEndpoint") -> Endpoint:
    return Endpoint(
        id=found.id,
        url=found.url,
        enabled=found.status == "enabled",
        events=tuple(found.enabled_events),
        api_version=found.api_version or "",
        live=found.livemode,
        secret=getattr(found, "secret", None) or "",
    )
