"""The chart of accounts, and the codes they have until the accountant gives others. Pure.

A posting names an account by its key. Personal accounts name a subscriber too; revenue and unearned name a tax class.
Balances are debit positive, credit negative; an account's normal side says which of the two is usual.
"""

from dataclasses import dataclass
from typing import Literal

from billing.gateway.offers import resting_places

Type = Literal["asset", "liability", "income", "expense", "equity"]
Side = Literal["debit", "credit"]


@dataclass(frozen=True, slots=True)
class Account:
    """One account: its key in postings, its name for people, and what it holds."""

    key: str
    name: str
    type: Type
    code: str
    "By default."
    holds: str
    personal: bool = False
    "Its postings name a subscriber."
    by_tax_class: bool = False
    "Its postings name the tax class of what was sold; none for what was booked before that was kept."

    @property
    def normal_side(self) -> Side:
        """Where its balance usually lies."""
        return "debit" if self.type in ("asset", "expense") else "credit"


CHART: tuple[Account, ...] = (
    Account("cash", "Cash", "asset", "1000", "Money in the till."),
    Account("bank", "Bank", "asset", "1200", "Money received by transfer."),
    Account("cheques", "Cheques under way", "asset", "1330", "Cheques that do not count yet: good, or bounced, later."),
    *(Account(each.account, each.name, "asset", each.code, each.holds) for each in resting_places().values()),
    Account("disputed", "Disputed card payments", "asset", "1361", "Withdrawn by Stripe until a dispute is decided."),
    Account("payouts", "Payouts on the way", "asset", "1365", "Paid out by Stripe, until the bank has it."),
    Account("receivable", "Receivables", "asset", "1400", "What subscribers owe by open invoices.", personal=True),
    Account(
        "customer_credit", "Customer credit", "liability", "1718",
        "Payments, top-ups and credit notes that no invoice has used yet.", personal=True,
    ),
    Account(
        "cheque_credit", "Credit for cheques under way", "liability", "1719",
        "What cheques under way will be worth once they count.", personal=True,
    ),
    Account("deposits", "Deposits", "liability", "1732", "Theirs until the service ends.", personal=True),
    Account(
        "suspense", "Suspense", "liability", "1370",
        "Moved at Stripe by other business on the same account, until somebody says whose it is.",
    ),
    Account("vouchers_sold", "Vouchers sold", "liability", "1716", "Prepaid vouchers until they are used."),
    Account("tax", "Tax", "liability", "1776", "Tax on what was sold, due to the state."),
    Account(
        "unearned", "Unearned revenue", "liability", "1900",
        "At a month's end: what was invoiced for days after it.", by_tax_class=True,
    ),
    Account("revenue", "Revenue", "income", "4400", "What was invoiced, less what was credited.", by_tax_class=True),
    Account("vouchers_lapsed", "Lapsed vouchers", "income", "4960", "Sold, never redeemed, and void."),
    Account("recovered", "Recovered debts", "income", "4925", "Paid after it had been written off."),
    Account(
        "promotions", "Promotions", "expense", "6605", "Vouchers given away, and rebates to who sells them."
    ),
    Account("bad_debt", "Bad debt", "expense", "6930", "What was written off."),
    Account("gateway_fees", "Gateway fees", "expense", "6855", "What Stripe keeps for itself."),
    Account(
        "exchange", "Currency exchange", "expense", "6880", "What Stripe exchanged: one currency in, the other out."
    ),
    Account("cash_difference", "Cash differences", "expense", "6965", "Counted in the till less than was booked."),
    Account("opening", "Opening balances", "equity", "9000", "The other side of debts and credits taken over."),
    Account("rounding", "Rounding", "expense", "6960", "Small differences when money is moved or changed."),
)  # fmt: skip

BY_KEY = {each.key: each for each in CHART}
ACCOUNTS = tuple(BY_KEY)
PERSONAL = tuple(each.key for each in CHART if each.personal)
BY_TAX_CLASS = tuple(each.key for each in CHART if each.by_tax_class)
CLEARING = {name: each.account for name, each in resting_places().items()}
"Payment gateway -> the account in which its money lies until it is paid out."
