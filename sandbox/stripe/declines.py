"""Why an issuer says no, in Stripe's words (https://docs.stripe.com/declines/codes), and what it advises.

One line for each decline code that Stripe documents for cards: advice (https://docs.stripe.com/declines/card), and the
code of the card network behind it where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.stripe.errors import StripeError, invalid


@dataclass(frozen=True)
class Decline:
    """One way to be declined: the error's code, the decline code, the words, the advice, the network's code."""

    code: str
    decline_code: str
    message: str
    advice_code: str | None = None
    param: str | None = None
    network_decline_code: str | None = None


NO = "Your card was declined."
LATER, NEVER, CHECK = "try_again_later", "do_not_try_again", "confirm_card_data"
_TABLE: tuple[tuple[str, str | None, str | None, str], ...] = (
    # decline code, advice, network's code, words
    ("approve_with_id", LATER, "08", NO),
    ("call_issuer", LATER, "01", NO),
    ("card_not_supported", CHECK, "57", "Your card does not support this type of purchase."),
    (
        "card_velocity_exceeded",
        LATER,
        "65",
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    ),
    ("currency_not_supported", CHECK, None, "Your card does not support this currency."),
    ("do_not_honor", LATER, "05", NO),
    ("do_not_try_again", NEVER, "04", NO),
    ("duplicate_transaction", None, "94", NO),
    ("fraudulent", None, "59", NO),
    ("generic_decline", LATER, "01", NO),
    ("insufficient_funds", LATER, "51", "Your card has insufficient funds."),
    ("invalid_account", CHECK, "46", "Your card was declined."),
    ("invalid_amount", None, "13", NO),
    ("issuer_not_available", LATER, "91", NO),
    ("lost_card", NEVER, "41", NO),
    ("merchant_blacklist", None, "03", NO),
    ("new_account_information_available", CHECK, "54", NO),
    ("no_action_taken", LATER, "21", NO),
    ("not_permitted", LATER, "57", NO),
    ("pickup_card", NEVER, "04", NO),
    ("reenter_transaction", LATER, "19", NO),
    ("restricted_card", NEVER, "62", NO),
    ("revocation_of_all_authorizations", NEVER, "R3", NO),
    ("revocation_of_authorization", NEVER, "R1", NO),
    ("security_violation", LATER, "63", NO),
    ("service_not_allowed", None, "58", NO),
    ("stolen_card", NEVER, "43", NO),
    ("stop_payment_order", NEVER, "R0", NO),
    ("transaction_not_allowed", NEVER, "57", NO),
    ("try_again_later", LATER, "96", NO),
    ("withdrawal_count_limit_exceeded", LATER, "65", "You have exceeded the balance or credit limit on your card."),
)
DECLINES: dict[str, Decline] = {
    name: Decline("card_declined", name, words, advice, None, network) for name, advice, network, words in _TABLE
} | {
    one.decline_code: one
    for one in (
        Decline("expired_card", "expired_card", "Your card has expired.", CHECK, "exp_month", "54"),
        Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.", CHECK, "cvc", "N7"),
        Decline("incorrect_number", "incorrect_number", "Your card number is incorrect.", CHECK, "number", "14"),
        Decline(
            "processing_error",
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
            LATER,
            None,
            "96",
        ),
        Decline(
            "authentication_required",
            "authentication_required",
            "Your card was declined. This transaction requires authentication.",
            None,
            None,
            "1A",
        ),
    )
}
GENERIC = DECLINES["generic_decline"]
INSUFFICIENT = DECLINES["insufficient_funds"]
LOST = DECLINES["lost_card"]
STOLEN = DECLINES["stolen_card"]
FRAUDULENT = DECLINES["fraudulent"]
VELOCITY = DECLINES["card_velocity_exceeded"]
EXPIRED = DECLINES["expired_card"]
WRONG_CVC = DECLINES["incorrect_cvc"]
PROCESSING = DECLINES["processing_error"]
AUTHENTICATION_REQUIRED = DECLINES["authentication_required"]
NOT_HANDLED = Decline(
    "authentication_required",
    "authentication_not_handled",
    "This payment required an authentication action to complete, but `error_on_requires_action` was set. When "
    "you're ready, you can upgrade your integration to handle actions.",
)
LIVE_CARD = Decline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test (live) card. For a list of valid "
    "test cards, visit: https://stripe.com/docs/testing.",
)


def named(code: object, param: str) -> Decline:
    """The decline of this code; raises a 400 that names those there are."""
    if not isinstance(code, str) or code not in DECLINES:
        raise invalid(f"{param} is one of {', '.join(sorted(DECLINES))}", param)
    return DECLINES[code]


def refused(decline: Decline, **extra: object) -> StripeError:
    """The 402 for a card that its issuer refused."""
    return StripeError(402, card_error(decline) | extra)


def card_error(decline: Decline) -> dict[str, object]:
    """The error object of a decline, as it stands in answers and in `last_payment_error`."""
    return {
        "type": "card_error",
        "code": decline.code,
        "decline_code": decline.decline_code,
        "advice_code": decline.advice_code,
        "network_decline_code": decline.network_decline_code,
        "message": decline.message,
        "param": decline.param,
    }
