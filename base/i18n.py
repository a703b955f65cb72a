"""Amounts, dates and speeds as people read them in the provider's language."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from babel.dates import format_date as babel_date
from babel.dates import format_datetime as babel_datetime
from babel.numbers import format_currency, get_currency_precision

from base.money import Money


def format_money(amount: Money, language: str) -> str:
    """'€29.99': the currency's own number of decimals, exact."""
    value = Decimal(amount.minor).scaleb(-get_currency_precision(amount.currency))
    return format_currency(value, amount.currency, locale=language)


def parse_money(text: str, currency: str) -> Money:
    """'29.99' or '29' as money; refuses anything finer than the currency's smallest unit."""
    try:
        value = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount such as 29.99.") from None
    minor = value.scaleb(get_currency_precision(currency)) if value.is_finite() else Decimal("0.5")
    if minor != minor.to_integral_value() or abs(minor) >= 10**15:
        raise ValueError(f"{text!r} is not an amount of {currency} such as 29.99.")
    return Money(int(minor), currency)


def format_date(day: date, language: str) -> str:
    """'25 Nov 2026' in the order of the language."""
    return babel_date(day, format="medium", locale=language)


def format_instant(instant: datetime, zone: ZoneInfo, language: str) -> str:
    """A UTC instant on the provider's wall clock."""
    return babel_datetime(instant, format="medium", tzinfo=zone, locale=language)


def format_rate(bits_per_second: int) -> str:
    """100000000 → '100 Mbit/s'; exact where the number is round."""
    for factor, unit in ((10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s")):
        if bits_per_second >= factor:
            return f"{bits_per_second / factor:g} {unit}"
    return f"{bits_per_second} bit/s"


def format_octets(octets: int) -> str:
    """1234567890 → '1.2 GB' in decimal units, as data caps are sold."""
    size = float(octets)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
