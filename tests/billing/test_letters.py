"""The words of the mails: amounts, dates, what happens next, and nothing that breaks a header."""

from datetime import date
from decimal import Decimal

from base.business import Business
from base.calendar import Period
from base.money import Money
from billing.letters import invoice_letter, receipt_letter, reminder_letter
from billing.tax import TaxGroup

BUSINESS = Business(company_name="Réseau\nNord", support_contact="+33 1 23 45 67 89", language="en_GB")
LINK = "http://127.0.0.1:8080/invoices/7"


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def invoice_text(open: Money) -> str:
    letter = invoice_letter(
        BUSINESS,
        name="Zoë <b>",
        number="INV-000007",
        issued_on=date(2026, 2, 27),
        due_on=date(2026, 3, 13),
        lines=[("Home 100 (zoe)", Period(date(2026, 2, 28), date(2026, 3, 31)), eur(2999))],
        taxes=[TaxGroup("VAT", Decimal("20"), "S", eur(2999), eur(600))],
        total=eur(3599),
        open=open,
        link=LINK,
    )
    assert letter.subject == "Invoice INV-000007 from Réseau Nord: €35.99"
    assert letter.body.startswith("Dear Zoë <b>,\n\n")
    assert letter.body.endswith("\n\nRéseau\nNord\n+33 1 23 45 67 89\n")
    assert LINK in letter.body
    return letter.body


def test_an_invoice_says_what_for_how_much_and_until_when():
    body = invoice_text(eur(3599))
    assert "  Home 100 (zoe), 28 Feb 2026 to 30 Mar 2026: €29.99\n  VAT 20 %: €6.00\n" in body
    assert "Please pay it by 13 Mar 2026." in body


def test_an_invoice_tells_what_credit_has_settled():
    assert "Your credit has settled €5.00 of it. Please pay €30.99 by 13 Mar 2026." in invoice_text(eur(3099))
    assert "there is nothing to pay" in invoice_text(eur(0))


def reminder_text(**changed: object) -> str:
    values = {
        "name": "Zoë",
        "number": "INV-000007",
        "due_on": date(2026, 3, 13),
        "open": eur(3099),
        "owed": eur(3099),
        "wall_on": date(2026, 3, 20),
        "today": date(2026, 3, 16),
        "link": LINK,
    }
    return reminder_letter(BUSINESS, **{**values, **changed}).body


def test_a_reminder_says_what_happens_and_when():
    body = reminder_text()
    assert "Invoice INV-000007 was due on 13 Mar 2026, and €30.99 of it has not reached us yet." in body
    assert "Please pay by 19 Mar 2026." in body
    assert "from 20 Mar 2026 on your connection will reach only the pages where you can pay" in body
    assert f"Pay here: {LINK}" in body
    assert "Together" not in body
    assert "Together with your other open invoices you owe €66.98." in reminder_text(owed=eur(6698))


def test_a_reminder_that_comes_late_does_not_announce_the_past():
    body = reminder_text(today=date(2026, 3, 20))
    assert "Since 20 Mar 2026 your connection reaches only the pages" in body
    assert "Please pay by" not in body


def test_a_reminder_without_a_service_at_stake_threatens_nothing():
    assert "connection" not in reminder_text(wall_on=None)


def test_a_receipt_says_what_was_settled_and_what_is_left():
    def text(owed: Money) -> str:
        letter = receipt_letter(
            BUSINESS,
            name="Zoë",
            receipt_number="R-000003",
            received_on=date(2026, 3, 21),
            amount=eur(4000),
            settled=[("INV-000007", eur(3099))],
            owed=owed,
        )
        assert "we received €40.00 on 21 Mar 2026 (receipt R-000003).\n  Invoice INV-000007: €30.99\n" in letter.body
        return letter.body

    assert "You still owe €1.00." in text(eur(100))
    assert "€9.01 stay as your credit" in text(eur(-901))
    assert "Everything is paid." in text(eur(0))
