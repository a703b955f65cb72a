"""Money for an outage: what the days cost, once per service, never more than was or will be charged."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from base.business import load_business
from base.calendar import Period
from base.database import transaction
from base.money import Money
from base.nas import add_nas
from base.offers import plan
from base.tables import nas, service, session
from billing.changes import change_plan, pause
from billing.credit_notes import credit_invoice
from billing.extras import add_discount, add_product, sell_product
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.outages import commit_outage, on_list, on_nas, on_plan, outage_days, preview_outage
from billing.refused import Refused
from billing.run_tables import outage, outage_service
from billing.sweep import Unfinished
from billing.tables import credit_note, credit_note_line, invoice, invoice_line
from tests.billing.provider import Provider, noon
from tests.billing.test_at_once import ROOT, counted
from tests.patience import at_most

MARCH = date(2026, 3, 1)
APRIL = date(2026, 4, 1)
DAYS = Period(date(2026, 3, 10), date(2026, 3, 13))


def scope_of(*logins: str):
    with transaction() as tx:
        return on_list(tx, logins)


def given_to(*logins: str, days: Period = DAYS):
    with transaction() as tx:
        return preview_outage(tx, on_list(tx, logins), days)


def commit(*logins: str, days: Period = DAYS) -> list[int]:
    return commit_outage(scope_of(*logins), days, "Outage", "staff:1")


def credits() -> list[int]:
    with transaction() as tx:
        return list(tx.scalars(select(credit_note.c.total_minor).order_by(credit_note.c.id)))


def books() -> list[str]:
    with transaction() as tx:
        return check_books(tx)


def line_of(provider: Provider, price: int = 3100, start: date = MARCH, **more: object) -> str:
    """The login of a new subscriber's service."""
    line = provider.service(provider.subscriber(), provider.plan(price, **more), start)
    with transaction() as tx:
        return str(tx.scalar(select(service.c.login).where(service.c.id == line)))


def test_billed_days_are_given_back_with_tax_once(provider: Provider):
    now = provider.travel(noon(MARCH))
    login = line_of(provider)
    issue_due(now)
    (each,) = given_to(login)
    assert (each.credited, each.next_bill) == (Money(360, "EUR"), Money(0, "EUR"))
    assert (credits(), counted(outage)) == ([], 0)
    assert commit(login) == [1]
    assert commit(login) == []
    assert given_to(login) == []
    assert credits() == [360]
    with transaction() as tx:
        (row,) = tx.execute(select(credit_note_line)).all()
        assert (row.amount_minor, row.period_start, row.period_end) == (300, DAYS.start, DAYS.end)
        (given,) = tx.execute(select(outage_service)).all()
        assert (given.credited_minor, given.next_bill_minor) == (360, 0)
    assert books() == []


def test_days_that_overlap_another_outage_are_given_once(provider: Provider):
    now = provider.travel(noon(MARCH))
    login, arrears = line_of(provider), line_of(provider, in_arrears=True)
    issue_due(now)
    commit(login, arrears)
    commit(login, arrears, days=Period(date(2026, 3, 12), date(2026, 3, 15)))
    with transaction() as tx:
        rows = tx.execute(select(outage_service).order_by(outage_service.c.service_id)).all()
        assert [(row.credited_minor, row.next_bill_minor) for row in rows] == [(360, 0), (240, 0), (0, 300), (0, 200)]
    assert books() == []


def test_days_that_came_off_a_bill_are_not_given_again_when_it_is_issued(provider: Provider):
    provider.travel(noon(MARCH))
    login = line_of(provider, in_arrears=True)
    with transaction() as tx:
        tax_class = tx.scalar(select(plan.c.tax_class_id).limit(1))
        router = add_product(tx, "system", name="Router", kind="rent", price=Money(310, "EUR"), tax_class_id=tax_class)
        sell_product(tx, provider.vault, "system", 1, router)
    assert commit(login) == [1]
    provider.travel(noon(APRIL))
    issue_due(noon(APRIL))
    assert given_to(login) == []
    assert commit(login) == commit(login, days=Period(DAYS.start, date(2026, 3, 12))) == []
    assert credits() == []


def test_add_ons_and_discounts_are_in_what_the_days_cost(provider: Provider):
    now = provider.travel(noon(MARCH))
    login = line_of(provider)
    with transaction() as tx:
        tax_class = tx.scalar(select(plan.c.tax_class_id).limit(1))
        router = add_product(tx, "system", name="Router", kind="rent", price=Money(310, "EUR"), tax_class_id=tax_class)
        sell_product(tx, provider.vault, "system", 1, router)
        add_discount(tx, provider.vault, "system", 1, text="Loyal", percent_off="10")
    issue_due(now)
    (each,) = given_to(login)
    assert each.credited == Money(360, "EUR")  # (3 × (1.00 - 0.10 + 0.10)) and tax
    commit(login)
    assert credits() == [360]
    assert books() == []


