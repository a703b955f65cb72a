"""A month is closed when nothing is missing, keeps its balances, and takes no entries until it is opened again."""

from datetime import date

import pytest
from psycopg.errors import RestrictViolation
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from base.business import load_business
from base.database import transaction
from base.money import Money
from base.tables import trail
from billing.book_tables import month_close
from billing.close import close_month, closed_months, missing, reopen_month
from billing.codes import load_codes, set_code
from billing.invoices import issue_due
from billing.ledger import Posting, check_books, post
from billing.refused import Refused
from billing.tables import entry, posting
from billing.trial_balance import trial_balance
from tests.billing.provider import Provider, noon

MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def close(provider: Provider, month: date, now: date) -> None:
    with transaction() as tx:
        close_month(tx, load_business(tx, provider.vault), "staff:1", month, noon(now))


@pytest.fixture
def march(provider: Provider) -> Provider:
    """A provider whose subscriber is billed 31.00 and tax on 11 March for a month."""
    provider.travel(noon(date(2026, 3, 11)))
    provider.service(provider.subscriber(), provider.plan(price=3100), date(2026, 3, 11))
    issue_due(noon(date(2026, 3, 11)))
    return provider


def movements(tx, account: str) -> list[tuple[date, int]]:
    query = select(entry.c.day, posting.c.amount_minor).join(entry).where(posting.c.account == account)
    return [tuple(row) for row in tx.execute(query.order_by(posting.c.id))]


def test_what_is_not_earned_is_put_aside_and_put_back_on_the_next_day(march: Provider):
    close(march, MARCH, APRIL)
    with transaction() as tx:
        assert movements(tx, "unearned") == [(date(2026, 3, 31), -1000), (APRIL, 1000)]
        (revenue,) = [each for each in trial_balance(tx, MARCH, APRIL) if each.account == "revenue"]
        assert (revenue.opening, revenue.debits, revenue.credits) == (eur(0), eur(1000), eur(3100))
        assert revenue.closing == eur(-2100)  # 21 of 31 days
        assert revenue.tax_class_id is not None
        assert check_books(tx) == []
        assert [each.month for each in closed_months(tx)] == [MARCH]


def test_what_is_missing_is_said_in_sentences(march: Provider):
    with transaction() as tx:
        business = load_business(tx, march.vault)
        assert missing(tx, business, MARCH, date(2026, 3, 31)) == ["2026-03 is not over: today is 2026-03-31."]
        assert missing(tx, business, APRIL, MAY) == [
            "2026-03 is still open: months are closed in order.",
            "The bill run up to 2026-04-30 is not done: 1 subscribers wait for an invoice, the first is 00001.",
        ]
        tx.execute(text("ALTER TABLE open_item DISABLE TRIGGER USER"))
        tx.execute(text("UPDATE open_item SET open_minor = 5"))
        assert any("the open items say 5" in each for each in missing(tx, business, MARCH, APRIL))
        tx.rollback()
    with pytest.raises(Refused, match="2026-03 is not over"):
        close(march, MARCH, date(2026, 3, 31))
    close(march, MARCH, APRIL)
    with pytest.raises(Refused, match="2026-03 is closed already"):
        close(march, MARCH, APRIL)


def test_a_closed_month_takes_no_entries(march: Provider):
    close(march, MARCH, APRIL)
    march.travel(noon(date(2026, 3, 31)))
    with pytest.raises(Refused, match=r"closed for 2026-03: the first day that can be used is 2026-04-01"):
        march.pay(1, 500)
    with pytest.raises(DBAPIError, match="closed month; the first day that can be used is 2026-04-01"):
        with transaction() as tx:
            tx.execute(insert(entry).values(day=date(2026, 3, 31), text="x", source="x", created_at=noon(APRIL)))
    march.travel(noon(APRIL))
    march.pay(1, 500)
    with transaction() as tx:
        assert check_books(tx) == []


