"""What a way to be paid has to offer, and which ones there are: a second provider is one module and one line here.

A gateway says how its money is recorded (method and account), what it offers a payer, how it tells of payments, and how
money goes back through it. Money itself comes in through billing.payments and goes out through billing.money_back,
whoever brought it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from billing.gateway import hosted, transfer
from billing.gateway.ways import Instructions, Method, Notice, Redirect, Resting

if TYPE_CHECKING:
    from base.business import Business
    from base.crypto import Vault
    from base.money import Money
    from billing.checkout import Wish
    from billing.gateway.refunds import RefundState
    from billing.gateway.words import GatewayError


class Notices(Protocol):
    """What a gateway tells by itself, at our address /webhooks/NAME; each notice is kept once and understood later."""

    def read(self, business: "Business", headers: Mapping[str, str], body: bytes) -> Notice:
        """The notice in a request, whose headers are written Like-This.

        Raises BadSignature when it is not surely the gateway's, NotConfigured.
        """
        ...

    def understand(self, vault: "Vault", notice: Notice) -> str:
        """Do what follows from it, once however often it is called; what became of it in a word.

        A notice only wakes: the truth is read from the gateway. Raises for what should be tried again.
        """
        ...


class Refunds(Protocol):
    """How money goes back through a gateway; payments are named by their gateway id. All raise GatewayError."""

    def create(self, business: "Business", *, key: str, intent: str, amount: "Money") -> "RefundState":
        """Send money back; the same key within a day brings the same refund. Raises Unknown, NotSent."""
        ...

    def read(self, business: "Business", refund_id: str) -> "RefundState":
        """The refund as the gateway has it now."""
        ...

    def list_of(self, business: "Business", intent: str) -> "Sequence[RefundState]":
        """All refunds of a payment, whoever made them, the oldest first."""
        ...

    def is_ours(self, business: "Business", intent: str) -> bool:
        """Whether a payment that is not recorded was asked for by us, and will be. Raises Gone when unknown."""
        ...


class Gateway(Protocol):
    """A way to be paid."""

    @property
    def name(self) -> str:
        """For settings, logs and the address of its notices: stripe, transfer."""
        ...

    @property
    def methods(self) -> Mapping[str, Method]:
        """How its money is recorded: method of a payment -> its name for people, and where the money lies."""
        ...

    @property
    def resting(self) -> Resting | None:
        """The account in which its money lies until it is paid out; None: it comes to the bank by itself."""
        ...

    @property
    def charges_alone(self) -> bool:
        """Whether it can charge what is kept with it while the payer is not there."""
        ...

    @property
    def has_page(self) -> bool:
        """Whether the payer's browser is led to a page of its own; else it offers instructions, which may be shown."""
        ...

    @property
    def notices(self) -> Notices | None:
        """None: it tells nothing by itself."""
        ...

    @property
    def refunds(self) -> Refunds | None:
        """None: money goes back by hand."""
        ...

    def is_ready(self, business: "Business") -> bool:
        """Whether the settings have what it needs."""
        ...

    def offer(self, vault: "Vault", subscriber_id: int, base_url: str, wish: "Wish") -> Redirect | Instructions:
        """How to pay what is wished. Raises Refused when there is nothing to pay, GatewayError when it is away.

        Opens its own transactions: another house may have to be asked.
        """
        ...

    def close_pages(self, vault: "Vault", subscriber_ids: Collection[int]) -> "Mapping[int, GatewayError | None]":
        """Close the open pages of these subscribers before their cards are charged.

        Returns who cannot be charged now: because the gateway gave this error, or (None) because a page is being paid.
        """
        ...


GATEWAYS: dict[str, Gateway] = {each.name: each for each in (hosted.GATEWAY, transfer.GATEWAY)}


def methods() -> dict[str, Method]:
    """How money may be recorded, of all gateways."""
    return {name: each for gateway in GATEWAYS.values() for name, each in gateway.methods.items()}


def gateway_of(method: str) -> Gateway | None:
    """The gateway that brought a payment; None for what staff record, such as cash."""
    return next((each for each in GATEWAYS.values() if method in each.methods), None)


def refunds_of(method: str) -> Refunds | None:
    """How a payment's money goes back through the gateway that brought it; None: by hand."""
    gateway = gateway_of(method)
    return None if gateway is None else gateway.refunds


def resting_places() -> dict[str, Resting]:
    """Gateway -> the account in which its money lies until it is paid out."""
    return {name: each.resting for name, each in GATEWAYS.items() if each.resting is not None}


def ready(business: "Business") -> list[Gateway]:
    """The gateways that a payer can be shown."""
    return [each for each in GATEWAYS.values() if each.is_ready(business)]


def close_all_pages(vault: "Vault", subscriber_ids: Collection[int]) -> "dict[int, GatewayError | None]":
    """The same at every gateway."""
    found: dict[int, GatewayError | None] = {}
    for each in GATEWAYS.values():
        found |= each.close_pages(vault, subscriber_ids)
    return found


def understand(vault: "Vault", source: str, notice: Notice) -> str:
    """What follows from a notice of the gateway named `source`; what became of it in a word."""
    gateway = GATEWAYS.get(source)
    if gateway is None or gateway.notices is None:
        return f"ignored: there is no gateway {source}"
    return gateway.notices.understand(vault, notice)
