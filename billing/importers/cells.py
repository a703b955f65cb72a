"""The cells of one row as values; every cell that is wrong is a fault with a sentence. Pure."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from base.i18n import parse_money
from base.money import Money

EARLIEST, LATEST = date(1970, 1, 1), date(2100, 1, 1)
_ISO = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_POINTS = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong with a file: the line (0: all of it), the column ('': all of the row) and a sentence."""

    line: int
    column: str
    sentence: str


@dataclass(slots=True)
class Cells:
    """One row under examination; what is asked for and wrong is added to `faults`, and a blank stands in for it."""

    line: int
    values: Mapping[str, str]
    decimal: str
    faults: list[Fault] = field(default_factory=list)

    def fault(self, column: str, sentence: str) -> None:
        """Say what is wrong with a cell."""
        self.faults.append(Fault(self.line, column, sentence))

    def text(self, column: str, *, most: int = 200, required: bool = False, lines: bool = False) -> str:
        """A text of at most `most` characters; with `lines` it may have several lines."""
        value = self.values.get(column, "").replace("\r\n", "\n")
        allowed = "\n\t" if lines else ""
        if required and not value:
            self.fault(column, "It is empty.")
        elif any(unicodedata.category(char) in ("Cc", "Cs") and char not in allowed for char in value):
            self.fault(column, "It has control characters or a line break in it.")
        elif len(value) > most:
            self.fault(column, f"It has more than {most} characters.")
        else:
            return value
        return ""

    def choice(self, column: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`; empty: the default."""
        value = self.text(column).lower() or default
        if value in choices:
            return value
        self.fault(column, f"{value!r} is not one of {', '.join(choices)}.")
        return default

    def whole(self, column: str, least: int, most: int) -> int | None:
        """A whole number; None when empty."""
        value = self.text(column)
        if not value:
            return None
        if re.fullmatch("[0-9]{1,9}", value) and least <= int(value) <= most:
            return int(value)
        self.fault(column, f"{value!r} is not a whole number from {least} to {most}.")
        return None

    def day(self, column: str, *, required: bool = False) -> date | None:
        """A date as 2026-03-31 or 31.03.2026; with slashes it is not clear which is the month."""
        value = self.text(column, required=required)
        if not value:
            return None
        try:
            if (iso := _ISO.fullmatch(value)) is not None:
                day = date(int(iso[1]), int(iso[2]), int(iso[3]))
            elif (points := _POINTS.fullmatch(value)) is not None:
                day = date(int(points[3]), int(points[2]), int(points[1]))
            else:
                raise ValueError
        except ValueError:
            self.fault(column, f"{value!r} is not a date such as 2026-03-31 or 31.03.2026.")
            return None
        if EARLIEST <= day < LATEST:
            return day
        self.fault(column, f"{value!r} is not between {EARLIEST.year} and {LATEST.year}.")
        return None

    def money(self, column: str, currency: str, *, required: bool = False) -> Money | None:
        """An amount; None when empty. See `parse_amount`."""
        value = self.text(column, required=required)
        if not value:
            return None
        try:
            return parse_amount(value, self.decimal, currency)
        except ValueError as error:
            self.fault(column, str(error))
            return None


def parse_amount(text: str, decimal: str, currency: str) -> Money:
    """An amount whose decimal sign is `decimal`; ValueError with a sentence when it is none, or not clear.

    The other sign may group thousands only where the decimal sign stands, too: '1.234,50' is clear, '1.234' is not.
    """
    group = "." if decimal == "," else ","
    value = text.replace("\N{MINUS SIGN}", "-")
    sign, point = ("comma", "point") if decimal == "," else ("point", "comma")
    if re.fullmatch(rf"[+-]?[0-9]{{1,18}}(\{decimal}[0-9]{{1,9}})?", value):
        pass
    elif re.fullmatch(rf"[+-]?[0-9]{{1,3}}(\{group}[0-9]{{3}}){{1,5}}\{decimal}[0-9]{{1,9}}", value):
        value = value.replace(group, "")
    elif group in value and decimal not in value:
        raise ValueError(
            f"{text!r} has a {point}, but the decimal sign of this file is the {sign}; --decimal changes it."
        )
    else:
        raise ValueError(f"{text!r} is not an amount such as 29{decimal}99.")
    return parse_money(value.replace(decimal, "."), currency)
