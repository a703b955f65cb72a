"""Every report on the book of twelve, against figures that were worked out by hand (amounts in cents)."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from sqlalchemy import insert, text, update

from base import clock
from base.business import load_business
from base.calendar import Period
from base.database import transaction
from base.money import Money
from base.nas import add_nas
from base.tables import access_history, coa_attempt, session, subscriber
from billing import changes, endings, extras
from billing.collect.tables import checkout
from billing.ledger import check_books
from billing.plans import change_price, class_of_percent
from billing.reports.catalogue import REPORTS
from billing.reports.debts import ageing_on
from billing.reports.debts_load import load_movements
from billing.reports.shape import Report, Window, month_of
from billing.tick import run
from tests.billing.provider import noon

APRIL = Window(month_of(date(2026, 4, 1)), date(2026, 4, 30), "EUR", months=4)


def made(book, name: str, window: Window = APRIL) -> Report:
    with transaction() as tx:
        return REPORTS[name].make(tx, load_business(tx, book.vault), window)


def table(report: Report) -> dict:
    return {row.label: row.values for row in report.rows}


def months(report: Report, column: int) -> list:
    return [month.values[column] for month in report.trend]


def test_the_book_is_right(book):
    with transaction() as tx:
        assert check_books(tx) == []


def test_revenue(book):
    found = made(book, "revenue")
    # April: Ada 30, Ben 30, Cem 60, Dora 30, Eve 30, Gil 90, Ivo 30, Jo 27, Lea 30 = 357; Dora's Pro 30; back 15
    # Lea's static address 5; deposits are no revenue
    assert table(found) == {
        "Plans": (38700, 1500, Fraction(37200, 37700), 37200),
        "Add-ons and rent": (500, 0, Fraction(500, 37700), 500),
    }  # Hana's charge and its credit note were both in February: no line
    # January: 6 x 30 (Ada, Ben, Dora, Eve, Finn, Kim) + 60 + 90 + 240 + 30 + 27 = 627
    # February: 5 x 30 + 60 + 30 (Ivo) + 27 + 20 (Kim) + 35 (Lea) + 50 (Hana) = 372; back 50 (Hana) + 15 (Eve)
    # March: 4 x 30 + 60 + 30 + 27 + 20 + 35 = 292
    # April: 4 x 30 + 60 + 90 + 30 + 27 + 35 = 362, + 30 = 392; back 15
    assert months(found, 1) == [62700, 37200, 29200, 39200]
    assert months(found, 2) == [0, 6500, 0, 1500]
    assert months(found, 0) == [62700, 30700, 29200, 37700]
    # tax: January 20 % of 357 = 71.40 and 10 % of 270 = 27.00; February 58.40 + 10 - 13 and 3.00
    # March 52.40 and 3.00; April 66.40 + 6 - 3 and 3.00
    assert months(found, 3) == [9840, 5840, 5540, 7240]
    assert found.headline == 37700


def test_revenue_is_what_the_ledger_says(book):
    with transaction() as tx:
        query = text(
            "SELECT -sum(p.amount_minor) FROM posting p JOIN entry e ON e.id = p.entry_id "
            "WHERE p.account LIKE 'revenue%' GROUP BY date_trunc('month', e.day) ORDER BY date_trunc('month', e.day)"
        )
        assert months(made(book, "revenue"), 0) == list(tx.scalars(query))


def test_revenue_by_plan(book):
    found = made(book, "revenue-by-plan")
    # Home: Ada, Ben, Dora, Eve, Lea 30, Jo 27; back 15 of Dora. Pro: Cem 60, Dora 30
    assert {label: values[3] for label, values in table(found).items()} == {
        "Home": 16200, "Pro": 9000, "Quarter": 9000, "Village": 3000, "Year": 0, "Static address": 500,
    }  # fmt: skip
    assert found.total is not None
    assert found.total.values == (39200, 1500, 1, 37700)
    by_month = {row.label: row.months for row in found.rows}
    # Home in January 6 x 30 + 27; February 5 x 30 + 27 + 20 + 30 - 15; March 4 x 30 + 27 + 20 + 30
    assert by_month["Home"] == (20700, 21200, 19700, 16200)
    assert by_month["Year"] == (24000, 0, 0, 0)


def test_revenue_by_tax(book):
    found = made(book, "revenue-by-tax")
    # April at 20 %: 60 + 90 + 4 x 30 + 27 + 35 = 332, + 30 - 15 = 347; at 10 %: Ivo 30
    assert table(found) == {"VAT 10 % (S)": (3000, 300), "VAT 20 % (S)": (34700, 6940)}
    assert found.headline == 7240
    february = made(book, "revenue-by-tax", Window(month_of(date(2026, 2, 1)), APRIL.on, "EUR", 4))
    # at 20 %: 5 x 30 + 60 + 27 + 20 + 35 + 50 = 342, - 65 = 277; without tax: the deposit
    assert table(february)["VAT 20 % (S)"] == (27700, 5540)
    assert table(february)["VAT 0 % (Z)"] == (5000, 0)


def test_ageing(book):
    found = made(book, "ageing")
    # Finn February 36 (due 15 Feb, 74 days); Ben March 36 - 16 (due 15 Mar, 46 days)
    # Ben 36, Cem 72, Gil 108 of April (due 15 Apr, 15 days); Dora 36 - 18 (due 30 Apr)
    assert {label: values[1] for label, values in table(found).items()} == {
        "current": 1800, "1-30 days": 21600, "31-60 days": 2000, "61-90 days": 3600, "over 90 days": 0,
    }  # fmt: skip
    # January: Finn 36. February: Finn 36 + 36, Ben 36. March: Finn 36 (January is written off), Ben 20
    assert months(found, 0) == [3600, 10800, 5600, 29000]
    assert months(found, 1) == [3600, 10800, 5600, 27200]
    assert months(found, 2) == [1, 1, 1, Fraction(272, 290)]
    by_month = {row.label: row.months for row in found.rows}
    assert by_month["1-30 days"] == (3600, 7200, 2000, 21600)
    assert by_month["31-60 days"] == (0, 3600, 3600, 2000)
    later = made(book, "ageing", Window(month_of(date(2026, 5, 1)), date(2026, 5, 31), "EUR"))
    # a month later, had nothing happened: 105, 77, 46 and 31 days
    assert [row.values[1] for row in later.rows] == [0, 0, 21600 + 1800, 2000, 3600]


def test_ageing_is_the_ledgers_receivable_on_every_day(book):
    with transaction() as tx:
        booked = dict(
            tx.execute(
                text(
                    "SELECT e.day, sum(p.amount_minor)::bigint FROM posting p JOIN entry e ON e.id = p.entry_id "
                    "WHERE p.account = 'receivable' GROUP BY e.day"
                )
            ).all()
        )
        receivable = 0
        for number in range(130):
            day = date(2025, 12, 30) + timedelta(days=number)
            receivable += booked.get(day, 0)
            window = Window(month_of(day), day, "EUR", months=3)
            movements = load_movements(tx, window, load_business(tx, book.vault).zone)
            assert sum(ageing_on(movements, day)) == receivable, day
            assert min(ageing_on(movements, day)) >= 0
        assert len(booked) > 20


def test_collection(book):
    found = made(book, "collection")
    # cohort of April: 36 x 4 + 72 + 108 + 33 + 32.40 + 42 + 36 = 467.40, less the credit note of 18 = 449.40
    # not collected: Ben 36, Cem 72, Gil 108, Dora 18 = 234
    # cash: due in April the same 449.40; received 4 x 36 - ... = 36 + 36 + 36 + 32.40 + 50 + 33 = 223.40
    assert table(found) == {
        "cohort: of the invoices issued in the period": (44940, 21540, Fraction(2154, 4494)),
        "cash: received in the period for what fell due in it": (44940, 22340, Fraction(2234, 4494)),
    }
    # January 725.40 (6 x 36 + 72 + 108 + 264 + 33 + 32.40), without Finn 36: a write-off is not collected
    # February 493.40 - 60 (voided) - 18 (Eve) = 415.40, without Finn 36. March 347.40, without Ben 20
    assert months(found, 1) == [72540, 41540, 34740, 44940]
    assert months(found, 2) == [68940, 37940, 32740, 21540]
    # received in February 36 + 36 + 32.40 + 24 + 40 + 33 + 92 + 18 + 32; March 36 + 164.40 + 147 + 16
    assert months(found, 5) == [68940, 34340, 36340, 22340]
    assert [month.runs for month in found.trend] == [False, False, False, True]  # Dora's is due on the 30th
    assert found.met is False
    assert found.target.met(Fraction(95, 100))
    # as of 28 February: Finn has paid nothing, Ben not February: 415.40 - 36 - 36
    then = made(book, "collection", Window(month_of(date(2026, 2, 1)), date(2026, 2, 28), "EUR", 2))
    assert then.rows[0].values[:2] == (41540, 34340)


def test_late(book):
    found = made(book, "late")
    # due in April and over: 9 invoices of 413.40 (Dora's first is 36 - 18); Ben 36, Cem 72, Gil 108, 15 days each
    assert found.rows[0].values == (9, 41340, 3, 21600, Fraction(3, 9), Fraction(21600, 41340), 15)
    assert found.headline == Fraction(1, 3)
    # January: Ben 36 x 10 days, Finn 36 x 64 (written off 20 Mar), Ivo 33 x 5
    # February (Hana's never was due): Ben 36 x 20, Cem 72 x 5, Finn 36 x 74. March: Ben 36 x 46
    assert months(found, 3) == [11, 10, 9, 9]
    assert months(found, 4) == [3, 3, 1, 3]
    assert months(found, 5) == [10500, 14400, 3600, 21600]
    assert months(found, 2) == [Fraction(360 + 2304 + 165, 105), Fraction(720 + 360 + 2664, 144), 46, 15]
    # on the due day itself nothing is late yet
    then = made(book, "late", Window(month_of(date(2026, 4, 1)), date(2026, 4, 15), "EUR", 1))
    assert then.rows[0].values[0] == 0


def test_dso(book):
    found = made(book, "dso")
    # sales of the 90 days from 31 January: 433.40 (Hana's 60 is voided) + 347.40 + 467.40 = 1248.20
    # open 290, not yet due 18; April's sales of 467.40 in 30 days exceed what is open
    simple, best = Fraction(29000 * 90, 124820), Fraction(1800 * 90, 124820)
    assert [row.values[0] for row in found.rows] == [simple, best, simple - best, Fraction(29000 * 30, 46740)]
    assert months(found, 0) == [
        Fraction(3600 * 90, 72540),
        Fraction(10800 * 90, 72540 + 43340),
        Fraction(5600 * 90, 72540 + 43340 + 34740),
        simple,
    ]
    assert months(found, 3)[:3] == [
        Fraction(3600 * 31, 72540), Fraction(10800 * 28, 43340), Fraction(5600 * 31, 34740)
    ]  # fmt: skip
    assert found.met is True
    # before Hana's invoice was voided it was a sale: 725.40 + 493.40, and open
    # open on 5 February: Finn's January and all of February but nothing paid yet: 36 + 493.40
    then = made(book, "dso", Window(month_of(date(2026, 2, 1)), date(2026, 2, 5), "EUR", 1))
    assert then.headline == Fraction((3600 + 49340) * 90, 72540 + 49340)


def test_mrr_and_arpu(book):
    found = made(book, "mrr")
    # Home: Ada, Ben, Eve, Lea 30, Jo 27. Pro: Cem, Dora. Quarter 90 / 3, Year 240 / 12, Village 33 / 1.1
    assert table(found) == {
        "Home": (5, 14700), "Pro": (2, 12000), "Quarter": (1, 3000), "Village": (1, 3000), "Year": (1, 2000),
        "Add-ons and rent": (None, 500),
    }  # fmt: skip
    # January: 5 x 30 (Ada, Ben, Dora, Eve, Finn) + 30 (Kim) + 27 + 60 + 30 + 20 + 30 = 347
    # February without Eve (paused), Kim at 20, Lea 35: 4 x 30 + 20 + 27 + 60 + 30 + 20 + 30 + 35 = 342
    # March: Eve is back, Finn has left. April: without Kim, Dora at 60
    assert months(found, 0) == [34700, 34200, 34200, 35200]
    assert months(found, 1) == [11, 11, 11, 10]
    assert months(found, 2) == [3155, 3109, 3109, 3520]  # 34700 / 11 = 3154.5, 34200 / 11 = 3109.1
    assert found.below[0].values == (10, 3520)


def test_churn(book):
    found = made(book, "churn")
    # April: of 11 accounts Kim has left, with 20.00 of 342.00
    assert table(found) == {
        "for non-payment": (0, 0, 0, 0),
        "other: moved": (1, Fraction(1, 11), 2000, Fraction(2000, 34200)),
    }
    # before January there was nobody; before March there were twelve, Eve too, and Finn left
    assert months(found, 3) == [0, 11, 12, 11]
    assert months(found, 0) == [None, 0, Fraction(1, 12), Fraction(1, 11)]
    assert months(found, 1) == [None, 0, Fraction(1, 12), 0]
    assert months(found, 2) == [None, 0, Fraction(3000, 34200), Fraction(2000, 34200)]
    quarter = made(book, "churn", Window(Period(date(2026, 2, 1), date(2026, 5, 1)), APRIL.on, "EUR", 1))
    # of the 11 before February, two: 30 + 30 of 347 then (Kim at 20 only from 1 February)
    assert quarter.total is not None
    assert quarter.total.values == (2, Fraction(2, 11), 6000, Fraction(6000, 34700))


def test_autopay_says_that_nobody_can(book):
    found = made(book, "autopay")
    assert table(found) == {"accounts": (None, 10, None)}  # without Finn and Kim
    assert found.met is None
    assert "nobody can enrol" in found.notes[0]


def test_payment_success(book):
    """Hosted pages: invoice 1 paid at once; 2 left, then paid with 3; 4 left; 5 open; 6 unknown; 7 never opened."""
    tries = [("paid", [1]), ("expired", [2]), ("paid", [2, 3]), ("expired", [4]), ("open", [5]), ("unknown", [6])]
    with transaction() as tx:
        payer = tx.scalar(text("SELECT min(id) FROM subscriber"))
        for number, (state, invoices) in enumerate([*tries, ("failed", [7])]):
            row = {"subscriber_id": payer, "amount_minor": 3600, "currency": "EUR", "invoice_ids": invoices}
            at = {"created_at": f"2026-04-1{number} 12:00Z"}
            tx.execute(insert(checkout).values(state=state, **row, **at))
    # invoices tried: 1, 2, 3, 4; first succeeded: 1 and 3; of 2 and 4, which failed first, 2 was collected
    # attempts decided: 4, succeeded: 2
    assert table(made(book, "payment-success")) == {
        "first attempt (invoices)": (2, 4, Fraction(1, 2)),
        "all attempts": (2, 4, Fraction(1, 2)),
        "recovered (invoices)": (1, 2, Fraction(1, 2)),
        "pending, not counted": (None, 1, None),
        "unknown, not counted": (None, 1, None),
        "never reached the gateway, not counted": (None, 1, None),
    }


@pytest.mark.parametrize("name", REPORTS)
def test_no_report_stumbles_over_an_empty_book(provider, name):
    found = made(provider, name)
    assert not found.headline
    assert len(found.trend) == 4


def test_subscribers_who_pay_in_another_currency_are_not_mixed_in(book):
    ours = [name for name in REPORTS if name != "time-to-restore"]
    before = {name: made(book, name) for name in ours}
    theirs = book.subscriber("Wu", currency="USD")
    book.service(theirs, book.plan(currency="USD"), date(2026, 4, 30))
    run(clock.now())
    book.pay(theirs, 100, currency="USD")
    assert {name: made(book, name) for name in ours} == before
    dollars = Window(APRIL.period, APRIL.on, "USD", months=4)
    assert made(book, "mrr", dollars).headline == 2999
    assert made(book, "ageing", dollars).headline == 3599 - 100  # 29.99 + 6.00


def test_time_to_restore(book):
    """A payment brings a walled line back: 420 ms to the slower of its two sessions; nobody else was online."""
    paid_at = datetime(2026, 4, 10, 12, tzinfo=UTC)
    before = made(book, "time-to-restore").rows[0].values
    with transaction() as tx:
        ada, ben, cem, dora = tx.scalars(text("SELECT id FROM service ORDER BY id LIMIT 4"))
        nas_id = add_nas(
            tx, book.vault, "staff:1", name="edge", network="192.0.2.1/32", secret="s" * 16, kind="mikrotik"
        )  # fmt: skip
        for service_id, level, because in (
            (ada, 2, "time"), (ada, 0, "payment:7"), (ben, 2, "time"), (ben, 0, "payment:8"),
            (cem, 2, "time"), (cem, 0, "staff:1"), (dora, 2, "time"), (dora, 2, "payment:9"),
        ):  # fmt: skip
            row = {"service_id": service_id, "version": 90 + (level == 0), "level": level, "reasons": [], "obeyed": {}}
            tx.execute(insert(access_history).values(because=because, at=paid_at, real_at=paid_at, **row))
        for number, (version, result, after) in enumerate(
            [(91, "ack", 180), (91, "nak", 100), (91, "ack", 420), (90, "ack", 9000), (92, "ack", 8000)]
        ):
            row = {"nas_id": nas_id, "device": "192.0.2.1", "login": "ada", "service_id": ada}
            line = tx.scalar(
                insert(session)
                .values(acct_session_id=f"s{number}", started_at=paid_at, updated_at=paid_at, **row)
                .returning(session.c.id)
            )
            sent = {"step": "coa", "target": "192.0.2.1:3799", "request": [], "sends": 1, "sent_at": paid_at}
            at = paid_at + timedelta(milliseconds=after)
            tx.execute(
                insert(coa_attempt).values(session_id=line, version=version, result=result, answered_at=at, **sent)
            )
    found = made(book, "time-to-restore")
    # Cem was let back by staff, and Dora's payment changed nothing
    assert found.rows[0].values == (420, 420, 420, 1, before[4] + 1)
    assert found.trend[-1].values == found.rows[0].values


def test_churn_is_who_was_there_before_and_is_not_at_the_end(provider):
    """Anna's last day is 29 April; Bert came and left in April; Cleo has another line; Dan leaves in May."""
    provider.travel(noon(date(2026, 1, 1)))
    home, first = provider.plan(price=3000), date(2026, 1, 1)
    who = [provider.subscriber(name) for name in ("Anna", "Bert", "Cleo", "Dan")]
    starts = (first, date(2026, 4, 2), first, first)
    lines = [provider.service(payer, home, day) for payer, day in zip(who, starts, strict=True)]
    provider.service(who[2], home, first)
    ends = (date(2026, 4, 30), date(2026, 4, 20), date(2026, 4, 20), date(2026, 5, 1))
    with transaction() as tx:
        for line, day in zip(lines, ends, strict=True):
            endings.cancel(tx, provider.vault, "staff:1", line, day, "Non payment")
    found = made(provider, "churn")
    assert table(found) == {"for non-payment": (1, Fraction(1, 3), 3000, Fraction(3000, 12000))}  # of Anna, Cleo, Dan


