"""Tills are closed with what was counted; the worklist shows what a person has to look at, as long as it lasts."""

from datetime import date, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.bank.tables import bank_file, bank_line
from billing.clearing.till import close_day, days, reopen_day
from billing.clearing.worklist import done, note, take, todays_collection, worklist
from billing.collect import cards
from billing.ledger import check_books
from billing.money_back.tables import gone_back
from billing.refused import Refused
from billing.tables import posting
from console.cli import main
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.provider import Provider, noon

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)
DAY = date(2026, 3, 1)


def close(provider: Provider, minor: int, note: str = "") -> None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        close_day(tx, business, "staff:1", DAY, Money(minor, "EUR"), author="staff:2", note=note)


def cash() -> int:
    with transaction() as tx:
        assert check_books(tx) == []
        return sum(tx.scalars(select(posting.c.amount_minor).where(posting.c.account == "cash")))


def test_a_closed_till_takes_nothing_and_its_difference_is_booked(provider: Provider):
    provider.travel(noon(DAY))
    who = provider.subscriber()
    provider.pay(who, 5000)
    with pytest.raises(Refused, match="say why"):
        close(provider, 4990)
    close(provider, 4990, "a coin is missing")
    assert cash() == 4990
    for again in (lambda: provider.pay(who, 100), lambda: close(provider, 4990)):
        with pytest.raises(Refused, match="closed"):
            again()
    with transaction() as tx:
        reopen_day(tx, "staff:1", DAY, "EUR", author="staff:2", because="found it")
    assert cash() == 5000
    provider.pay(who, 100)
    close(provider, 5100)
    with transaction() as tx:
        (day,) = days(tx, DAY)
        assert (day.expected.minor, day.payments, day.closed is not None) == (5100, 2, True)
    provider.travel(noon(DAY + timedelta(days=1)))
    provider.pay(who, 100)


def test_what_fails_is_on_the_list_until_it_is_paid(till: Till):
    who = till.customer("pm_card_chargeCustomerFail")
    till.bill()
    with transaction() as tx:
        business = till.business(tx)
        (item,) = [each for each in worklist(tx, business) if each.kind == "failing"]
        take(tx, business, "staff:3", item.name)
        note(tx, business, "staff:3", item.name, "calls on Monday", DAY + timedelta(days=2))
    with transaction() as tx:
        (item,) = worklist(tx, business, owner="staff:3")
        assert (item.note, item.next_on) == ("calls on Monday", DAY + timedelta(days=2))
        assert worklist(tx, business, owner="staff:3", by=DAY) == []
        day = todays_collection(tx, DAY, noon(DAY) - timedelta(hours=12), noon(DAY) + timedelta(hours=12))
        assert [(each.minor, times) for each, times in day.failed] == [(3599, 1)]
    till.provider.pay(who, 3599)
    work()
    with transaction() as tx:
        assert [each for each in worklist(tx, business) if each.kind == "failing"] == []
        with pytest.raises(Refused, match="its cause is gone"):
            done(tx, business, "staff:3", item.name)


def test_a_thing_that_is_done_is_off_the_list(till: Till):
    who = till.customer("pm_card_visa", autopay=False)
    with transaction() as tx:
        business = till.business(tx)
        card = cards.all_cards(tx, who)[0]
        cards.set_autopay(tx, business, "staff:1", who, True)
        assert worklist(tx, business) == []
    till.provider.travel(noon(date(card.exp_year, card.exp_month, 1)))
    with transaction() as tx:
        (item,) = worklist(tx, business)
        assert item.name == f"card:{card.id}"
        done(tx, business, "staff:3", item.name)
        assert worklist(tx, business) == []


def test_the_console_shows_them(till: Till):
    for command in ("clearing show", "clearing payouts", "clearing suspense", "cashier list", "worklist list",
                    "worklist today", "clearing fetch"):  # fmt: skip
        found = CliRunner().invoke(main, command.split())
        assert found.exit_code == 0, (command, found.output)


def test_what_waits_of_the_bank_and_what_may_go_back_are_on_the_list(provider: Provider):
    now = provider.travel(noon(DAY))
    who = provider.subscriber()
    provider.pay(who, 5000)
    euro = {"amount_minor": 1500, "currency": "EUR"}
    with transaction() as tx:
        file_id = tx.scalar(
            insert(bank_file)
            .values(
                sha256="0",
                name="a.xml",
                format="camt.053",
                account="",
                line_count=2,
                new_count=2,
                author="x",
                created_at=now,
            )
            .returning(bank_file.c.id)
        )
        line = {"file_id": file_id, "at_line": 1, "account": "", "day": DAY, "counterparty": "Bert", **euro}
        tx.execute(insert(bank_line).values(fingerprint="1", state="queued", why="two could be meant", **line))
        tx.execute(insert(bank_line).values(fingerprint="2", state="outgoing", why="", **line))
        gone = {"subscriber_id": who, "payment_id": 1, "way": "card", "author": "x", "on_day": DAY, **euro}
        gone |= {"real_at": now, "created_at": now}
        for number, (kind, state) in enumerate((("refund", "unknown"), ("refund", "pending"), ("dispute", "inquiry"))):
            tx.execute(insert(gone_back).values(key=str(number), kind=kind, state=state, reason="asked for", **gone))
        found = worklist(tx, load_business(tx, provider.vault))
        told = {item.name.split(":")[0]: (item.found.who, item.found.what) for item in found}
    assert told == {
        "bank": ("", "Bert: two could be meant"),
        "refund": ("00001 Anna", "unknown: asked for"),
        "dispute": ("00001 Anna", "inquiry: asked for"),
    }
    assert len(found) == 3
