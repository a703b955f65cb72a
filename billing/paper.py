"""What documents keep as of their issue: who sold to whom, and the taxes of each line; as JSON and back."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from base.business import Business
from base.money import Money
from base.tables import subscriber
from billing.tax import Tax, TaxGroup, percent_text


def seller_of(business: Business) -> dict[str, str]:
    """The provider: name, address (several lines), tax_number, country."""
    return {
        "name": business.company_name,
        "address": business.company_address,
        "tax_number": business.company_tax_number,
        "country": business.company_country,
    }


def buyer_of(payer: Row[Any]) -> dict[str, str]:
    """A row of `subscriber`: name, address (several lines), number (of the account), tax_number, country.

    And exemption_reason, of who is exempt.
    """
    names = ("name", "address", "number", "tax_number", "country")
    reason = {"exemption_reason": payer.exemption_reason} if payer.tax_treatment == "exempt" else {}
    return {name: getattr(payer, name) for name in names} | reason


def language_of(tx: Connection, business: Business, subscriber_id: int | None) -> str:
    """The language of the subscriber's documents: their own, else the provider's."""
    own = tx.scalar(select(subscriber.c.language).where(subscriber.c.id == subscriber_id))
    return own or business.language


def groups_to_json(groups: Iterable[TaxGroup]) -> list[dict[str, Any]]:
    """The tax table of a document."""
    return [
        {
            "name": group.name,
            "percent": percent_text(group.percent),
            "category": group.category,
            "net_minor": group.net.minor,
            "tax_minor": group.tax.minor,
        }
        for group in groups
    ]


def groups_from_json(rows: Iterable[dict[str, Any]], currency: str) -> tuple[TaxGroup, ...]:
    """The tax table of a document as it was stored."""
    return tuple(
        TaxGroup(
            name=row["name"],
            percent=Decimal(row["percent"]),
            category=row["category"],
            net=Money(row["net_minor"], currency),
            tax=Money(row["tax_minor"], currency),
        )
        for row in rows
    )


def taxes_to_json(taxes: Iterable[Tax]) -> list[dict[str, Any]]:
    """The taxes that a line bears."""
    return [
        {
            "name": tax.name,
            "percent": percent_text(tax.percent),
            "category": tax.category,
            "compound": tax.compound,
        }
        for tax in taxes
    ]


def taxes_from_json(rows: Iterable[dict[str, Any]]) -> tuple[Tax, ...]:
    """The taxes of a line as they were stored."""
    return tuple(Tax(row["name"], Decimal(row["percent"]), row["category"], row["compound"]) for row in rows)
