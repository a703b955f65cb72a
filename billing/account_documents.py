"""Statements of account, reminders and vouchers as their documents show them, and how the first two are loaded."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, select

from base.calendar import Period
from base.money import Money, total
from base.tables import subscriber
from billing.instalments.agreed import in_plan
from billing.ledger import statement as ledger_lines
from billing.own_words import say
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
    "The day on which services are walled in (past: since when they are); None when none is at stake."
    kind: str = "reminder_1"
    "due_notice, reminder_1, reminder_2 or final_notice."
    reduce_on: date | None = None
    "The day on which the line gets slower, where this letter names it."
    end_on: date | None = None
    "The day on which the contract ends, where this letter names it."
    fee: Money | None = None
    "A late fee that came with it."
    fee_ahead: Money | None = None
    "The late fee that the next letter brings."

    @property
    def owed(self) -> Money:
        """Everything that is overdue."""
        return total((each.open for each in self.items), self.items[0].open.currency)

    @property
    def pay_by(self) -> date | None:
        """The last day on which a payment is in time."""
        taken = [day for day in (self.reduce_on, self.wall_on) if day is not None and self.written_on < day]
        return min(taken) - timedelta(days=1) if taken else None

    @property
    def walled(self) -> bool:
        """Whether the day of the wall has come."""
        return self.wall_on is not None and self.wall_on <= self.written_on

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


def load_statement(
    tx: Connection, subscriber_id: int, period: Period, made_on: date, language: str = "en"
) -> Statement:
    """The account of a subscriber over the days of `period`. LookupError when there is no such subscriber."""
    buyer, currency = _buyer(tx, subscriber_id)
    nothing = opening = Money(0, currency)
    rows = []
    for line in ledger_lines(tx, subscriber_id):
        if line.day < period.start:
            opening = line.balance
        elif line.day < period.end:
            charged, credited = (line.amount, nothing) if nothing < line.amount else (nothing, -line.amount)
            rows.append(StatementRow(line.day, say(line.text, language), charged, credited, line.balance))
    return Statement(buyer, period, made_on, opening, tuple(rows))


def load_reminder(
    tx: Connection, subscriber_id: int, written_on: date, wall_on: date | None, *, due_too: bool = False
) -> Reminder | None:
    """What is overdue on a day (`due_too`: or due); None when nothing is. LookupError for no subscriber."""
    buyer, _ = _buyer(tx, subscriber_id)
    query = (
        select(invoice.c.number, invoice.c.due_on, invoice.c.total_minor, open_item.c.open_minor, open_item.c.currency)
        .join(open_item, open_item.c.invoice_id == invoice.c.id)
        .where(open_item.c.subscriber_id == subscriber_id, open_item.c.due_on < written_on + timedelta(days=due_too))
        .where(~in_plan())  # what is paid in parts, as agreed, is not overdue
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
