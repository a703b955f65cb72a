"""What commands about customers and money work with: one transaction, and sentences instead of tracebacks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # every command imports this module, and few need these
    from datetime import date

    from sqlalchemy import Connection

    from base.business import Business
    from base.crypto import Vault
    from base.money import Money

ACTOR = "console"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every command here works with."""

    tx: "Connection"
    vault: "Vault"
    business: "Business"

    @property
    def today(self) -> "date":
        """The provider's date."""
        from base import clock
        from base.calendar import local_date

        return local_date(clock.now(), self.business.zone)

    def day(self, text: str | None) -> "date":
        """A date such as 2026-03-31; None: today."""
        from datetime import date

        try:
            return self.today if text is None else date.fromisoformat(text)
        except ValueError:
            raise click.ClickException(f"{text!r} is not a date such as 2026-03-31.") from None

    def money(self, text: str, currency: str | None = None) -> "Money":
        """An amount such as 29.99 in the provider's currency or another."""
        from base.i18n import parse_money

        try:
            return parse_money(text, currency or self.business.currency)
        except ValueError as error:
            raise click.ClickException(str(error)) from None

    def shown(self, money: "Money") -> str:
        """An amount in the provider's language."""
        from base.i18n import format_money

        return format_money(money, self.business.language)


@contextmanager
def desk_of_console() -> Iterator[Desk]:
    """One transaction; what is refused becomes a sentence, and nothing is kept of it."""
    from base.business import load_business
    from base.crypto import open_vault
    from base.database import transaction
    from billing.refused import Refused
    from console.cli import _ready

    vault = open_vault(_ready("console").secret_keys)
    try:
        with transaction() as tx:
            yield Desk(tx, vault, load_business(tx, vault))
    except Refused as refused:
        raise click.ClickException(str(refused)) from None


def whole(text: str) -> int:
    """A number such as 30; else a sentence."""
    if not text.isdigit():
        raise click.ClickException(f"{text!r} is not a whole number.")
    return int(text)


def one(desk: Desk, query: Any, sentence: str) -> Any:
    """The one row of a query; else the sentence."""
    row = desk.tx.execute(query).one_or_none()
    if row is None:
        raise click.ClickException(sentence)
    return row


def find_subscriber(desk: Desk, number: str) -> int:
    """The id behind an account number; else a sentence."""
    from sqlalchemy import select

    from base.tables import subscriber

    query = select(subscriber.c.id).where(subscriber.c.number == number)
    return int(one(desk, query, f"There is no subscriber with the account number {number!r}.").id)


def find_plan(desk: Desk, named: str) -> Any:
    """The row of a plan by its name or its id; else a sentence."""
    from sqlalchemy import or_, select

    from base.offers import plan

    same = plan.c.name == named
    query = select(plan).where(or_(same, plan.c.id == int(named)) if named.isdecimal() else same)
    # a name before an id that looks like it
    return one(desk, query.order_by(~same).limit(1), f"There is no plan {named!r}; `tollkeeper plan list` shows them.")


def find_tax_class(desk: Desk, name: str | None) -> int | None:
    """The id of a tax class by its name; else a sentence. None for none."""
    from sqlalchemy import select

    from base.offers import tax_class

    if name is None:
        return None
    query = select(tax_class.c.id).where(tax_class.c.name == name)
    return int(one(desk, query, f"There is no tax class {name!r}; `tollkeeper tax list` shows them.").id)
