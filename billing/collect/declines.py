"""What a refused card means: whether to try it again, and how to say it. Pure.

The network's and the issuer's rules: some refusals forbid any further try (Visa category 1), others only cost money
when repeated. Stripe's advice_code decides first where it forbids. https://docs.stripe.com/declines/codes
"""

from enum import Enum

from billing.gateway.words import Decline


class Meaning(Enum):
    """What to do about a refusal."""

    NEVER = "never"
    "This card is not tried again."
    CUSTOMER = "customer"
    "Only its owner can do something: another card, the right data, or a confirmation."
    LATER = "later"
    "There is no money on it just now: in days."
    SOFT = "soft"
    "The issuer gave no reason: some days later, a few times."
    SOON = "soon"
    "Something did not work: in minutes to hours."
    UNNAMED = "unnamed"
    "A code that is not known: as soft, once or twice."


_NEVER = (
    "incorrect_number", "lost_card", "pickup_card", "stolen_card", "revocation_of_authorization",
    "revocation_of_all_authorizations", "highest_risk_level", "transaction_not_allowed", "invalid_account",
    "do_not_try_again", "restricted_card", "security_violation", "stop_payment_order", "fraudulent",
    "merchant_blacklist", "new_account_information_available",
)  # fmt: skip
_CUSTOMER = (
    "authentication_required", "authentication_not_handled", "expired_card", "incorrect_cvc", "invalid_cvc",
    "card_not_supported", "currency_not_supported", "incorrect_zip", "invalid_expiry_month", "invalid_expiry_year",
    "payment_intent_authentication_failure", "payment_method_not_available",
)  # fmt: skip
_LATER = (
    "insufficient_funds", "card_velocity_exceeded", "withdrawal_count_limit_exceeded", "balance_insufficient",
)  # fmt: skip
_SOFT = ("generic_decline", "do_not_honor", "call_issuer", "no_action_taken", "not_permitted", "service_not_allowed")
_SOON = (
    "processing_error", "issuer_not_available", "try_again_later", "reenter_transaction", "approve_with_id",
)  # fmt: skip
_BY_CODE = {
    **dict.fromkeys(_NEVER, Meaning.NEVER),
    **dict.fromkeys(_CUSTOMER, Meaning.CUSTOMER),
    **dict.fromkeys(_LATER, Meaning.LATER),
    **dict.fromkeys(_SOFT, Meaning.SOFT),
    **dict.fromkeys(_SOON, Meaning.SOON),
}
# Visa category 1; R0, R1, R3: the owner told the issuer to stop
_NEVER_NETWORK = {"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"}

# message ids of base/locales; lost, stolen and suspected cards are told no more than that another one is needed
_SAID = {
    Meaning.NEVER: "Your card was refused. Please pay with another card.",
    Meaning.CUSTOMER: "Your card could not be charged. Please check it, or pay with another card.",
    Meaning.LATER: "There was not enough money on your card. We will try again.",
    Meaning.SOFT: "Your bank refused the payment without a reason. We will try again; your bank can tell you more.",
    Meaning.SOON: "Your card could not be reached. We will try again.",
    Meaning.UNNAMED: "Your card was refused. We will try again.",
}
_SAID_OF = {
    "authentication_required": "Your bank asks you to confirm this payment. Please pay with the link.",
    "expired_card": "Your card has expired. Please add a new one.",
    "incorrect_cvc": "The security code of your card is wrong. Please enter your card again.",
    "currency_not_supported": "Your card does not take this currency. Please pay with another card.",
}
SENTENCES = (*_SAID.values(), *_SAID_OF.values())
"What a card's owner may be told, as message ids."


def meaning_of(decline: Decline) -> Meaning:
    """What to do about this refusal."""
    found = _BY_CODE.get(decline.decline_code) or _BY_CODE.get(decline.code)
    if found in (Meaning.NEVER, Meaning.CUSTOMER):
        return found
    if decline.advice_code == "do_not_try_again" or decline.network_code in _NEVER_NETWORK:
        return Meaning.NEVER
    if decline.advice_code == "confirm_card_data":
        return Meaning.CUSTOMER
    return found or Meaning.UNNAMED


def said_to_subscriber(decline: Decline) -> str:
    """The sentence for the card's owner, as a message id of base.i18n."""
    return _SAID_OF.get(decline.decline_code) or _SAID_OF.get(decline.code) or _SAID[meaning_of(decline)]


def said_to_staff(decline: Decline) -> str:
    """The same for staff, with every code."""
    codes = (decline.code, decline.decline_code, decline.advice_code, decline.network_code)
    named = ", ".join(dict.fromkeys(each for each in codes if each))
    return f"Refused: {named or 'no code'} ({meaning_of(decline).value})."