def test_days_that_are_not_billed_yet_come_off_the_next_bill(provider: Provider):
    provider.travel(noon(MARCH))
    login = line_of(provider, in_arrears=True)
    with transaction() as tx:
        add_discount(tx, provider.vault, "system", 1, text="Loyal", percent_off="10")
    (each,) = given_to(login)
    assert (each.credited, each.next_bill) == (Money(0, "EUR"), Money(270, "EUR"))
    assert commit(login) == [1]
    assert commit(login) == []
    issue_due(noon(APRIL))
    with transaction() as tx:
        lines = tx.execute(select(invoice_line).order_by(invoice_line.c.position)).all()
        assert [(row.kind, row.text, row.amount_minor) for row in lines[1:]] == [
            ("discount", "Loyal", -310),
            ("discount", "Outage", -270),
        ]
        assert tx.scalar(select(invoice.c.net_minor)) == 3100 - 310 - 270
    assert books() == []


def test_an_outage_over_the_end_of_the_billed_days_is_given_in_both_ways(provider: Provider):
    now = provider.travel(noon(MARCH))
    login = line_of(provider)
    issue_due(now)
    days = Period(date(2026, 3, 30), date(2026, 4, 3))
    (each,) = given_to(login, days=days)
    assert (each.credited, each.next_bill) == (Money(240, "EUR"), Money(207, "EUR"))
    commit(login, days=days)
    issue_due(noon(APRIL))
    with transaction() as tx:
        april = tx.execute(select(invoice).order_by(invoice.c.id.desc())).first()
        assert april is not None
        assert april.net_minor == 3100 - 207
    assert books() == []


def test_an_invoice_never_goes_below_nothing_and_nobody_gets_more_than_was_charged(provider: Provider):
    now = provider.travel(noon(MARCH))
    login, arrears = line_of(provider), line_of(provider, in_arrears=True)
    with transaction() as tx:
        add_discount(tx, provider.vault, "system", 2, text="Friend", amount_off=Money(3000, "EUR"))
    (first,) = issue_due(now)
    with transaction() as tx:
        credit_invoice(tx, provider.vault, load_business(tx, provider.vault), "staff:1", first, "Sorry", now)
    whole = Period(MARCH, APRIL)
    assert [
        (each.login, each.credited.minor, each.next_bill.minor) for each in given_to(login, arrears, days=whole)
    ] == [(arrears, 0, 100)]
    commit(login, arrears, days=whole)
    issue_due(noon(APRIL))
    with transaction() as tx:
        assert min(tx.scalars(select(invoice.c.total_minor))) > 0
        assert tx.scalar(select(func.count()).select_from(invoice_line).where(invoice_line.c.service_id == 2)) == 0
    assert books() == []


def test_paused_days_and_days_before_the_start_are_worth_nothing(provider: Provider):
    now = provider.travel(noon(MARCH))
    login, late = line_of(provider), line_of(provider, start=date(2026, 3, 12))
    with transaction() as tx:
        pause(tx, provider.vault, "staff:1", 1, date(2026, 3, 11), date(2026, 3, 20))
    issue_due(now)
    assert [(each.login, each.credited.minor, each.next_bill.minor) for each in given_to(login, late)] == [
        (login, 120, 0),
        (late, 0, 100),
    ]
    commit(login, late)
    issue_due(noon(APRIL))
    assert books() == []


def test_a_plan_that_costs_the_whole_or_nothing_gives_days_back_too(provider: Provider):
    now = provider.travel(noon(MARCH))
    login = line_of(provider, prorated=False)
    arrears = line_of(provider, prorated=False, in_arrears=True)
    issue_due(now)
    assert [(each.credited.minor, each.next_bill.minor) for each in given_to(login, arrears)] == [(360, 0), (0, 300)]
    commit(login, arrears)
    issue_due(noon(APRIL))
    with transaction() as tx:
        theirs = select(func.sum(invoice_line.c.amount_minor)).where(invoice_line.c.service_id == 2)
        assert tx.scalar(theirs) == 2800
    assert books() == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    price=st.integers(1, 9999),
    percent=st.integers(1, 99),
    start=st.integers(0, 27),
    length=st.integers(1, 31),
    tax=st.sampled_from(["0", "19", "5.5"]),
    arrears=st.booleans(),
)
def test_what_was_said_is_what_is_given(
    provider: Provider, price: int, percent: int, start: int, length: int, tax: str, arrears: bool
):
    provider.travel(noon(MARCH))
    login = line_of(provider, price, tax=tax, in_arrears=arrears)
    with transaction() as tx:
        line = tx.execute(select(service).where(service.c.login == login)).one()
        add_discount(tx, provider.vault, "system", line.id, text="Loyal", percent_off=str(percent))
        last_note = tx.scalar(select(func.max(credit_note.c.id))) or 0
    issue_due(noon(MARCH))
    begins = date(2026, 3, 1 + start)
    days = Period(begins, min(outage_days(begins, length).end, APRIL))
    said = given_to(login, days=days)
    commit(login, days=days)
    issue_due(noon(date(2026, 4, 1)))
    with transaction() as tx:
        noted = tx.scalar(
            select(func.sum(credit_note.c.total_minor)).where(
                credit_note.c.id > last_note, credit_note.c.subscriber_id == line.payer_id
            )
        )
        off = tx.scalar(
            select(func.sum(invoice_line.c.amount_minor)).where(
                invoice_line.c.service_id == line.id, invoice_line.c.text == "Outage"
            )
        )
        totals = list(tx.scalars(select(invoice.c.total_minor).where(invoice.c.subscriber_id == line.payer_id)))
        assert check_books(tx) == []
    assert sum(each.credited.minor for each in said) == (noted or 0)
    next_bill = sum(each.next_bill.minor for each in said)
    if arrears and not totals:  # all that was left of the price is given: a bill of nothing is no invoice
        assert next_bill == price - Money(price, "EUR").times(Decimal(percent).scaleb(-2)).minor
    else:
        assert next_bill == -(off or 0)
    assert all(total > 0 for total in totals)


