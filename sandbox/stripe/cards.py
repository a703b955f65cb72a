"""Stripe's published test cards and what each of them does (https://docs.stripe.com/testing).

Rule 1: only numbers in this table are ever taken; a real card number is refused and never stored or shown again.
Rule 2: nothing here reads a clock or the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from sandbox.stripe.declines import (
    EXPIRED,
    FRAUDULENT,
    GENERIC,
    INSUFFICIENT,
    LIVE_CARD,
    LOST,
    PROCESSING,
    STOLEN,
    VELOCITY,
    WRONG_CVC,
    Decline,
    refused,
)
from sandbox.stripe.errors import StripeError


@dataclass(frozen=True)
class Card:
    """A test card: who issues it, what it answers, and when its bank wants to see the customer (3-D Secure)."""

    number: str
    token: str
    says: str
    """What an operator should expect, in one line."""
    decline: Decline | None = None
    saves: bool = True
    """Whether it can be attached to a customer; Stripe's declining cards cannot, except 4000000000000341."""
    authenticates: Literal["never", "on_session", "until_set_up", "always"] = "never"
    disputes: str = ""
    """Reason of the dispute that follows a payment; "inquiry": only asked about; "": none."""
    refunds: Literal["succeeded", "pending", "failed"] = "succeeded"
    """How refunds to it end: pending ones succeed after a while, failing ones look well until they fail."""
    at_once: bool = False
    """Whether its money is available at once."""
    processing: str = ""
    """How a payment ends that is `processing` for a while, as delayed debit does: succeeded, or the decline code."""
    processing_seconds: float = 0.0
    """How long that takes by the sandbox's clock."""
    brand: str = "visa"
    funding: str = "credit"

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def shown(self) -> str:
        """The number in groups, as it is printed on a card."""
        groups = (4, 6, 5) if self.brand == "amex" else (4, 4, 4, 4)
        starts = [sum(groups[:i]) for i in range(len(groups))]
        return " ".join(self.number[s : s + n] for s, n in zip(starts, groups, strict=True))

    @property
    def fingerprint(self) -> str:
        """The same for the same number, so a card can be recognised however often it is entered."""
        return sha256(f"sandbox card {self.number}".encode()).hexdigest()[:16]


