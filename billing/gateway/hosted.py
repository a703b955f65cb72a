"""Stripe's hosted page as a gateway: cards, which it keeps and can charge when nobody is there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from billing.gateway import refunds, webhooks
from billing.gateway.ways import Method, Notice, Redirect, Resting
from billing.gateway.words import GatewayError, NotConfigured

if TYPE_CHECKING:
    from base.business import Business
    from base.crypto import Vault
    from billing.checkout import Wish
    from billing.gateway.offers import Refunds


RESTING = Resting("stripe", "Stripe clearing", "1360", "Paid by card, until Stripe pays it out.")


class Events:
    """Stripe's events; see billing.gateway.offers.Notices."""

    def read(self, business: "Business", headers: Mapping[str, str], body: bytes) -> Notice:
        """An event whose signature fits its raw bytes."""
        if not business.stripe_webhook_secret:
            raise NotConfigured("No webhook secret is set.")
        signature = headers.get("Stripe-Signature", "")
        event = webhooks.construct_event(body, signature, business.stripe_webhook_secret)
        return Notice(event["id"], event["type"], event)

    def understand(self, vault: "Vault", notice: Notice) -> str:
        """See billing.stripe_events."""
        from billing.stripe_events import understand  # records payments, which need to know the methods

        return understand(vault, notice)


@dataclass(frozen=True)
class HostedPage:
    """See billing.gateway.offers.Gateway."""

    name: str = "stripe"
    methods: Mapping[str, Method] = field(default_factory=lambda: {"card": Method("Card", "stripe")})
    resting: Resting | None = RESTING
    charges_alone: bool = True
    has_page: bool = True
    notices: Events = field(default_factory=Events)
    refunds: "Refunds" = refunds

    def is_ready(self, business: "Business") -> bool:
        """Whether there is a key."""
        return bool(business.stripe_secret_key)

    def offer(self, vault: "Vault", subscriber_id: int, base_url: str, wish: "Wish") -> Redirect:
        """A page at Stripe's; see billing.checkout.start."""
        from billing.checkout import start  # records payments, which need to know the methods

        return Redirect(start(vault, subscriber_id, base_url, wish))

    def close_pages(self, vault: "Vault", subscriber_ids: Collection[int]) -> Mapping[int, GatewayError | None]:
        """See billing.checkout.close_pages."""
        from billing.checkout import close_pages

        return close_pages(vault, subscriber_ids)


GATEWAY = HostedPage()
