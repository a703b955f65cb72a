"""What a way to be paid has to offer, and which ones there are: a second provider is one module and one line here.

A gateway says how its money is recorded (method and account), what it offers a payer, and whether it can charge when
nobody is there. Money itself comes in through billing.payments, whoever brought it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from billing.gateway import hosted, transfer
from billing.gateway.ways import Instructions, Method, Redirect, Resting

if TYPE_CHECKING:
    from base.business import Business
    from base.crypto import Vault
    from billing.checkout import Wish


class Gateway(Protocol):
    """A way to be paid."""

    @property
    def name(self) -> str:
        """For settings and logs: stripe, transfer."""
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

    def is_ready(self, business: "Business") -> bool:
        """Whether the settings have what it needs."""
        ...

    def offer(self, vault: "Vault", subscriber_id: int, base_url: str, wish: "Wish") -> Redirect | Instructions:
        """How to pay what is wished. Raises Refused when there is nothing to pay, GatewayError when it is away.

        Opens its own transactions: another house may have to be asked.
        """
        ...


GATEWAYS: dict[str, Gateway] = {each.name: each for each in (hosted.GATEWAY, transfer.GATEWAY)}


def methods() -> dict[str, Method]:
    """How money may be recorded, of all gateways."""
    return {name: each for gateway in GATEWAYS.values() for name, each in gateway.methods.items()}


def resting_places() -> dict[str, Resting]:
    """Gateway -> the account in which its money lies until it is paid out."""
    return {name: each.resting for name, each in GATEWAYS.items() if each.resting is not None}


def ready(business: "Business") -> list[Gateway]:
    """The gateways that a payer can be shown."""
    return [each for each in GATEWAYS.values() if each.is_ready(business)]
