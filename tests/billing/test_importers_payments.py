"""Bank statements: each movement once, many at a time as one at a time."""

from datetime import date

from sqlalchemy import select

from base import tables
from base.money import Money
from billing.tables import invoice, message, open_item, payment
from tests.billing.importing import DEBTS, books, right, rows, said, take


def test_a_bank_statement_is_taken_once(people):
    right(take(people, "balances", DEBTS))
    data = (
        "subscriber,invoice,amount,date,note,reference\n"
        "1001,,10.00,2026-11-20,Berg,\n"
        "1001,,10.00,2026-11-20,Berg,\n"
        ",A-18,29.99,2026-11-21,,TX-1\n"
    )
    report = take(people, "payments", data)
    assert (right(report), report.sums) == ((3, 0), (("received", Money(4999, "EUR")),))
    assert report.notes == ("1 movements come more than once, letter for letter; each is taken as money of its own.",)
    found = rows(select(payment).where(payment.c.method == "transfer").order_by(payment.c.id))
    assert [(row.amount_minor, row.received_on) for row in found] == [
        (1000, date(2026, 11, 20)), (1000, date(2026, 11, 20)), (2999, date(2026, 11, 21)),
    ]  # fmt: skip
    left = {
        row.number: row.open_minor for row in rows(select(invoice.c.number, open_item.c.open_minor).join(open_item))
    }
    assert left == {"A-17": 999, "A-18": 100000}
    assert right(take(people, "payments", data)) == (0, 3)
    # the next statement overlaps
    later = "subscriber,invoice,amount,date,note,reference\n1001,,10.00,2026-11-20,Berg,\n1001,,9.99,2026-11-23,Berg,\n"
    assert right(take(people, "payments", later)) == (1, 1)
    assert books() == []


def test_faults_of_payments(people):
    right(take(people, "balances", DEBTS))
    head = "subscriber,invoice,amount,date,reference\n"
    right(take(people, "payments", head + "1001,,5,2026-11-20,TX-1\n"))
    report = take(
        people,
        "payments",
        head
        + "9,,5,2026-11-20,\n"
        + "1001,A-99,5,2026-11-20,\n"
        + "1002,A-17,5,2026-11-20,\n"
        + "1001,,5,2026-11-20,TX-2\n"
        + "1001,,5,2026-11-20,TX-2\n"
        + "1001,,6,2026-11-20,TX-1\n"
        + "1001,,0,2026-11-25,\n",
    )
    assert [(line, column) for line, column, _ in said(report)] == [
        (2, "subscriber"), (3, "invoice"), (4, "invoice"), (6, "reference"), (7, "reference"), (8, "amount"),
        (8, "date"),
    ]  # fmt: skip


def test_many_payments_are_recorded_as_each_alone_would_be(people):
    """Two of the same payer in one file: each receipt says what that one paid, and what was owed after it."""
    right(take(people, "services", "subscriber,login,password,plan,starts_on,paid_until\n"
          "1001,a,b,Home 1,2023-01-01,2027-06-01\n1002,c,d,Home 1,2023-01-01,2027-06-01\n"))  # fmt: skip
    right(take(people, "balances", DEBTS + "1002;B-1;01.11.2026;05.11.2026;50,00\n", quiet_days=0))
    data = (
        "subscriber,invoice,amount,date,note\n"
        "1001,A-18,1000.00,2026-11-20,first\n1002,,37.50,2026-11-20,\n1001,,29.99,2026-11-21,second\n"
    )
    assert right(take(people, "payments", data)) == (3, 0)
    found = rows(select(payment).where(payment.c.method == "transfer").order_by(payment.c.id))
    assert [row.receipt_number for row in found] == ["R-000001", "R-000002", "R-000003"]
    words = {row.key: row.body for row in rows(select(message)) if row.kind == "receipt"}
    assert sorted(words) == sorted(f"receipt:{row.id}" for row in found)
    bodies = {row.note: words[f"receipt:{row.id}"] for row in found}
    assert ("A-18" in bodies["first"], "A-17" in bodies["first"]) == (True, False)
    assert ("A-18" in bodies["second"], "A-17" in bodies["second"]) == (False, True)
    assert "59.98" in bodies["first"]  # left of both then
    assert "29.99" in bodies["second"]
    jobs = {row.key for row in rows(select(tables.job.c.key).where(tables.job.c.kind == "render_document"))}
    assert jobs >= {f"document:receipt:{row.id}" for row in found}
    deeds = rows(select(tables.trail).where(tables.trail.c.act == "payment.recorded"))
    assert {row.detail["payment_id"] for row in deeds} == {row.id for row in found}
    assert [row.number for row in rows(select(invoice.c.number).join(open_item))] == ["A-18"]
    assert books() == []
