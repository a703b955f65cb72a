"""A payout of Stripe's and the bank's line that brings it find each other, whichever comes first."""

from datetime import date, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from base import clock
from base.database import transaction
from base.money import Money
from billing.bank.match import Part
from billing.bank.queue import assign
from billing.bank.settling import settle_all
from billing.bank.tables import bank_line
from billing.book_tables import month_close
from billing.clearing.fetch import fetch
from billing.clearing.payouts import last_payouts
from billing.clearing.tables import payout
from billing.clearing.worklist import worklist
from billing.ledger import check_books
from billing.refused import Refused
from billing.tables import entry
from console.cli import main
from tests.billing.collecting import Till, emulate, open_till
from tests.billing.provider import noon
from tests.billing.test_bank_intake import row, take
from tests.billing.test_clearing import FEE, GROSS, booked, fetched, paid_out, pass_days
from tests.sandbox.emulator import Emulator

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)
NET = GROSS - FEE


def arrives(till: Till) -> date:
    """The day that Stripe foretold; it is that day."""
    with transaction() as tx:
        day = last_payouts(tx)[0].arrives_on
    till.provider.travel(noon(day))
    return day


def bank_says(till: Till, minor: int, day: date, name: str = "Stripe Payments Europe", text: str = "STRIPE") -> int:
    """The next line of the bank's statement; its id."""
    take(till.provider, row(text, f"{minor / 100:.2f}", name, day=str(day), ref=f"r{minor}"), name=f"{day}{minor}")
    settle_all(till.provider.vault, clock.now())
    with transaction() as tx:
        assert check_books(tx) == []
        return int(tx.scalar(select(bank_line.c.id).order_by(bank_line.c.id.desc()).limit(1)) or 0)


def line(line_id: int):
    with transaction() as tx:
        return tx.execute(select(bank_line).where(bank_line.c.id == line_id)).one()


def typed(*command: str, fails: bool = False) -> str:
    done = CliRunner().invoke(main, command)
    assert (done.exit_code != 0) is fails, done.output
    return done.output


def test_a_payout_is_matched_when_the_statement_is_imported(till: Till, emulator: Emulator):
    payout_id = paid_out(till, emulator)
    found = bank_says(till, NET, arrives(till))
    assert (line(found).state, line(found).why) == ("payout", f"Stripe's payout {payout_id} arrived.")
    assert (booked("payouts"), booked("bank")) == (0, NET)
    with transaction() as tx:
        assert last_payouts(tx)[0].bank_line_id == found
        business = till.business(tx)
        with pytest.raises(Refused, match=f"is Stripe's payout {payout_id}"):
            assign(tx, till.provider.vault, business, "staff:1", found, [Part(1, Money(NET, "EUR"))], clock.now())
    settle_all(till.provider.vault, clock.now())
    assert booked("bank") == NET
    assert typed("clearing", "banked", payout_id, fails=True).startswith(f"Error: {payout_id} is at the bank since")


def test_a_payout_is_matched_when_it_is_fetched_after_its_line_came(till: Till, emulator: Emulator):
    till.customer("pm_card_visa")
    till.bill()
    fetched(till)
    pass_days(emulator, 3)
    found = bank_says(till, NET, till.provider.travel(clock.real() + timedelta(days=5)).date())
    assert line(found).why == "Stripe pays out what cards brought."
    fetch(till.provider.vault)
    with transaction() as tx:
        row = last_payouts(tx)[0]
    assert (row.bank_line_id, booked("bank")) == (found, NET)
    assert line(found).why == f"Stripe's payout {row.payout_id} arrived."


def test_a_payout_that_failed_and_came_back_is_matched_too(till: Till, emulator: Emulator):
    payout_id = paid_out(till, emulator)
    day = arrives(till)
    bank_says(till, NET, day)
    early = bank_says(till, -NET, day, text="STRIPE zurueck")  # nothing is known of a failure yet
    assert (line(early).state, booked("bank")) == ("outgoing", NET)
    emulator.control("dials", payouts="manual")
    pass_days(emulator, 3)
    emulator.control(f"payouts/{payout_id}", fail="account_closed")
    assert fetched(till).agrees
    assert (line(early).state, line(early).why) == ("payout", f"Stripe's payout {payout_id} came back.")
    assert (booked("payouts"), booked("bank"), booked("stripe")) == (0, 0, NET)
    with transaction() as tx:
        (item,) = [each for each in worklist(tx, till.business(tx)) if each.kind == "payout"]
        assert item.found.what == "the bank did not take it: The bank account has been closed."
    assert "came back on" in typed("clearing", "banked", payout_id, "--back", fails=True)


def test_a_person_names_the_line_or_the_day_of_a_payout(till: Till, emulator: Emulator):
    payout_id = paid_out(till, emulator)
    day = arrives(till)
    found = bank_says(till, NET, day, name="Citibank", text="0815")
    wrong = bank_says(till, NET + 1, day, name="Citibank", text="0816")
    assert line(found).state == "queued"
    assert "the payout 34.65" in typed("clearing", "banked", payout_id, "--line", str(wrong), fails=True)
    assert "There is no payout po_x" in typed("clearing", "banked", "po_x", fails=True)
    assert "never arrived" in typed("clearing", "banked", payout_id, "--back", fails=True)
    typed("clearing", "banked", payout_id, "--line", str(found))
    assert (line(found).state, booked("bank")) == ("payout", NET)
    assert "at the bank since" in typed("clearing", "banked", payout_id, "--on", str(day), fails=True)
    emulator.control("dials", payouts="manual")
    pass_days(emulator, 3)
    emulator.control(f"payouts/{payout_id}", fail="account_closed")
    fetched(till)
    typed("clearing", "banked", payout_id, "--back")
    assert (booked("payouts"), booked("bank")) == (0, 0)


def test_a_payout_of_a_closed_month_is_booked_on_the_first_open_day(till: Till, emulator: Emulator):
    payout_id = paid_out(till, emulator)
    day = arrives(till)
    with transaction() as tx:
        values = {"month": day.replace(day=1), "closed_by": "staff:1", "closed_at": clock.real(), "balances": []}
        tx.execute(month_close.insert().values(**values))
    take(till.provider, row("STRIPE", f"{NET / 100:.2f}", "Stripe", day=str(day)))
    settle_all(till.provider.vault, clock.now())
    with transaction() as tx:
        assert last_payouts(tx)[0].banked_on == day
        assert tx.scalar(select(entry.c.day).where(entry.c.source == f"payout:{payout_id}")) > day
        assert booked("bank") == NET


def test_a_payout_that_the_statement_does_not_show_and_a_line_that_is_none_are_on_the_worklist(
    till: Till, emulator: Emulator
):
    payout_id = paid_out(till, emulator)
    day = arrives(till)
    pass_days(emulator, 3)
    fetched(till)
    late = day + timedelta(days=12)
    till.provider.travel(noon(late))
    found = bank_says(till, NET + 1, late)
    with transaction() as tx:
        told = {each.kind: each.found.what for each in worklist(tx, till.business(tx))}
    assert told == {"payout": f"not in the bank's statement, expected on {day}"}
    till.provider.travel(noon(late + timedelta(days=5)))
    with transaction() as tx:
        items = {each.name: each.found.what for each in worklist(tx, till.business(tx))}
        assert "no payout of Stripe's is known" in items[f"bank:{found}"]
        number = tx.scalar(select(payout.c.id).where(payout.c.payout_id == payout_id))
        assert f"payout:{number}" in items
