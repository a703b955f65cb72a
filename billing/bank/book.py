"""What a bank line is compared with: who owes what, how they are named, and which account paid for whom. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import date

from base.money import Money, total
from billing.allocation import OpenInvoice, allocate
from billing.bank.names import keys
from billing.bank.references import Named, Numbers


@dataclass(frozen=True, slots=True)
class Owed:
    """An open invoice."""

    invoice_id: int
    number: str
    due_on: date
    open: Money


@dataclass(frozen=True, slots=True)
class Payer:
    """A subscriber with what is open, the invoice due first at the front."""

    id: int
    number: str
    name: str
    owed: tuple[Owed, ...] = ()

    @property
    def total(self) -> int:
        """All that is open, in minor units."""
        return sum(each.open.minor for each in self.owed)


@dataclass(frozen=True, slots=True)
class Paid:
    """An invoice of which nothing is open any more."""

    invoice_id: int
    number: str
    subscriber_id: int
    total: Money


@dataclass(slots=True)
class Book:
    """Everybody who pays in one currency."""

    currency: str
    payers: dict[int, Payer] = field(default_factory=dict)
    paid: dict[int, Paid] = field(default_factory=dict)
    "By invoice; only those that a text may name."
    accounts: dict[str, dict[int, int]] = field(default_factory=dict)
    "IBAN -> subscriber -> how often it paid for them."
    numbers: Numbers = field(default_factory=Numbers)
    by_name: dict[str, set[int]] = field(default_factory=dict)
    "Of names.keys -> subscribers."
    by_sum: dict[int, set[int]] = field(default_factory=dict)
    "Minor units -> who owes just so much, in all or by one invoice."

    def put(self, payer: Payer) -> None:
        """Have a subscriber as they are now, in place of what was known."""
        known = self.payers.get(payer.id)
        if known is None:
            self.numbers.add(Named(payer.number, payer.id, None))
            for key in keys(payer.name):
                self.by_name.setdefault(key, set()).add(payer.id)
        else:
            for each in known.owed:
                if each not in payer.owed:
                    self.paid[each.invoice_id] = Paid(each.invoice_id, each.number, payer.id, each.open)
            for minor in sums_of(known):
                self.by_sum[minor].discard(payer.id)
        self.payers[payer.id] = payer
        for each in payer.owed:
            self.paid.pop(each.invoice_id, None)
            self.numbers.add(Named(each.number, payer.id, each.invoice_id))
        for minor in sums_of(payer):
            self.by_sum.setdefault(minor, set()).add(payer.id)

    def put_paid(self, invoices: Iterable[Paid]) -> None:
        """Have invoices known that are paid."""
        for each in invoices:
            self.paid[each.invoice_id] = each
            self.numbers.add(Named(each.number, each.subscriber_id, each.invoice_id))

    def pay(self, subscriber_id: int, amount: Money, invoice_ids: Collection[int]) -> None:
        """Foresee what a payment settles, by the rules by which billing.settle does it."""
        payer = self.payers[subscriber_id]
        waiting = [OpenInvoice(each.invoice_id, each.number, each.due_on, each.open, each.open) for each in payer.owed]
        paid = dict(allocate(amount, waiting, invoice_ids))
        nothing = Money(0, amount.currency)
        left = (replace(each, open=each.open - paid.get(each.invoice_id, nothing)) for each in payer.owed)
        self.put(replace(payer, owed=tuple(each for each in left if each.open)))

    def learn(self, iban: str, subscriber_id: int) -> None:
        """An account has paid for somebody once more."""
        if iban:
            times = self.accounts.setdefault(iban, {})
            times[subscriber_id] = times.get(subscriber_id, 0) + 1

    def forget(self, iban: str, subscriber_id: int) -> None:
        """What was learned last was not so."""
        if iban:
            times = self.accounts[iban]
            times[subscriber_id] -= 1
            if not times[subscriber_id]:
                del times[subscriber_id]


def sums_of(payer: Payer) -> set[int]:
    """What of a payer's debt can be paid exactly: one invoice, or all."""
    return {each.open.minor for each in payer.owed} | ({payer.total} if payer.owed else set())


def sum_of(owed: Iterable[Owed], currency: str) -> Money:
    """What some invoices leave open together."""
    return total((each.open for each in owed), currency)