def test_mrr_takes_the_days_prices_discounts_taxes_and_plans(provider):
    """36.00 with 20 % in it, from March 48.00; 6.00 off for Anna; Bert is exempt; from April Anna is on 60.00 plus."""
    provider.travel(noon(date(2026, 1, 1)))
    home, pro = provider.plan(price=3600, price_inclusive=True), provider.plan(price=6000)
    anna, bert = provider.subscriber(), provider.subscriber("Bert")
    line = provider.service(anna, home, date(2026, 1, 1))
    provider.service(bert, home, date(2026, 1, 1))
    with transaction() as tx:
        tx.execute(update(subscriber).where(subscriber.c.id == bert).values(tax_treatment="exempt"))
        change_price(tx, "staff:1", home, Money(4800, "EUR"), date(2026, 3, 1), today=date(2026, 1, 1))
        off = {"text": "Loyal", "amount_off": Money(600, "EUR")}
        extras.add_discount(tx, provider.vault, "staff:1", line, **off)
        rent = extras.add_product(
            tx, "staff:1", name="Box", kind="rent", price=Money(150, "EUR"),
            tax_class_id=class_of_percent(tx, "staff:1", "20"),
        )  # fmt: skip
        extras.sell_product(tx, provider.vault, "staff:1", line, rent, quantity=2)
    provider.travel(noon(date(2026, 3, 20)))
    run(clock.now())
    with transaction() as tx:
        assert changes.change_plan(tx, provider.vault, "staff:1", line, pro, at_boundary=True) == date(2026, 4, 1)
    found = made(provider, "mrr")
    # February (36 - 6) / 1.2 + 36 + 3; March (48 - 6) / 1.2 + 48 + 3; April 60 - 6 + 48 + 3
    assert months(found, 0) == [6400, 6400, 8600, 10500]
    assert [row.values for row in found.rows] == [(1, 4800), (1, 5400), (None, 300)]


def test_an_evening_counts_on_the_providers_day(provider):
    """23:30 in UTC is the next day in Paris: for the payment, for what is open, and for the ledger."""
    provider.set(time_zone="Europe/Paris", issue_days_before=0)
    provider.travel(noon(date(2026, 1, 31)))
    anna = provider.subscriber()
    provider.service(anna, provider.plan(price=3000), date(2026, 1, 31))
    run(clock.now())
    provider.travel(datetime(2026, 1, 31, 23, 30, tzinfo=UTC))
    provider.pay(anna, 3600)
    january = Window(month_of(date(2026, 1, 1)), date(2026, 1, 31), "EUR", 1)
    february = Window(month_of(date(2026, 2, 1)), date(2026, 2, 1), "EUR", 1)
    assert made(provider, "ageing", january).headline == 3600
    assert made(provider, "collection", january).headline == 0
    assert made(provider, "ageing", february).headline == 0
    assert made(provider, "collection", february).rows[1].values[1] == 3600
