"""Tax classes: what is taxed alike, and which taxes hold on which day. The day of supply decides, not the bill's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, delete, insert, or_, select, update

from base import trail
from base.business import WrongBusinessSetting, percent
from base.offers import tax_class, tax_rate
from billing.refused import Refused
from billing.tax import Tax, percent_text

CATEGORIES = ("S", "Z", "E", "AE", "K", "G", "O")  # UNCL5305, as EN 16931 BT-151 takes them
ALWAYS = date(1900, 1, 1)  # the first rates of a class hold for every day that can be billed


@dataclass(frozen=True, slots=True)
class Rate:
    """A tax as somebody types it; `percent` is text such as '20' or '5.5'."""

    name: str
    percent: str
    category: str = "S"
    compound: bool = False


@dataclass(frozen=True, slots=True)
class Dated:
    """A tax and the days [begins, ends) on which it holds; None: no end is known."""

    tax: Tax
    begins: date
    ends: date | None


@dataclass(frozen=True, slots=True)
class Rates:
    """The taxes of some classes on every day."""

    names: dict[int, str]
    taxes: dict[int, tuple[Dated, ...]]
    "By class, in the order in which compound ones are taken."

    def on(self, class_id: int, day: date) -> tuple[Tax, ...]:
        """The taxes of what is supplied on `day`; Refused when no rate holds then."""
        if class_id not in self.names:
            raise Refused("There is no such tax class.", "tax_class_id")
        held = tuple(
            each.tax
            for each in self.taxes.get(class_id, ())
            if each.begins <= day and (each.ends is None or day < each.ends)
        )
        if not held:
            raise Refused(f"No tax rate of {self.names[class_id]!r} holds on {day}.", "tax_class_id")
        return held


def add_tax_class(tx: Connection, actor: str, name: str, rates: Sequence[Rate]) -> int:
    """Add a class whose first rates hold on every day until they are changed. Returns its id."""
    name = name.strip()
    if not name:
        raise Refused("A tax class needs a name.", "name")
    if tx.scalar(select(tax_class.c.id).where(tax_class.c.name == name)) is not None:
        raise Refused(f"There is a tax class called {name!r} already.", "name")
    taxes = _checked(rates)
    class_id = tx.execute(insert(tax_class).values(name=name).returning(tax_class.c.id)).scalar_one()
    _insert(tx, class_id, taxes, ALWAYS)
    detail = {"name": name, "rates": _words(taxes)}
    trail.record(tx, actor, "tax_class.added", subject="tax_class", subject_id=class_id, detail=detail)
    return int(class_id)


def change_rates(
    tx: Connection, actor: str, class_id: int, rates: Sequence[Rate], valid_from: date, *, today: date
) -> None:
    """From `valid_from` on these rates hold and the old ones end; what was planned for later days is replaced.

    A day before `today` is Refused: what held then stays on record.
    """
    name = tx.scalar(select(tax_class.c.name).where(tax_class.c.id == class_id).with_for_update())
    if name is None:
        raise Refused("There is no such tax class.", "tax_class_id")
    if valid_from < today:
        raise Refused(f"Rates change from today on, not from {valid_from}: the past stays as it was.", "valid_from")
    taxes = _checked(rates)
    its = tax_rate.c.tax_class_id == class_id
    tx.execute(delete(tax_rate).where(its, tax_rate.c.valid_from >= valid_from))
    still = or_(tax_rate.c.valid_until.is_(None), tax_rate.c.valid_until > valid_from)
    tx.execute(update(tax_rate).where(its, still).values(valid_until=valid_from))
    _insert(tx, class_id, taxes, valid_from)
    detail = {"name": name, "rates": _words(taxes), "valid_from": valid_from.isoformat()}
    trail.record(tx, actor, "tax_class.rates_changed", subject="tax_class", subject_id=class_id, detail=detail)


def load_taxes(tx: Connection, class_ids: Collection[int]) -> Rates:
    """The taxes of these classes, in two queries however many they are."""
    wanted = list(class_ids)
    named = tx.execute(select(tax_class.c.id, tax_class.c.name).where(tax_class.c.id.in_(wanted)))
    names = {row.id: row.name for row in named}
    taxes: dict[int, list[Dated]] = {}
    query = select(tax_rate).where(tax_rate.c.tax_class_id.in_(wanted)).order_by(tax_rate.c.position)
    for row in tx.execute(query):
        tax = Tax(row.name, Decimal(row.percent), row.category, row.compound)
        taxes.setdefault(row.tax_class_id, []).append(Dated(tax, row.valid_from, row.valid_until))
    return Rates(names, {class_id: tuple(dated) for class_id, dated in taxes.items()})


def treated(taxes: tuple[Tax, ...], treatment: str, number_check: str) -> tuple[Tax, ...]:
    """What a subscriber with this treatment bears of `taxes`. Pure.

    `number_check` is subscriber.tax_number_check: without a check of the number there is no reverse charge, and tax is
    charged. What bears no tax anyway keeps its own reason for that.
    """
    if not any(tax.percent for tax in taxes):
        return taxes
    if treatment == "exempt":
        return (Tax(taxes[0].name, Decimal(0), "E"),)
    if treatment == "reverse_charge" and number_check:
        return (Tax(taxes[0].name, Decimal(0), "AE"),)
    return taxes


def _checked(rates: Sequence[Rate]) -> list[Tax]:
    if not rates:
        raise Refused("A tax class needs a rate; 0 % is one.", "rates")
    taxes: list[Tax] = []
    for rate in rates:
        name = rate.name.strip()
        if not name:
            raise Refused("A tax needs a name, as it is printed on invoices.", "rates")
        if name in (tax.name for tax in taxes):
            raise Refused(f"{name!r} is in the list twice.", "rates")
        if rate.category not in CATEGORIES:
            raise Refused(f"{rate.category!r} is not a tax category: {', '.join(CATEGORIES)}.", "rates")
        try:
            value = percent(rate.percent)
        except WrongBusinessSetting as wrong:
            raise Refused(str(wrong), "rates") from None
        # EN 16931 BR-S-5 and BR-Z-5, BR-E-5, …: a percentage and a reason for there being none exclude each other
        if (rate.category == "S") != (value > 0):
            raise Refused(
                f"{name} at {percent_text(value)} % cannot be category {rate.category}: "
                "S is for rates above 0 %, the others say why the rate is 0 %.",
                "rates",
            )
        taxes.append(Tax(name, value, rate.category, rate.compound))
    return taxes


def _insert(tx: Connection, class_id: int, taxes: Sequence[Tax], valid_from: date) -> None:
    rows = [
        {
            "tax_class_id": class_id,
            "position": position,
            "name": tax.name,
            "percent": percent_text(tax.percent),
            "category": tax.category,
            "compound": tax.compound,
            "valid_from": valid_from,
        }
        for position, tax in enumerate(taxes)
    ]
    tx.execute(insert(tax_rate), rows)


def _words(taxes: Sequence[Tax]) -> list[str]:
    return [f"{tax.name} {percent_text(tax.percent)} % {tax.category}{' compound' * tax.compound}" for tax in taxes]