def test_who_was_on_a_nas_and_who_had_a_plan(provider: Provider):
    now = provider.travel(noon(MARCH))
    provider.set(time_zone="Europe/Paris")
    logins = [line_of(provider) for _ in range(5)]
    issue_due(now)
    outside = datetime(2026, 3, 9, 22, 59, tzinfo=UTC)  # a minute before the outage's first midnight in Paris
    inside = datetime(2026, 3, 9, 23, 1, tzinfo=UTC)
    with transaction() as tx:
        for number in (1, 2):
            add_nas(
                tx,
                provider.vault,
                "system",
                name=f"edge{number}",
                network=f"192.0.2.{number}",
                secret="s",
                kind="cisco",
            )
        ids = dict(tx.execute(select(nas.c.name, nas.c.id)).all())
        for number, (name, began, ended) in enumerate(
            [
                ("edge1", noon(MARCH), None),
                ("edge1", noon(MARCH), outside),
                ("edge1", noon(MARCH), inside),
                ("edge2", noon(MARCH), None),
                ("edge1", noon(date(2026, 3, 13)), None),
            ],
            start=1,
        ):
            tx.execute(
                insert(session).values(
                    service_id=number, nas_id=ids[name], device="192.0.2.1", acct_session_id=str(number),
                    login=logins[number - 1], started_at=began, updated_at=began, stopped_at=ended,
                )
            )  # fmt: skip
        assert on_nas(tx, "edge1", DAYS).service_ids == (1, 3)
        assert on_nas(tx, "edge1", DAYS).name == "nas:edge1"
        first = str(tx.scalar(select(plan.c.name).where(plan.c.id == 1)))
        assert on_plan(tx, first, DAYS).service_ids == (1,)
        change_plan(tx, provider.vault, "staff:1", 1, 2)
        assert on_plan(tx, first, DAYS).service_ids == ()
        for wrong in (
            lambda: on_nas(tx, "edge3", DAYS),
            lambda: on_plan(tx, "None", DAYS),
            lambda: on_list(tx, []),
            lambda: outage_days(MARCH, 0),
            lambda: outage_days(MARCH, 93),
        ):
            with pytest.raises(Refused):
                wrong()
        with pytest.raises(Refused, match=r"Nobody has these logins: nobody, noone\.") as refused:
            on_list(tx, [logins[0], "noone", "nobody"])
        assert refused.value.field == "logins"


def test_started_at_once_it_is_given_once(provider: Provider):
    now = provider.travel(noon(MARCH))
    logins = [line_of(provider) for _ in range(6)]
    issue_due(now)
    scope = scope_of(*logins)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: commit_outage(scope, DAYS, "Outage", "staff:1"), range(4)))
    assert sorted(each for found in done for each in found) == list(scope.service_ids)
    assert credits() == [360] * 6
    assert (counted(outage), books()) == (1, [])


RUN = """
import sys
from datetime import date
from base.business import load_business
from base.calendar import Period
from base.database import transaction
from billing.outages import commit_outage, on_list
with transaction() as tx:
    scope = on_list(tx, sys.argv[1:])
commit_outage(scope, Period(date(2026, 3, 10), date(2026, 3, 13)), "Outage", "staff:1")
"""


def test_killed_in_the_middle_it_is_gone_on_with(provider: Provider):
    now = provider.travel(noon(MARCH))
    home = provider.plan(3100)
    for number in range(60):
        provider.service(provider.subscriber(f"Payer {number}"), home, MARCH)
    issue_due(now)
    with transaction() as tx:
        logins = list(tx.scalars(select(service.c.login)))
    process = subprocess.Popen([sys.executable, "-c", RUN, *logins], cwd=ROOT)
    deadline = time.monotonic() + at_most(30)
    while not counted(credit_note):
        assert time.monotonic() < deadline
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    before = counted(outage_service)
    assert 0 < before < 60
    assert len(commit(*logins)) == 60 - before
    assert credits() == [360] * 60
    assert books() == []


def test_a_service_that_cannot_be_given_anything_keeps_no_other_back(provider: Provider):
    now = provider.travel(noon(MARCH))
    logins = [line_of(provider) for _ in range(3)]
    issue_due(now)
    with transaction() as tx:
        tx.execute(update(plan).where(plan.c.id == 2).values(currency="USD"))
    with pytest.raises(Unfinished, match="outage: 1 failed; the first is 2"):
        commit(*logins)
    assert credits() == [360, 360]
