"""What a payment gateway says, in our words: errors by what may have happened to money, and what it tells. Pure."""

from dataclasses import dataclass
from typing import Literal

from base.money import Money


class GatewayError(Exception):
    """Card payments do not work just now; the message says why, for staff."""


class NotSent(GatewayError):
    """Stripe refused before doing anything, or could not be reached at all: nothing happened."""


class TooSmall(NotSent):
    """The sum is less than a card is charged with; it has to wait for more."""


class Gone(NotSent):
    """What was named (a customer, a card, a payment) does not exist at Stripe, or not in this account and mode."""


class Unknown(GatewayError):
    """Stripe may or may not have done it: ask, never assume."""


class Spent(Unknown):
    """The same, and Stripe has kept that answer under the idempotency key: asking again brings nothing else."""


class NotConfigured(NotSent):
    """No Stripe key is set."""


class BadSignature(Exception):
    """A webhook that Stripe did not sign, or that is too old to be believed."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a card was not charged, in the codes of Stripe and of the card's issuer; '' where nothing was said."""

    code: str
    "card_declined, expired_card, authentication_required …"
    decline_code: str = ""
    "insufficient_funds, lost_card …"
    advice_code: str = ""
    "try_again_later, do_not_try_again, confirm_card_data."
    network_code: str = ""
    "Of the card network: 51, 05 …"
    message: str = ""
    "Stripe's sentence; never shown to a subscriber."


Status = Literal["waiting", "action", "pending", "succeeded", "canceled"]


@dataclass(frozen=True, slots=True)
class Intent:
    """A charge of a saved card as Stripe has it: it can succeed once."""

    id: str
    "pi_…"
    status: Status
    "waiting: may be tried (again); action: the bank asks the customer; pending: money is under way."
    amount: Money
    charge: str
    "ch_… of the last try; ''."
    decline: Decline | None
    "Of the last try, where it failed."
    method: str
    "pm_… that is being charged or was; ''."
    delayed: bool
    "It was paid in a way that takes days, such as a direct debit."


@dataclass(frozen=True, slots=True)
class SavedCard:
    """A card that a customer left with Stripe."""

    id: str
    "pm_…"
    customer: str
    "cus_…; '' when it belongs to nobody."
    fingerprint: str
    "The same for the same card number."
    brand: str
    last4: str
    exp_year: int
    exp_month: int


# What Stripe charges at least, in minor units: https://docs.stripe.com/currencies, "Minimum charge amount by currency",
# as stored in 2026. Of another currency, and where Stripe converts, Stripe itself says when a sum is too small.
LEAST = {
    "AED": 200, "ARS": 50, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "COP": 50, "CZK": 1500, "DKK": 250, "EUR": 50,
    "GBP": 30, "HKD": 400, "HUF": 17500, "IDR": 50, "ILS": 50, "INR": 50, "JPY": 50, "KRW": 50, "MXN": 1000,
    "MYR": 200, "NOK": 300, "NZD": 50, "PHP": 50, "PLN": 200, "RON": 200, "RUB": 50, "SEK": 300, "SGD": 50,
    "THB": 1000, "USD": 50, "ZAR": 50,
}  # fmt: skip
# The same page, "Three-decimal currencies": the last digit of what is charged, refunded or disputed is 0. (HUF and TWD
# are charged to the hundredth; only payouts of theirs are whole, "Special cases".)
STEP = {"BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
# The same page, "Special cases": whole in ISO 4217, written in hundredths at Stripe, and these are always 00.
SCALE = {"ISK": 100, "UGX": 100}


def too_small(amount: Money) -> bool:
    """Whether Stripe would refuse to charge so little."""
    return amount.minor < LEAST.get(amount.currency, 1)


def chargeable(amount: Money) -> Money:
    """What a card can be charged with for `amount`: Stripe takes some currencies in larger steps, so a little more.

    The difference is the subscriber's credit.
    """
    step = STEP.get(amount.currency, 1)
    return Money(-(-amount.minor // step) * step, amount.currency)


def refundable(amount: Money) -> Money:
    """What of an amount can go back to a card: Stripe takes some currencies in larger steps, so maybe a little less."""
    return Money(amount.minor - amount.minor % STEP.get(amount.currency, 1), amount.currency)


def to_stripe(amount: Money) -> int:
    """The number that Stripe wants for an amount."""
    return amount.minor * SCALE.get(amount.currency, 1)


def from_stripe(number: int, currency: str) -> Money:
    """The amount behind a number of Stripe's."""
    code = currency.upper()
    return Money(number // SCALE.get(code, 1), code)