def test_only_the_last_month_is_reopened_and_closes_again_on_what_is_true_then(march: Provider):
    close(march, MARCH, APRIL)
    issue_due(noon(date(2026, 4, 11)))
    close(march, APRIL, MAY)
    with transaction() as tx:
        with pytest.raises(Refused, match="Only the last closed month can be reopened: 2026-04"):
            reopen_month(tx, "staff:1", MARCH, "mistake", noon(MAY))
        with pytest.raises(Refused, match="needs a reason"):
            reopen_month(tx, "staff:1", APRIL, " ", noon(MAY))
        reopen_month(tx, "staff:1", APRIL, "invoice forgotten", noon(MAY))
    with transaction() as tx:
        assert [each.month for each in closed_months(tx)] == [MARCH]
        assert sum(minor for _, minor in movements(tx, "unearned")) == 0
        assert tx.scalar(select(trail.c.detail).where(trail.c.act == "books.month_reopened")) == {
            "month": "2026-04", "reason": "invoice forgotten",
        }  # fmt: skip
        post(tx, date(2026, 4, 30), "Found", "found:1", [Posting("cash", None, eur(5)), Posting("bank", None, eur(-5))])
    close(march, APRIL, MAY)
    with transaction() as tx:
        assert check_books(tx) == []
        aside = [minor for day, minor in movements(tx, "unearned") if day == date(2026, 4, 30)]
        assert aside == [-1033, 1033, -1033]  # 10 of 30 days


def test_a_closing_is_never_changed(march: Provider):
    close(march, MARCH, APRIL)
    for act in ("DELETE FROM month_close", "UPDATE month_close SET balances = '[]'", "TRUNCATE month_close"):
        with pytest.raises(DBAPIError, match=r"never changed|only be reopened"), transaction() as tx:
            tx.execute(text(act))
    with transaction() as tx:
        assert {each["account"]: each["minor"] for each in tx.scalar(select(month_close.c.balances))} == {
            "receivable": 3720, "revenue": -2100, "tax": -620, "unearned": -1000,
        }  # fmt: skip


def test_the_trial_balance_sums_to_nothing_and_carries_the_codes(march: Provider):
    march.pay(1, 5000)
    with transaction() as tx:
        (tax_class,) = load_codes(tx).classes
        set_code(tx, "staff:1", "revenue", "4420", tax_class)
        set_code(tx, "staff:1", "cash", "1600")
        found = trial_balance(tx, MARCH, APRIL)
        assert [(each.account, each.code, each.closing.minor) for each in found] == [
            ("cash", "1600", 5000),
            ("receivable", "1400", 0),
            ("customer_credit", "1718", -1280),
            ("tax", "1776", -620),
            ("revenue", "4420", -3100),
        ]
        assert sum(each.closing.minor for each in found) == 0
        assert sum(each.debits.minor - each.credits.minor for each in found) == 0
        opening = {each.account: each.opening.minor for each in trial_balance(tx, APRIL, MAY)}
        assert opening == {each.account: each.closing.minor for each in found}
        set_code(tx, "staff:1", "cash", "")
        assert load_codes(tx).of("cash") == "1000"
        for account, code, of_class in (("purse", "1", None), ("cash", "1", tax_class), ("cash", "1\n2", None)):
            with pytest.raises(Refused):
                set_code(tx, "staff:1", account, code, of_class)


def test_who_books_while_a_month_is_closed_is_before_or_refused(march: Provider):
    """An entry under way holds the closing back; one that begins meanwhile finds the month closed."""
    import threading

    sides = [Posting("cash", None, eur(5)), Posting("bank", None, eur(-5))]
    closer = threading.Thread(target=close, args=(march, MARCH, APRIL))
    with transaction() as tx:
        post(tx, date(2026, 3, 31), "In time", "race:1", sides)
        closer.start()
        closer.join(timeout=0.5)
        assert closer.is_alive()
    closer.join(timeout=30)
    with transaction() as tx:
        kept = {each["account"]: each["minor"] for each in tx.scalar(select(month_close.c.balances))}
        assert kept["cash"] == 5
        assert check_books(tx) == []
        with pytest.raises(Refused):
            post(tx, date(2026, 3, 31), "Too late", "race:2", sides)


def test_the_trigger_speaks_where_nobody_asked_before(march: Provider):
    close(march, MARCH, APRIL)
    with pytest.raises(DBAPIError) as refused, transaction() as tx:
        tx.execute(insert(entry).values(day=MARCH, text="x", source="odd:1", created_at=noon(APRIL)))
    assert isinstance(refused.value.orig, RestrictViolation)
