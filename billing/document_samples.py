"""Sample values for every kind of document: what a new template is tried with, and what a preview shows.

Between them they have every feature that a template may have to deal with: paid and open, several taxes, no period,
no address, reverse charge, an overdue letter with and without a date. Pure.
"""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from base.business import Business
from base.calendar import Period
from base.money import Money
from billing.account_documents import Owed, Reminder, Statement, StatementRow, Voucher
from billing.credit_documents import CreditNote
from billing.invoices import Invoice
from billing.lines import Line
from billing.own_words import say
from billing.paper import seller_of
from billing.receipts import Receipt, Settled
from billing.tax import Tax, TaxGroup

LINK = "https://portal.example/invoices/42"
MONTH = Period(date(2026, 11, 24), date(2026, 12, 24))
BUYER = {
    "name": "Zoë Lindqvist",
    "address": "Lange Reihe 7\n20099 Hamburg",
    "number": "00042",
    "tax_number": "",
    "country": "DE",
}
COMPANY = {**BUYER, "name": "Müller & Söhne <Funk> GmbH", "address": "", "tax_number": "ATU12345678", "country": "AT"}
VAT = Tax("VAT", Decimal("19"))
REVERSE = Tax("VAT", Decimal("0"), "AE")
STATE, COUNTY = Tax("State tax", Decimal("6.25")), Tax("County tax", Decimal("1.5"))


def samples(kind: str, business: Business, language: str = "en") -> list[dict[str, Any]]:
    """Values to fill the template of `kind` with, several times; 'document' and 'pay' are tried within an invoice."""
    seller = seller_of(business)
    made: dict[str, list[dict[str, Any]]] = {
        "invoice": [{"invoice": each, "link": LINK} for each in _invoices(seller)],
        "credit_note": [{"note": _credit_note(seller)}],
        "receipt": [{"receipt": each} for each in _receipts()],
        "statement": [{"statement": each, "link": LINK} for each in _statements(language)],
        "reminder": [{"reminder": each, "link": LINK} for each in _reminders()],
        "vouchers": [
            {"vouchers": [Voucher("K7QP-2MXD-94TA", "30 days", MONTH.end), Voucher("A", "€10.00", None)] * 13}
        ],
    }
    return [{"seller": seller, **each} for each in made.get(kind, made["invoice"])]


def _eur(minor: int) -> Money:
    return Money(minor, "EUR")


def _invoices(seller: dict[str, str]) -> list[Invoice]:
    lines = (
        Line("plan", 1, "Home 100 (zoe)", MONTH, _eur(2999), (VAT,)),
        Line("product", 1, "Static IPv4 address", MONTH, _eur(500), (VAT,), 2),
        Line("setup", None, "Set-up fee", None, _eur(2500), (VAT,)),
    )
    group = TaxGroup("VAT", VAT.percent, "S", _eur(5999), _eur(1140))
    first = Invoice(
        id=42, subscriber_id=42, number="INV-000042", issued_on=date(2026, 11, 23), due_on=date(2026, 12, 7),
        seller=seller, buyer=BUYER, lines=lines, taxes=(group,), net=_eur(5999), tax=_eur(1140), total=_eur(7139),
        open=_eur(7139),
    )  # fmt: skip
    taxed_twice = (
        TaxGroup(STATE.name, STATE.percent, "S", _eur(2999), _eur(187)),
        TaxGroup(COUNTY.name, COUNTY.percent, "S", _eur(2999), _eur(45)),
    )
    second = Invoice(
        id=43, subscriber_id=43, number="INV-000043", issued_on=date(2026, 11, 23), due_on=date(2026, 12, 7),
        seller=seller, buyer=COMPANY, lines=(Line("plan", 1, "Home 100 (m)", MONTH, _eur(2999), (STATE, COUNTY)),),
        taxes=taxed_twice, net=_eur(2999), tax=_eur(232), total=_eur(3231), open=_eur(1231),
    )  # fmt: skip
    third = Invoice(
        id=44, subscriber_id=43, number="INV-000044", issued_on=date(2026, 11, 23), due_on=date(2026, 12, 7),
        seller=seller, buyer=COMPANY, lines=(Line("plan", 1, "Home 100 (m)", MONTH, _eur(2999), (REVERSE,)),),
        taxes=(TaxGroup("VAT", Decimal("0"), "AE", _eur(2999), _eur(0)),), net=_eur(2999), tax=_eur(0),
        total=_eur(2999), open=_eur(0),
    )  # fmt: skip
    fourth = replace(
        third, id=45, number="INV-000045", buyer={**BUYER, "exemption_reason": "Embassy, section 4 no. 7"},
        taxes=(TaxGroup("VAT", Decimal("0"), "E", _eur(2999), _eur(0)),),
    )  # fmt: skip
    return [first, second, third, fourth]


def _credit_note(seller: dict[str, str]) -> CreditNote:
    return CreditNote(
        id=7, subscriber_id=42, number="CN-000007", issued_on=date(2026, 12, 5), invoice_id=42,
        invoice_number="INV-000042", invoice_issued_on=date(2026, 11, 23), reason="Outage from 1 to 3 December",
        seller=seller, buyer=BUYER,
        lines=(Line("plan", 1, "Home 100 (zoe)", Period(date(2026, 12, 1), date(2026, 12, 4)), _eur(300), (VAT,)),),
        taxes=(TaxGroup("VAT", VAT.percent, "S", _eur(300), _eur(57)),), net=_eur(300), tax=_eur(57), total=_eur(357),
    )  # fmt: skip


def _receipts() -> list[Receipt]:
    settled = (Settled("INV-000042", date(2026, 11, 23), _eur(7139)),)
    return [
        Receipt("R-000009", date(2026, 12, 1), "transfer", _eur(8000), BUYER, settled),
        Receipt("R-000010", date(2026, 12, 1), "cash", _eur(500), COMPANY, ()),
        Receipt("R-000011", date(2026, 12, 1), "cheque", _eur(500), COMPANY, (), date(2026, 12, 8)),
    ]


def _statements(language: str) -> list[Statement]:
    rows = (
        StatementRow(date(2026, 11, 23), say("Invoice INV-000042", language), _eur(7139), _eur(0), _eur(7139)),
        StatementRow(date(2026, 12, 1), say("Payment R-000009", language), _eur(0), _eur(5000), _eur(2139)),
    )
    quarter = Period(date(2026, 10, 1), date(2027, 1, 1))
    owes = Statement(BUYER, quarter, quarter.end, _eur(0), rows)
    return [
        owes,
        Statement(COMPANY, quarter, quarter.end, _eur(-1200), ()),
        Statement(BUYER, quarter, quarter.end, _eur(0), ()),
    ]


def _reminders() -> list[Reminder]:
    one = Owed("INV-000042", date(2026, 12, 7), _eur(7139), _eur(2139))
    return [
        Reminder(BUYER, date(2026, 12, 10), (one,), date(2026, 12, 21)),
        Reminder(COMPANY, date(2026, 12, 10), (one, one), None, "due_notice", fee_ahead=_eur(500)),
        Reminder(
            BUYER,
            date(2026, 12, 21),
            (one,),
            date(2027, 1, 4),
            "final_notice",
            reduce_on=date(2026, 12, 28),
            end_on=date(2027, 3, 1),
            fee=_eur(500),
        ),
        Reminder(BUYER, date(2026, 12, 21), (one,), date(2026, 12, 20), "reminder_2"),
    ]
