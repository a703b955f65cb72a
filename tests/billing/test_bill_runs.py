"""The record of bill runs: counted once whoever runs, however it ends; and the report that is read from rows."""

import os
import signal
import subprocess
import time
from datetime import date, timedelta

import pytest
from sqlalchemy import Row, select, update

from base.business import load_business
from base.database import transaction
from base.money import Money
from base.offers import plan
from billing.bill_runs import Report, Sent, count_issued, issued_on, report
from billing.invoices import CHUNK, issue_due
from billing.issue import issue_for_subscribers
from billing.ledger import check_books
from billing.run_tables import bill_run
from billing.sweep import Unfinished
from billing.tables import invoice, invoice_line, message
from billing.tick import run as tick
from tests.billing.provider import Provider, noon
from tests.billing.test_at_once import begin, counted, fill
from tests.billing.test_at_once import bill_run as run_process
from tests.patience import at_most

MARCH = date(2026, 3, 1)


def record(day: date = MARCH) -> Row | None:
    with transaction() as tx:
        return tx.execute(select(bill_run).where(bill_run.c.day == day)).one_or_none()


def reported(day: date = MARCH) -> Report:
    with transaction() as tx:
        return report(tx, day)


def test_a_day_has_one_record_to_which_later_runs_add(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan(3000)
    provider.service(provider.subscriber(), home, MARCH)
    assert record() is None
    issue_due(noon(MARCH))
    first = record()
    assert first is not None
    assert (first.issued, first.totals, first.failures) == (1, {"EUR": 3600}, {})
    assert first.started_at == noon(MARCH) <= first.ended_at
    later = noon(MARCH) + timedelta(hours=3)
    issue_due(later)
    assert record() == first  # nothing was due, so nothing was written
    provider.service(provider.subscriber("Bert"), home, MARCH)
    yen = provider.plan(1000, currency="JPY")
    provider.service(provider.subscriber("Chie", currency="JPY"), yen, MARCH)
    issue_due(later)
    second = record()
    assert second is not None
    assert (second.issued, second.totals) == (3, {"EUR": 7200, "JPY": 1200})
    assert second.started_at == first.started_at
    assert second.ended_at > later
    issue_due(noon(date(2026, 3, 2)))
    assert record(date(2026, 3, 2)) is None


def test_two_processes_at_once_count_each_invoice_once(provider: Provider):
    fill(provider, 3 * CHUNK)
    processes = [run_process(), run_process()]
    for process in processes:
        begin(process)
    for process in processes:
        process.communicate(timeout=60)
    found = record()
    assert found is not None
    assert (found.issued, found.totals) == (3 * CHUNK, {"EUR": 3 * CHUNK * 3599})
    assert found.ended_at is not None
    assert counted(invoice) == 3 * CHUNK


def killed_run(provider: Provider) -> subprocess.Popen[str]:
    """A run of which some chunks are committed and others are not."""
    fill(provider, 6 * CHUNK)
    process = run_process()
    begin(process)
    deadline = time.monotonic() + at_most(30)
    while not counted(invoice):
        assert time.monotonic() < deadline
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert 0 < counted(invoice) < 6 * CHUNK
    return process


@pytest.mark.parametrize("day", [MARCH, date(2026, 3, 2)])
def test_the_record_of_a_run_that_was_killed_is_right_and_the_next_run_ends_it(provider: Provider, day: date):
    killed_run(provider)
    found = record()
    assert found is not None
    before = counted(invoice)
    assert (found.issued, found.ended_at) == (before, None)
    issue_due(noon(day))
    found = record()
    assert found is not None
    assert found.ended_at is not None
    if day == MARCH:
        assert found.issued == 6 * CHUNK
    else:
        later = record(day)
        assert later is not None
        assert (found.issued, later.issued) == (before, 6 * CHUNK - before)
    with transaction() as tx:
        assert check_books(tx) == []


def test_a_later_run_of_the_day_that_is_killed_is_under_way_until_the_next(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan()
    provider.service(provider.subscriber(), home, MARCH)
    issue_due(noon(MARCH))
    bert = provider.subscriber("Bert")
    provider.service(bert, home, MARCH)
    with transaction() as tx:  # a chunk of a run, and then nothing
        business = load_business(tx, provider.vault)
        issued = issue_for_subscribers(tx, provider.vault, business, [bert], noon(MARCH))
        count_issued(tx, MARCH, noon(MARCH), issued)
    found = record()
    assert found is not None
    assert (found.issued, found.ended_at) == (2, None)
    issue_due(noon(date(2026, 3, 2)))
    found = record()
    assert found is not None
    assert (found.issued, found.ended_at is None) == (2, False)


def test_after_ten_days_of_outage_every_missed_period_is_billed_with_its_own_days(provider: Provider):
    provider.travel(noon(MARCH))
    weekly = provider.plan(700, cycle=1)
    with transaction() as tx:
        tx.execute(update(plan).values(cycle_unit="week"))
    line = provider.service(provider.subscriber(), weekly, MARCH)
    arrears = provider.plan(3100, in_arrears=True)
    other = provider.service(provider.subscriber("Bert"), arrears, date(2026, 2, 8))
    assert len(issue_due(noon(MARCH))) == 1
    # the runs of 7 and 14 March (weeks) and of 8 March (the month in arrears) are missed
    assert len(issue_due(noon(date(2026, 3, 17)))) == 2
    with transaction() as tx:
        columns = invoice_line.c.service_id, invoice_line.c.period_start, invoice_line.c.period_end
        query = select(*columns, invoice_line.c.amount_minor, invoice.c.issued_on).join(invoice)
        lines = tx.execute(query.order_by(invoice_line.c.service_id, invoice_line.c.period_start)).all()
        assert check_books(tx) == []
    caught_up = date(2026, 3, 17)
    assert [tuple(row) for row in lines] == [
        (line, MARCH, date(2026, 3, 8), 700, MARCH),
        (line, date(2026, 3, 8), date(2026, 3, 15), 700, caught_up),
        (line, date(2026, 3, 15), date(2026, 3, 22), 700, caught_up),
        (other, date(2026, 2, 8), date(2026, 3, 8), 3100, caught_up),
    ]


def test_a_clock_that_was_set_back_issues_nothing_twice(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan()
    provider.service(provider.subscriber(), home, MARCH)
    tick(noon(date(2026, 4, 1)))
    assert counted(invoice) == 1
    for day in (date(2026, 3, 31), MARCH, date(2026, 2, 1), date(2025, 12, 31)):
        tick(noon(day))
        assert issue_due(noon(day)) == []
    assert counted(invoice) == 1
    provider.service(provider.subscriber("Bert"), home, date(2026, 3, 1))
    assert len(issue_due(noon(MARCH))) == 1  # what is new is billed on the date that the clock shows
    tick(noon(date(2026, 4, 1)))
    with transaction() as tx:
        days = tx.scalars(
            select(invoice_line.c.period_start).where(invoice_line.c.service_id == 1).order_by(invoice_line.c.id)
        ).all()
        assert list(days) == sorted(set(days))
        numbers = list(tx.scalars(select(invoice.c.sequence).order_by(invoice.c.id)))
        assert numbers == list(range(1, len(numbers) + 1))
        assert check_books(tx) == []


def test_a_broken_price_keeps_nobody_else_back_and_is_named(provider: Provider, capsys: pytest.CaptureFixture[str]):
    provider.travel(noon(MARCH))
    home, odd = provider.plan(), provider.plan()
    for number in range(5):
        provider.service(provider.subscriber(f"Payer {number}"), odd if number == 2 else home, MARCH)
    with transaction() as tx:
        tx.execute(update(plan).where(plan.c.id == odd).values(currency="USD"))
    with pytest.raises(Unfinished, match="bill: 1 failed; the first is 3"):
        issue_due(noon(MARCH))
    assert "sweep_failed" in capsys.readouterr().out
    assert counted(invoice) == 4
    found = reported()
    assert found.failed == (("00003", "Payer 2", "EUR and USD cannot be mixed"),)
    assert found.run is not None
    assert found.run.issued == 4
    assert found.run.ended_at is not None
    with transaction() as tx:
        tx.execute(update(plan).where(plan.c.id == odd).values(currency="EUR"))
    assert len(issue_due(noon(MARCH))) == 1
    found = reported()
    assert found.failed == ()
    assert found.issued[0].invoices == 5


def test_a_day_on_which_only_failures_happened_has_a_record_too(provider: Provider):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    with transaction() as tx:
        tx.execute(update(plan).values(currency="USD"))
    for _ in range(2):
        with pytest.raises(Unfinished):
            issue_due(noon(MARCH))
    found = record()
    assert found is not None
    assert (found.issued, list(found.failures)) == (0, ["1"])


def test_what_became_of_the_invoices_of_a_day(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan(3000)
    everybody = [provider.subscriber(name) for name in ("Mailed", "Bounced", "Waiting", "Refused", "Withdrawn")]
    paper = provider.subscriber("Paper", email="")
    for payer in [*everybody, paper]:
        provider.service(payer, home, MARCH)
    issued = issue_due(noon(MARCH))
    with transaction() as tx:
        for payer, state in zip(everybody, ("sent", "bounced", "queued", "refused", "withdrawn"), strict=True):
            tx.execute(
                update(message).where(message.c.subscriber_id == payer, message.c.kind == "invoice").values(state=state)
            )
    provider.pay(everybody[0], 3600)
    provider.pay(everybody[1], 1000)
    found = reported()
    assert found.sent == Sent(mailed=1, bounced=1, under_way=1, refused=1, on_paper=1)
    (eur,) = found.issued
    assert (eur.invoices, eur.net, eur.tax, eur.total) == (
        6, Money(18000, "EUR"), Money(3600, "EUR"), Money(21600, "EUR"),
    )  # fmt: skip
    assert (eur.paid, eur.charged) == (2, Money(4600, "EUR"))
    with transaction() as tx:
        assert issued_on(tx, MARCH) == issued
        assert issued_on(tx, date(2026, 3, 2)) == []
    nothing = reported(date(2026, 3, 2))
    assert (nothing.run, nothing.issued, nothing.sent) == (None, (), Sent())