CARDS: tuple[Card, ...] = (
    Card("4242424242424242", "pm_card_visa", "Pays."),
    Card("5555555555554444", "pm_card_mastercard", "Pays.", brand="mastercard"),
    Card("378282246310005", "pm_card_amex", "Pays; its security code has 4 digits.", brand="amex"),
    Card("6011111111111117", "pm_card_discover", "Pays.", brand="discover"),
    Card("4000056655665556", "pm_card_visa_debit", "Pays (a debit card).", funding="debit"),
    Card(
        "4000002500003155",
        "pm_card_authenticationRequiredOnSetup",
        "Asks for 3-D Secure; once saved with it, later automatic payments go through.",
        authenticates="until_set_up",
    ),
    Card(
        "4000003800000446",
        "pm_card_authenticationRequiredSetupForOffSession",
        "Asks for 3-D Secure on the page; automatic payments go through.",
        authenticates="on_session",
    ),
    Card(
        "4000002760003184",
        "pm_card_authenticationRequired",
        "Asks for 3-D Secure every time; automatic payments are refused.",
        authenticates="always",
    ),
    Card(
        "4000008260003178",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "Asks for 3-D Secure and has insufficient funds even then.",
        decline=INSUFFICIENT,
        authenticates="until_set_up",
    ),
    Card(
        "4000000000000341",
        "pm_card_chargeCustomerFail",
        "Can be saved, then every payment is declined.",
        decline=GENERIC,
    ),
    Card("4000000000000002", "pm_card_visa_chargeDeclined", "Declined.", GENERIC, saves=False),
    Card(
        "4000000000009995",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "Declined: insufficient funds.",
        INSUFFICIENT,
        saves=False,
    ),
    Card("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", "Declined: lost card.", LOST, saves=False),
    Card(
        "4000000000009979",
        "pm_card_visa_chargeDeclinedStolenCard",
        "Declined: stolen card.",
        STOLEN,
        saves=False,
    ),
    Card(
        "4000000000000069",
        "pm_card_chargeDeclinedExpiredCard",
        "Declined: expired card.",
        EXPIRED,
        saves=False,
    ),
    Card(
        "4000000000000127",
        "pm_card_chargeDeclinedIncorrectCvc",
        "Declined: wrong security code.",
        WRONG_CVC,
        saves=False,
    ),
    Card(
        "4000000000000119",
        "pm_card_chargeDeclinedProcessingError",
        "Declined: processing error.",
        PROCESSING,
        saves=False,
    ),
    Card(
        "4000000000006975",
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "Declined: used too often.",
        VELOCITY,
        saves=False,
    ),
    Card(
        "4100000000000019",
        "pm_card_chargeDeclinedFraudulent",
        "Declined: blocked as fraudulent.",
        FRAUDULENT,
        saves=False,
    ),
    Card("4000000000000259", "pm_card_createDispute", "Pays, then is disputed at once.", disputes="fraudulent"),
    Card(
        "4000000000002685",
        "pm_card_createDisputeProductNotReceived",
        "Pays, then is disputed at once: product not received.",
        disputes="product_not_received",
    ),
    Card("4000000000001976", "pm_card_createDisputeInquiry", "Pays, then is asked about.", disputes="inquiry"),
    Card("4000000000007726", "pm_card_pendingRefund", "Pays; refunds are pending for a day.", refunds="pending"),
    Card("4000000000005126", "pm_card_refundFail", "Pays; refunds fail after a day.", refunds="failed"),
    Card("4000000000000077", "pm_card_bypassPending", "Pays; the money is available at once.", at_once=True),
    Card(
        "4000000000003220",
        "pm_card_threeDSecure2Required",
        "Asks for 3-D Secure every time.",
        authenticates="always",
    ),
    Card(
        "4000008400001629",
        "pm_card_threeDSecureRequiredChargeDeclined",
        "Asks for 3-D Secure and is declined even then.",
        decline=GENERIC,
        authenticates="always",
    ),
)

BY_NUMBER = {card.number: card for card in CARDS}
BY_TOKEN = {card.token: card for card in CARDS}


def read_number(typed: str) -> Card:
    """Return the test card with this number; spaces and dashes do not matter. Raises the 402 that Stripe gives."""
    number = typed.replace(" ", "").replace("-", "")
    if not (number.isascii() and number.isdigit() and 12 <= len(number) <= 19 and _luhn(number)):
        raise wrong_entry("incorrect_number", "number", "Your card number is incorrect.")
    if number not in BY_NUMBER:
        raise refused(LIVE_CARD)
    return BY_NUMBER[number]


def check_entry(card: Card, exp_month: int, exp_year: int, cvc: str | None, today: tuple[int, int]) -> None:
    """Hold expiry and security code against the card; `today` is (year, month). Raises the 402 that Stripe gives."""
    if not today[0] <= exp_year <= today[0] + 50:
        raise wrong_entry("invalid_expiry_year", "exp_year", "Your card's expiration year is invalid.")
    if not 1 <= exp_month <= 12 or (exp_year, exp_month) < today:
        raise wrong_entry("invalid_expiry_month", "exp_month", "Your card's expiration month is invalid.")
    digits = 4 if card.brand == "amex" else 3
    if cvc is not None and not (cvc.isascii() and cvc.isdigit() and len(cvc) == digits):
        raise wrong_entry("invalid_cvc", "cvc", "Your card's security code is invalid.")


def needs_customer(card: Card, off_session: bool, set_up: bool) -> bool:
    """Whether the bank wants the customer to confirm this payment (3-D Secure)."""
    if card.authenticates == "always":
        return True
    if card.authenticates == "until_set_up":
        return not (off_session and set_up)
    return card.authenticates == "on_session" and not off_session


def wrong_entry(code: str, param: str, message: str) -> StripeError:
    """The 402 for a card that was typed wrongly."""
    return StripeError(402, {"type": "card_error", "code": code, "message": message, "param": param})


def _luhn(number: str) -> bool:
    doubled = [sum(divmod(int(d) * 2, 10)) for d in number[-2::-2]]
    return (sum(doubled) + sum(int(d) for d in number[-1::-2])) % 10 == 0
