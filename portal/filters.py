"""Amounts, dates, instants, speeds and levels as the pages write them."""

from datetime import date, datetime

from flask import Flask

from base import i18n
from base.money import Money
from portal.at_hand import business


def money(amount: Money) -> str:
    """An amount in the provider's language."""
    return i18n.format_money(amount, business().language)


def day(value: date | None) -> str:
    """A local date; '' for none."""
    return "" if value is None else i18n.format_date(value, business().language)


def moment(value: datetime | None) -> str:
    """A UTC instant on the provider's wall clock; '' for none."""
    return "" if value is None else i18n.format_instant(value, business().zone, business().language)


def add_filters(app: Flask) -> None:
    """Give the templates these words."""
    app.jinja_env.filters.update(money=money, day=day, moment=moment, rate=i18n.format_rate, octets=i18n.format_octets)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
