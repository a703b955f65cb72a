"""Amounts, dates, speeds and sentences as people read them in their language."""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date as babel_date
from babel.dates import format_datetime as babel_datetime
from babel.numbers import format_currency, format_decimal, get_currency_precision

from base.money import Money

LOCALES = Path(__file__).parent / "locales"
"One folder per language, each with LC_MESSAGES/*.po; English is written in the code and needs none."

NO_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
"Codes of two letters that CLDR names beside countries."


@cache
def translations(language: str) -> NullTranslations:
    """What says our sentences in `language` ('de', 'de_AT', 'es-MX'): an object with gettext and ngettext.

    Every .po file of the language's folder counts; a sentence that none of them has, and a language without a folder,
    stay English. Read once in a process: a changed file is used from the next start on.
    """
    from babel.messages.mofile import write_mo  # only who writes to people needs them
    from babel.messages.pofile import read_po
    from babel.support import Translations

    spoken = language.replace("-", "_")
    found = Translations()
    for name in (spoken.partition("_")[0], spoken):  # what is special about Austria comes on top of German
        for file in sorted((LOCALES / name / "LC_MESSAGES").glob("*.po")):
            compiled = BytesIO()
            with file.open("rb") as text:
                write_mo(compiled, read_po(text, locale=name))
            compiled.seek(0)
            found.merge(Translations(compiled))
    return found


@cache
def is_language(language: str) -> bool:
    """Whether amounts and dates can be written in it: 'de', 'de_AT', 'es-MX'."""
    try:
        Locale.parse(language.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return False
    return True


def format_money(amount: Money, language: str) -> str:
    """'€29.99': the currency's own number of decimals, exact."""
    value = Decimal(amount.minor).scaleb(-get_currency_precision(amount.currency))
    return format_currency(value, amount.currency, locale=language)


def decimal_text(amount: Money) -> str:
    """'29.99': the amount in whole units for machines, exact, with the currency's own number of decimals."""
    return f"{Decimal(amount.minor).scaleb(-get_currency_precision(amount.currency)):f}"


def _example(currency: str) -> Money:
    return Money(int("29999"[: 2 + get_currency_precision(currency)]), currency)


def parse_money(text: str, currency: str) -> Money:
    """'29.99' or '29' as money; refuses anything finer than the currency's smallest unit."""
    try:
        value = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount such as {decimal_text(_example(currency))}.") from None
    minor = value.scaleb(get_currency_precision(currency)) if value.is_finite() else Decimal("0.5")
    if minor != minor.to_integral_value() or abs(minor) >= 10**15:
        raise ValueError(f"{text!r} is not an amount of {currency} such as {decimal_text(_example(currency))}.")
    return Money(int(minor), currency)


def format_date(day: date, language: str) -> str:
    """'25 Nov 2026' in the order of the language."""
    return babel_date(day, format="medium", locale=language)


def is_country(code: str) -> bool:
    """Whether `code` is an ISO 3166-1 alpha-2 code such as 'DE'."""
    return len(code) == 2 and code.isalpha() and code not in NO_COUNTRIES and code in _territories()


def is_currency(code: str) -> bool:
    """Whether `code` is an ISO 4217 code such as 'EUR'."""
    return code in _currencies()


@cache
def _currencies() -> frozenset[str]:
    return frozenset(Locale("en").currencies)


@cache
def _territories() -> frozenset[str]:
    return frozenset(Locale("en").territories)


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


def format_number(value: Decimal, places: int, language: str) -> str:
    """1234.5 with one place → '1,234.5': rounded half up, with the signs of the language."""
    rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return format_decimal(rounded, format="#,##0." + "0" * places if places else "#,##0", locale=language)


def format_percentage(value: Decimal, language: str) -> str:
    """'6.25' or '6,25' as the language writes it, with no more places than there are; without the sign."""
    return format_decimal(value.normalize(), format="#,##0.######", locale=language)


def format_month(day: date, language: str) -> str:
    """'Nov 2026'."""
    return babel_date(day, format="MMM y", locale=language)
