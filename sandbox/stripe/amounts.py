"""What can be charged in each currency (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).

Amounts are in minor units as Stripe counts them: none for zero-decimal currencies, thousandths for three-decimal ones.
"""

from __future__ import annotations

import re

from sandbox.stripe.errors import invalid

MOST = 99_999_999
"""The biggest amount, in minor units."""
LEAST = {
    "usd": 50,
    "aed": 200,
    "ars": 50,
    "aud": 50,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "cop": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "idr": 50,
    "ils": 50,
    "inr": 50,
    "jpy": 50,
    "krw": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "php": 50,
    "pln": 200,
    "ron": 200,
    "rub": 50,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "zar": 50,
}
"""Stripe's documented minimums. For the others it asks for 0.50 US dollars' worth of the settlement currency; the
tables below say what that is here, at rates that never move."""
ZERO_DECIMAL = {
    "bif": 1500,
    "clp": 480,
    "djf": 90,
    "gnf": 4300,
    "jpy": 50,
    "kmf": 230,
    "mga": 2300,
    "pyg": 3700,
    "rwf": 720,
    "vnd": 12500,
    "vuv": 60,
    "xaf": 300,
    "xof": 300,
    "xpf": 54,
}
THREE_DECIMAL = {"bhd": 190, "jod": 360, "kwd": 160, "omr": 200, "tnd": 1600}
"""Their last digit must be 0 (https://docs.stripe.com/currencies#three-decimal)."""
WHOLE = ("isk", "ugx")
"""Counted in hundredths, of which only whole units may be charged (https://docs.stripe.com/currencies#special-cases)."""
OTHERS = 50


def least(currency: str) -> int:
    """The smallest amount that can be charged, in minor units."""
    for table in (LEAST, ZERO_DECIMAL, THREE_DECIMAL):
        if currency in table:
            return table[currency]
    return OTHERS


def check_amount(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse an amount or a currency that Stripe would refuse, with its 400."""
    if not re.fullmatch(r"[a-z]{3}", currency):
        raise invalid(f"Invalid currency: {currency}", "currency")
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", param, "parameter_invalid_integer")
    if amount < least(currency):
        raise invalid(f"Amount must be at least {least(currency)} {currency} (minor units).", param, "amount_too_small")
    if amount > MOST:
        raise invalid(f"Amount must be no more than {MOST} {currency} (minor units).", param, "amount_too_large")
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid(
            f"Invalid amount: the last digit of an amount in {currency} must be 0.", param, "parameter_invalid_integer"
        )
    if currency in WHOLE and amount % 100:
        raise invalid(
            f"Invalid amount: {currency} has no decimals; the amount must be divisible by 100.",
            param,
            "parameter_invalid_integer",
        )
