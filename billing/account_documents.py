"""Statements of account, reminders and vouchers as their documents show them, and how the first two are loaded."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, select

from base.calendar import Period
from base.money import Money, total
from base.tables import subscriber
from billing.ledger import statement as ledger_lines
from billing.tables import invoice, open_item


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One entry of the ledger, with what was owed after it."""

    day: date
    text: str
    charged: Money
    credited: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class Statement:
    """A subscriber's account over the days of a period."""

    buyer: dict[str, str]
    period: Period
    made_on: date
    opening: Money
    "What was owed before the period; negative: credit."
    lines: tuple[StatementRow, ...]

    @property
    def closing(self) -> Money:
        """What was owed at the period's end; negative: credit."""
        return self.lines[-1].balance if self.lines else self.opening

    @property
    def owes(self) -> bool:
        """Whether something was owed at the period's end."""
        return self.closing.minor > 0

    @property
    def charged(self) -> Money:
        """All that was charged in the period."""
        return total((line.charged for line in self.lines), self.opening.currency)

    @property
    def credited(self) -> Money:
        """All that was paid and credited in the period."""
        return total((line.credited for line in self.lines), self.opening.currency)


@dataclass(frozen=True, slots=True)
class Owed:
    """An overdue invoice."""

    number: str
    due_on: date
    total: Money
    open: Money


@dataclass(frozen=True, slots=True)
class Reminder:
    """What a subscriber is reminded of."""

    buyer: dict[str, str]
    written_on: date
    items: tuple[Owed, ...]
    "At least one, the oldest first."
    wall_on: date | None
    "The day on which services are walled in; None when none is at stake."

    @property
    def owed(self) -> Money:
        """Everything that is overdue."""
        return total((each.open for each in self.items), self.items[0].open.currency)

    @property
    def pay_by(self) -> date | None:
        """The last day on which a payment is in time."""
        return None if self.wall_on is None else self.wall_on - timedelta(days=1)

    @property
    def reference(self) -> str:
        """What a transfer names: the invoice, or the account where there are several."""
        return self.items[0].number if len(self.items) == 1 else self.buyer["number"]


@dataclass(frozen=True, slots=True)
class Voucher:
    """A card that is worth something: its code, its value in words, and the last day on which it is taken."""

    code: str
    value: str
    valid_until: date | None


def load_statement(tx: Connection, subscriber_id: int, period: Period, made_on: date) -> Statement:
    """The account of a subscriber over the days of `period`. LookupError when there is no such subscriber."""
    buyer, currency = _buyer(tx, subscriber_id)
    nothing = opening = Money(0, currency)
    rows = []
    for line in ledger_lines(tx, subscriber_id):
        if line.day < period.start:
            opening = line.balance
        elif line.day < period.end:
            charged, credited = (line.amount, nothing) if nothing < line.amount else (nothing, -line.amount)
            rows.append(StatementRow(line.day, line.text, charged, credited, line.balance))
    return Statement(buyer, period, made_on, opening, tuple(rows))


def load_reminder(tx: Connection, subscriber_id: int, written_on: date, wall_on: date | None) -> Reminder | None:
    """What is overdue on a day; None when nothing is. LookupError when there is no such subscriber."""
    buyer, _ = _buyer(tx, subscriber_id)
    query = (
        select(invoice.c.number, invoice.c.due_on, invoice.c.total_minor, open_item.c.open_minor, open_item.c.currency)
        .join(open_item, open_item.c.invoice_id == invoice.c.id)
        .where(open_item.c.subscriber_id == subscriber_id, open_item.c.due_on < written_on)
        .order_by(invoice.c.due_on, invoice.c.id)
    )
    items = tuple(
        Owed(row.number, row.due_on, Money(row.total_minor, row.currency), Money(row.open_minor, row.currency))
        for row in tx.execute(query)
    )
    return Reminder(buyer, written_on, items, wall_on) if items else None


def _buyer(tx: Connection, subscriber_id: int) -> tuple[dict[str, str], str]:
    row = tx.execute(
        select(subscriber.c.name, subscriber.c.address, subscriber.c.number, subscriber.c.currency).where(
            subscriber.c.id == subscriber_id
        )
    ).one_or_none()
    if row is None:
        raise LookupError(f"there is no subscriber {subscriber_id}")
    return {"name": row.name, "address": row.address, "number": row.number}, row.currency
