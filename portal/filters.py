"""Amounts, dates, instants, speeds and states as the pages write them."""

from datetime import date, datetime

from flask import Flask, request, url_for

from base import i18n
from base.access import AccessLevel
from base.calendar import local_date
from base.money import Money
from billing.qr import qr_image
from portal import words
from portal.at_hand import business
from radius.dialects import DIALECTS


def money(amount: Money) -> str:
    """An amount in the provider's language."""
    return i18n.format_money(amount, business().language)


def minor(units: int, currency: str) -> str:
    """Minor units as an amount in the provider's language."""
    return money(Money(units, currency))


def day(value: date | None) -> str:
    """A local date; '' for none."""
    return "" if value is None else i18n.format_date(value, business().language)


def moment(value: datetime | None) -> str:
    """A UTC instant on the provider's wall clock; '' for none."""
    return "" if value is None else i18n.format_instant(value, business().zone, business().language)


def day_of(value: datetime | None) -> str:
    """The provider's date at a UTC instant; '' for none."""
    return "" if value is None else day(local_date(value, business().zone))


def local_day(value: datetime | None) -> date | None:
    """The provider's date at a UTC instant."""
    return None if value is None else local_date(value, business().zone)


def rate(bits_per_second: int) -> str:
    """A speed; 0 is not limited."""
    return i18n.format_rate(bits_per_second) if bits_per_second else "no limit"


def obeyed(terms: dict[str, object] | None) -> str:
    """What a session must obey, in words."""
    return words.obeyed_in_words(terms, rate)


def page_url(number: int) -> str:
    """This list's address at another page, with the filters it has now."""
    kept = {**request.args.to_dict(), "page": str(number)}
    return url_for(request.endpoint or "", **{**kept, **(request.view_args or {})})


def dialect(kind: str) -> str:
    """The title of a kind of NAS."""
    return DIALECTS[kind].title if kind in DIALECTS else kind


def add_filters(app: Flask) -> None:
    """Give the templates these words."""
    app.jinja_env.filters.update(
        money=money, minor=minor, day=day, moment=moment, day_of=day_of, local_day=local_day, rate=rate, obeyed=obeyed
    )
    app.jinja_env.filters.update(octets=i18n.format_octets, level=AccessLevel, dialect=dialect, reasons=words.reasons)
    app.jinja_env.filters.update(qr=qr_image)
    app.jinja_env.globals.update(words=words, page_url=page_url)
    app.jinja_env.add_extension("jinja2.ext.do")
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
