"""Whatever is done in whatever order: the ledger sums to nothing, the trial balance too, and no law is broken."""

from datetime import date, timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from base.business import load_business
from base.calendar import add_months
from base.database import transaction
from base.money import Money
from billing.close import close_month, closed_months, reopen_month
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import credits_by_subscriber, open_by_subscriber
from billing.tables import entry, invoice, invoice_line, posting
from billing.trial_balance import trial_balance
from billing.write_offs import recover_invoice
from tests.billing.provider import Provider, noon

BEGIN = date(2026, 1, 10)
DEEDS = ("wait", "pay", "pay_named", "credit", "credit_part", "write_off", "write_off", "recover", "close", "reopen")
STEPS = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 2**16)), min_size=3, max_size=14)

EVERYTHING = [
    ("write_off", 0), ("pay", 4001), ("recover", 0), ("credit_part", 1), ("pay_named", 301), ("credit", 1),
    ("wait", 24), ("wait", 24), ("close", 0), ("reopen", 0), ("close", 0),
]  # fmt: skip


class House:
    """A provider with two subscribers, whose time goes on from one example to the next."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.today = BEGIN
        provider.travel(noon(BEGIN))
        plan, odd = provider.plan(price=3333), provider.plan(price=999, tax="7", in_arrears=True, price_inclusive=True)
        self.payers = [provider.subscriber("Anna"), provider.subscriber("Bert")]
        for payer in self.payers:
            provider.service(payer, plan, BEGIN)
            provider.service(payer, odd, BEGIN)
        issue_due(noon(BEGIN))
        self.done: set[str] = set()

    def do(self, deed: str, number: int) -> None:
        """One deed on something that `number` chooses; what is refused leaves nothing behind."""
        if deed == "wait":
            self.today += timedelta(days=1 + number % 25)
            self.provider.travel(noon(self.today))
            issue_due(noon(self.today))
            return
        try:
            with transaction() as tx:
                self._try(tx, deed, number)
        except Refused:
            return
        self.done.add(deed)

    def _try(self, tx, deed: str, number: int) -> None:
        vault, business, now = self.provider.vault, load_business(tx, self.provider.vault), noon(self.today)
        count = tx.scalar(select(func.count()).select_from(invoice))
        invoice_id = count - number % min(count, 6)  # one of the newest
        if deed in ("pay", "pay_named"):
            payer = self.payers[number % 2]
            record_payment(
                tx, vault, business,
                subscriber_id=payer, amount=Money(1 + number % 6000, "EUR"), method="transfer", author="staff:1",
                invoice_ids=[invoice_id] if deed == "pay_named" else [], now=now,
            )  # fmt: skip
        elif deed == "credit":
            credit_invoice(tx, vault, business, "staff:1", invoice_id, "whole", now)
        elif deed == "credit_part":
            lines = select(invoice_line.c.id).where(invoice_line.c.invoice_id == invoice_id)
            part = Money(1 + number % 900, "EUR")
            amounts = {tx.scalars(lines.order_by(invoice_line.c.id)).all()[0]: part}
            credit_invoice(tx, vault, business, "staff:1", invoice_id, "part", now, amounts)
        elif deed == "write_off":
            write_off_invoice(tx, vault, business, "staff:1", invoice_id, "lost", now)
        elif deed == "recover":
            recover_invoice(tx, vault, business, "staff:1", invoice_id, "found", now)
        elif deed == "close":
            close_month(tx, business, "staff:1", self.next_month(tx), now)
        else:
            reopen_month(tx, "staff:1", add_months(self.next_month(tx), -1), "mistake", now)

    @staticmethod
    def next_month(tx) -> date:
        """The first month that is open."""
        closed = closed_months(tx)
        return add_months(closed[-1].month, 1) if closed else BEGIN.replace(day=1)


def test_the_books_are_right_after_any_deeds(provider: Provider):
    house = House(provider)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(STEPS)
    @example(EVERYTHING)
    def any_deeds(steps: list[tuple[str, int]]) -> None:
        for deed, number in steps:
            house.do(deed, number)
        with transaction() as tx:
            assert check_books(tx) == []
            assert tx.scalar(select(func.sum(posting.c.amount_minor))) == 0
            month = house.next_month(tx)
            found = trial_balance(tx, month, add_months(month, 1))
            assert sum(each.opening.minor for each in found) == 0
            assert sum(each.closing.minor for each in found) == 0
            assert sum(each.debits.minor for each in found) == sum(each.credits.minor for each in found)
            # nobody owes while their own money lies unused, whatever was given up and came back
            assert not open_by_subscriber(tx, house.payers).keys() & credits_by_subscriber(tx, house.payers).keys()
            last = tx.scalar(select(func.max(entry.c.day)))
            balances = trial_balance(tx, last, last + timedelta(days=1))
            assert sum(each.closing.minor for each in balances if each.account == "unearned") == 0

    any_deeds()
    assert house.done >= set(DEEDS) - {"wait"}
