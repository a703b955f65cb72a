"""The trial balance: of each account what it had, what was booked, and what it has; together nothing."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, case, func, select

from base.money import Money
from billing.accounts import BY_KEY
from billing.codes import load_codes
from billing.tables import entry, posting


@dataclass(frozen=True, slots=True)
class Balance:
    """One account, of one tax class where it has those; debits are positive, credits negative."""

    account: str
    tax_class_id: int | None
    code: str
    opening: Money
    debits: Money
    credits: Money
    "Not negative: what was booked on the credit side."

    @property
    def closing(self) -> Money:
        """What it has after the last day."""
        return self.opening + self.debits - self.credits


def trial_balance(tx: Connection, start: date, end: date) -> list[Balance]:
    """Every account that moved before `end`, in the order of the chart: opening before `start`, booked [start, end).

    Income and expense run on from year to year: there is no closing entry at a year's end, take the year's movements.
    """
    booked = case((entry.c.day >= start, posting.c.amount_minor), else_=0)
    query = (
        select(
            posting.c.account,
            posting.c.tax_class_id,
            posting.c.currency,
            func.sum(case((entry.c.day < start, posting.c.amount_minor), else_=0)).label("opening"),
            func.sum(func.greatest(booked, 0)).label("debits"),
            func.sum(func.greatest(-booked, 0)).label("credits"),
        )
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(entry.c.day < end)
        .group_by(posting.c.account, posting.c.tax_class_id, posting.c.currency)
    )
    codes = load_codes(tx)
    found = [
        Balance(
            row.account,
            row.tax_class_id,
            codes.of(row.account, row.tax_class_id),
            *(Money(int(minor), row.currency) for minor in (row.opening, row.debits, row.credits)),
        )
        for row in tx.execute(query)
    ]
    order = {key: place for place, key in enumerate(BY_KEY)}
    return sorted(found, key=lambda each: (each.opening.currency, order[each.account], each.tax_class_id or 0))


def balances_before(tx: Connection, end: date) -> list[dict[str, str | int | None]]:
    """What each account has before a day, as the closing of a month keeps it."""
    query = (
        select(
            posting.c.account,
            posting.c.tax_class_id,
            posting.c.currency,
            func.sum(posting.c.amount_minor).label("minor"),
        )
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(entry.c.day < end)
        .group_by(posting.c.account, posting.c.tax_class_id, posting.c.currency)
        .order_by(posting.c.account, posting.c.tax_class_id, posting.c.currency)
    )
    return [{**row._mapping, "minor": int(row.minor)} for row in tx.execute(query)]
