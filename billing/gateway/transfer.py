"""Bank transfer as a gateway: it shows where to send how much under which reference; the bank's statement brings it.

The code for banking apps is the one on invoices (EPC069-12, billing.qr).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from billing.gateway.ways import Instructions, Method, Resting
from billing.gateway.words import GatewayError

if TYPE_CHECKING:
    from base.business import Business
    from base.crypto import Vault
    from billing.checkout import Wish

ROOM = 140
"Letters that a transfer's text has."


@dataclass(frozen=True)
class BankTransfer:
    """See billing.gateway.offers.Gateway."""

    name: str = "transfer"
    methods: Mapping[str, Method] = field(default_factory=lambda: {"transfer": Method("Bank transfer", "bank")})
    resting: Resting | None = None
    charges_alone: bool = False
    has_page: bool = False
    notices: None = None
    refunds: None = None

    def is_ready(self, business: "Business") -> bool:
        """Whether there is an account to send money to."""
        return bool(business.bank_iban)

    def offer(self, vault: "Vault", subscriber_id: int, base_url: str, wish: "Wish") -> Instructions:
        """Our account, the amount, and as reference the invoices' numbers, or the subscriber's for money in advance.

        The subscriber's also where there are too many invoices to name them. Refused in another currency than ours.
        """
        from sqlalchemy import select

        from base.bank import grouped
        from base.business import load_business
        from base.database import transaction
        from base.i18n import format_money
        from base.tables import subscriber
        from billing.checkout import wished
        from billing.qr import transfer_text
        from billing.refused import need

        with transaction() as tx:
            business = load_business(tx, vault)
            payer = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
            chosen, amount = wished(tx, payer, wish)
        need(amount.currency == business.currency, f"Our account is in {business.currency}.", "amount")
        numbers = " ".join(each.number for each in chosen)
        reference = numbers if 0 < len(numbers) <= ROOM else str(payer.number)
        lines = (
            ("Account holder", business.company_name),
            ("IBAN", grouped(business.bank_iban)),
            ("BIC", business.bank_bic),
            ("Bank", business.bank_name),
            ("Amount", format_money(amount, payer.language or business.language)),
            ("Reference", reference),
        )
        code = transfer_text(business.company_name, business.bank_iban, business.bank_bic, amount, reference)
        return Instructions(tuple(each for each in lines if each[1]), reference, code or "")

    def close_pages(self, vault: "Vault", subscriber_ids: Collection[int]) -> Mapping[int, GatewayError | None]:
        """There are none."""
        return {}


GATEWAY = BankTransfer()
