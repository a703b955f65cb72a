"""Invented facts for every kind of mail: what a template can count on, and what it is tried with before it is saved."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from base.access import Reason
from base.calendar import Period
from base.money import Money
from billing.tax import TaxGroup

_LINK = "https://portal.example/invoices/7"
_NOTHING = Money(0, "EUR")
_WHO = {"name": "Ada Lovelace", "link": _LINK}
_LINE = {"text": "Home 100 (ada)", "period": Period(date(2026, 3, 1), date(2026, 4, 1)), "net": Money(2999, "EUR")}
_CHARGE = {"text": "Router", "period": None, "net": Money(5000, "EUR")}
_INVOICE = {
    **_WHO,
    "number": "INV-000007",
    "issued_on": date(2026, 2, 28),
    "due_on": date(2026, 3, 14),
    "lines": [_LINE, _CHARGE],
    "taxes": [TaxGroup("VAT", Decimal(20), "S", Money(7999, "EUR"), Money(1600, "EUR"))],
    "total": Money(9599, "EUR"),
    "open": Money(9599, "EUR"),
    "charge": None,
}
_CHARGED = {"card": "Visa … 4242", "on": date(2026, 3, 14)}
_REMINDER = {
    **_WHO,
    "number": "INV-000007",
    "due_on": date(2026, 3, 14),
    "open": Money(9599, "EUR"),
    "owed": Money(9599, "EUR"),
    "reduce_on": date(2026, 3, 28),
    "wall_on": date(2026, 4, 4),
    "end_on": date(2026, 6, 14),
    "pay_by": date(2026, 4, 3),
    "walled": False,
    "fee": Money(500, "EUR"),
    "fee_ahead": Money(500, "EUR"),
}
_REMINDERS: tuple[dict[str, Any], ...] = (
    _REMINDER,
    {
        **_REMINDER,
        **dict.fromkeys(("reduce_on", "wall_on", "end_on", "pay_by", "fee", "fee_ahead")),
        "owed": Money(12000, "EUR"),
    },
    {**_REMINDER, "walled": True},
)
_RECEIPT = {
    "name": "Ada Lovelace",
    "receipt_number": "R-000003",
    "received_on": date(2026, 3, 20),
    "amount": Money(10000, "EUR"),
    "settled": [{"number": "INV-000007", "amount": Money(9599, "EUR")}],
    "counts_on": None,
    "owed": Money(-401, "EUR"),
    "nothing": _NOTHING,
}
_CREDIT_NOTE = {
    "name": "Ada Lovelace",
    "number": "CN-000002",
    "issued_on": date(2026, 3, 10),
    "invoice_number": "INV-000007",
    "reason": "Outage from 3 to 5 March",
    "lines": [{**_LINE, "period": Period(date(2026, 3, 3), date(2026, 3, 6)), "net": Money(290, "EUR")}],
    "taxes": [TaxGroup("VAT", Decimal(20), "S", Money(290, "EUR"), Money(58, "EUR"))],
    "total": Money(348, "EUR"),
    "owed": Money(9251, "EUR"),
    "nothing": _NOTHING,
}
_STATEMENT = {
    **_WHO,
    "number": "00007",
    "period": Period(date(2026, 1, 1), date(2026, 4, 1)),
    "closing": Money(9599, "EUR"),
    "nothing": _NOTHING,
}
_ACCESS = {
    **_WHO,
    "login": "ada",
    "at": datetime(2026, 4, 4, tzinfo=UTC),
    "reasons": [Reason.DEBT.for_subscriber],
    "owed": Money(9599, "EUR"),
    "nothing": _NOTHING,
}
_SAID = "There was not enough money on your card. We will try again."
_CARD = {**_WHO, "card": "Visa … 4242"}
_PLAN = {
    **_WHO,
    "numbers": ["INV-000007", "INV-000008"],
    "total": Money(9599, "EUR"),
    "parts": [
        {"due_on": date(2026, 4, 10), "amount": Money(4800, "EUR")},
        {"due_on": date(2026, 5, 10), "amount": Money(4799, "EUR")},
    ],
    "grace_days": 3,
    "card": "Visa … 4242",
}
_BACK = {
    **_WHO,
    "what": "refund",
    "way": "card",
    "amount": Money(9599, "EUR"),
    "number": "R-000003",
    "reopened": ["INV-000007"],
    "owed": Money(9599, "EUR"),
    "nothing": _NOTHING,
}
_USAGE = {**_WHO, "login": "ada", "cap": 500 * 10**9, "renews_on": date(2026, 4, 1)}

SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "welcome": (
        {**_WHO, "number": "00007", "plan": "Home 100", "login": "ada", "starts_on": date(2026, 3, 1)},
    ),
    "invoice": (
        _INVOICE,
        {**_INVOICE, "charge": _CHARGED},
        {**_INVOICE, "open": Money(500, "EUR")}, {**_INVOICE, "open": _NOTHING, "taxes": []},
    ),
    "receipt": (
        _RECEIPT,
        {**_RECEIPT, "owed": _NOTHING},
        {**_RECEIPT, "owed": Money(100, "EUR"), "settled": [], "counts_on": date(2026, 3, 27)},
    ),
    "credit_note": (
        _CREDIT_NOTE, {**_CREDIT_NOTE, "owed": Money(-348, "EUR"), "taxes": []}, {**_CREDIT_NOTE, "owed": _NOTHING},
    ),
    "statement": (_STATEMENT, {**_STATEMENT, "closing": Money(-401, "EUR")}, {**_STATEMENT, "closing": _NOTHING}),
    "due_notice": _REMINDERS,
    "reminder_1": _REMINDERS,
    "reminder_2": _REMINDERS,
    "final_notice": _REMINDERS,
    "suspended": (_ACCESS, {**_ACCESS, "owed": _NOTHING, "reasons": [Reason.STAFF_SUSPENDED.for_subscriber]}),
    "restored": ({**_ACCESS, "owed": _NOTHING, "reasons": []},),
    "card_failed": (
        {**_CARD, "amount": Money(9599, "EUR"), "retry_on": date(2026, 3, 17), "reason": _SAID},
        {**_CARD, "amount": Money(9599, "EUR"), "retry_on": None, "reason": _SAID},
    ),
    "card_expiring": ({**_CARD, "expires": "04/2026"},),
    "promise_accepted": ({**_WHO, "amount": Money(9599, "EUR"), "until": date(2026, 4, 10)},),
    "instalment_plan": (_PLAN, {**_PLAN, "card": None, "grace_days": 1}),
    "money_back": (
        _BACK,
        {**_BACK, "way": "cash", "reopened": [], "owed": _NOTHING},
        {**_BACK, "what": "refund_failed", "reopened": [], "owed": _NOTHING},
        {**_BACK, "what": "reversed", "way": "cheque"},
        {**_BACK, "what": "moved", "way": "transfer"},
        {**_BACK, "what": "dispute_lost"},
    ),
    "usage_80": ({**_USAGE, "used": 400 * 10**9, "percent": 80},),
    "usage_100": ({**_USAGE, "used": 500 * 10**9, "percent": 100},),
}  # fmt: skip
"Values of each kind, the first as they mostly are, the others with everything that can be missing or differ."
