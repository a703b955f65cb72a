"""What other programs read: every transaction balances, every account is opened, nothing breaks out of its quotes."""

import csv
import re
from datetime import date
from decimal import Decimal
from io import StringIO

import pytest
from beancount.core.data import Open, Transaction
from beancount.loader import load_string
from sqlalchemy import text

from base.database import transaction
from base.money import Money
from base.offers import tax_class
from billing.codes import set_code
from billing.export import HEADER, export
from billing.invoices import issue_due
from billing.ledger import Entry, Posting, post, post_all
from billing.refused import Refused
from tests.billing.provider import Provider, noon

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
NASTY = '=HYPERLINK("http://x") ; \\ "quoted" | @me\nnext, line'


@pytest.fixture
def booked(provider: Provider) -> Provider:
    """An invoice, a payment, an entry with a nasty text, one in yen, and one of April."""
    provider.travel(noon(MARCH))
    anna = provider.subscriber()
    provider.service(anna, provider.plan(price=3100), MARCH)
    issue_due(noon(MARCH))
    provider.pay(anna, 5000)
    with transaction() as tx:
        set_code(tx, "staff:1", "revenue", "4400.1", 1)
        yen = [Posting("cash", None, Money(500, "JPY")), Posting("bank", None, Money(-500, "JPY"))]
        post(tx, date(2026, 3, 5), NASTY, "odd:1", yen)
        post(tx, APRIL, "Later", "odd:2", yen)
    return provider


def exported(form: str) -> str:
    with transaction() as tx:
        return "".join(export(tx, MARCH, APRIL, form))


def test_csv_is_read_by_a_reader_of_csv_and_starts_no_formula(booked: Provider):
    with transaction() as tx:
        tx.execute(tax_class.update().values(name="+cmd|' /C calc'!A0"))
    header, *rows = list(csv.reader(StringIO(exported("csv"), newline="")))
    assert tuple(header) == HEADER
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["account"], row["code"], row["subscriber"], row["debit"], row["credit"]) for row in found[:3]] == [
        ("receivable", "1400", "00001", "37.20", ""),
        ("revenue", "4400.1", "", "", "31.00"),
        ("tax", "1776", "", "", "6.20"),
    ]
    assert found[1]["tax_class"] == "'+cmd|' /C calc'!A0"
    (odd,) = {row["text"] for row in found if row["source"] == "odd:1"}
    assert odd == f"'{NASTY}"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    for entry_id in {row["entry"] for row in found}:
        sides = [row for row in found if row["entry"] == entry_id]
        assert sum(Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0) for row in sides) == 0
    assert {row["day"] for row in found} == {"2026-03-01", "2026-03-05"}


ACCOUNT = r"(?:Assets|Liabilities|Income|Expenses)(?::[A-Z0-9][\w-]*)+"


def beancount(source: str) -> tuple[dict[str, str], list[tuple[str, str, list[tuple[str, Decimal, str]]]]]:
    """(opened accounts with their codes, transactions), as Beancount itself reads and checks them."""
    entries, errors, _ = load_string(source)
    assert errors == []
    opened = {each.account: each.meta["code"] for each in entries if isinstance(each, Open)}
    made = [
        (
            str(each.date),
            each.narration,
            [(side.account, side.units.number, side.units.currency) for side in each.postings],
        )
        for each in entries
        if isinstance(each, Transaction)
    ]
    return opened, made


def hledger(source: str) -> tuple[set[str], list[tuple[str, str, list[tuple[str, Decimal, str]]]]]:
    """(declared accounts, transactions): two spaces end an account's name, ';' begins a comment."""
    declared: set[str] = set()
    made: list[tuple[str, str, list[tuple[str, Decimal, str]]]] = []
    for line in source.split("\n"):
        body, _, _ = line.partition(";")
        if match := re.fullmatch(rf"account ({ACCOUNT})\s*", body):
            declared.add(match[1])
        elif match := re.fullmatch(r"(\d{4}-\d\d-\d\d) \* \(([^)]*)\) ([^|]*)", body):
            made.append((match[1], match[3].strip(), []))
        elif match := re.fullmatch(rf"    ({ACCOUNT})  (-?\d+(?:\.\d+)?) ([A-Z]{{3}})\s*", body):
            assert match[1] in declared
            made[-1][2].append((match[1], Decimal(match[2]), match[3]))
        else:
            assert re.fullmatch(r"commodity \d+\.\d* [A-Z]{3}|", body), line
    return declared, made


@pytest.mark.parametrize("parse", [beancount, hledger])
def test_journals_balance_and_open_what_they_use(booked: Provider, parse):
    opened, made = parse(exported(parse.__name__))
    assert "Income:4400-1-Revenue-20" in opened
    assert [(day, text_) for day, text_, _ in made][:2] == [
        ("2026-03-01", "Invoice INV-000001"),
        ("2026-03-01", "Payment R-000001"),
    ]
    assert len(made) == 4  # invoice, payment, its use, the odd one; April stays out
    for _, _, sides in made:
        for currency in {currency for _, _, currency in sides}:
            assert sum(amount for _, amount, of in sides if of == currency) == 0
    day, words, sides = made[-1]
    assert (day, sides[0]) == ("2026-03-05", ("Assets:1000-Cash", Decimal(500), "JPY"))
    assert "HYPERLINK" in words
    assert "\n" not in words
    if parse is beancount:
        assert words == " ".join(NASTY.split())
        assert opened["Income:4400-1-Revenue-20"] == "4400.1"


def test_names_that_come_to_the_same_stay_apart(booked: Provider):
    with transaction() as tx:
        tx.execute(tax_class.insert().values(name="20%!"))
        set_code(tx, "staff:1", "revenue", "4400 1", 2)
        for number, of_class in enumerate((1, 2, None)):
            sides = [Posting("cash", None, Money(5, "EUR")), Posting("revenue", None, Money(-5, "EUR"), of_class)]
            post(tx, MARCH, "x", f"x:{number}", sides)
    opened, _ = beancount(exported("beancount"))
    assert sorted(name for name in opened if "Revenue" in name) == [
        "Income:4400-1-Revenue-20",
        "Income:4400-1-Revenue-20-2",
        "Income:4400-Revenue",
    ]


def test_what_cannot_be_is_refused_in_words(provider: Provider):
    with transaction() as tx:
        with pytest.raises(Refused, match="csv, beancount, hledger"):
            export(tx, MARCH, APRIL, "xml")
        with pytest.raises(Refused, match="not before"):
            export(tx, APRIL, MARCH, "csv")


def test_a_long_journal_is_read_by_a_cursor_of_the_server(provider: Provider):
    """So that it takes no more memory than a short one: neither here nor in the client library's own buffers."""
    cash, bank = Posting("cash", None, Money(5, "EUR")), Posting("bank", None, Money(-5, "EUR"))
    with transaction() as tx:
        post_all(tx, [Entry(MARCH, "Note", f"x:{number}", (cash, bank)) for number in range(3000)])
    with transaction() as tx:
        pieces = export(tx, MARCH, APRIL, "csv")
        begun = [next(pieces) for _ in range(10)]
        assert tx.scalar(text("SELECT count(*) FROM pg_cursors WHERE name <> ''")) == 1
        assert len(begun) + sum(1 for _ in pieces) == 1 + 2 * 3000
