"""Stripe's hosted page as a gateway: cards, which it keeps and can charge when nobody is there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from billing.gateway.ways import Method, Redirect, Resting

if TYPE_CHECKING:
    from base.business import Business
    from base.crypto import Vault
    from billing.checkout import Wish


RESTING = Resting("stripe", "Stripe clearing", "1360", "Paid by card, until Stripe pays it out.")


@dataclass(frozen=True)
class HostedPage:
    """See billing.gateway.offers.Gateway."""

    name: str = "stripe"
    methods: Mapping[str, Method] = field(default_factory=lambda: {"card": Method("Card", "stripe")})
    resting: Resting | None = RESTING
    charges_alone: bool = True

    def is_ready(self, business: "Business") -> bool:
        """Whether there is a key."""
        return bool(business.stripe_secret_key)

    def offer(self, vault: "Vault", subscriber_id: int, base_url: str, wish: "Wish") -> Redirect:
        """A page at Stripe's; see billing.checkout.start."""
        from billing.checkout import start  # records payments, which need to know the methods

        return Redirect(start(vault, subscriber_id, base_url, wish))


GATEWAY = HostedPage()
