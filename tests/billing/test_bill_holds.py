"""Bills that wait: the severely odd ones stay behind when that is wanted, until somebody releases them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import func, select, update

from base.business import load_business
from base.database import transaction
from base.money import Money
from base.tables import service
from billing.bill_holds import list_held, release
from billing.bill_preview import preview_run
from billing.bill_runs import report
from billing.changes import set_price
from billing.invoices import issue_due
from billing.refused import Refused
from billing.tables import invoice
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
NEXT = date(2026, 3, 31)


def two_payers(provider: Provider) -> tuple[int, int]:
    """One whose price of April is ten times that of March, and one whose price stays."""
    provider.travel(noon(MARCH))
    home = provider.plan(2999)
    odd, good = provider.subscriber("Odd"), provider.subscriber("Good")
    line = provider.service(odd, home, MARCH)
    provider.service(good, home, MARCH)
    issue_due(noon(MARCH))
    with transaction() as tx:
        set_price(tx, provider.vault, "staff:1", line, Money(29990, "EUR"), "typed wrong")
    return odd, good


def held() -> list[tuple[int, int, str]]:
    with transaction() as tx:
        return [(row.subscriber_id, row.total_minor, row.released_by) for row in list_held(tx)]


def invoices(subscriber_id: int) -> int:
    with transaction() as tx:
        query = select(func.count()).select_from(invoice).where(invoice.c.subscriber_id == subscriber_id)
        return tx.scalar(query) or 0


def test_without_the_setting_everything_goes_out(provider: Provider):
    odd, good = two_payers(provider)
    assert len(issue_due(noon(NEXT))) == 2
    assert (invoices(odd), invoices(good), held()) == (2, 2, [])


def test_an_odd_bill_waits_until_it_is_released_and_the_others_go_out(provider: Provider):
    odd, good = two_payers(provider)
    provider.set(bill_run_hold="anomalies")
    found = preview_run(NEXT)
    assert [(bill.subscriber_id, bill.held) for bill in found.bills] == [(odd, True), (good, False)]
    assert found.sums["EUR"].invoices == 1
    for _ in range(3):
        issue_due(noon(NEXT))
    assert (invoices(odd), invoices(good)) == (1, 2)
    assert held() == [(odd, 35988, "")]
    with transaction() as tx:
        seen = report(tx, NEXT)
        assert [(number, name) for number, name, _ in seen.held] == [("00001", "Odd")]
        assert "€299.90 for a whole period" in seen.held[0][2]
        release(tx, "staff:1", odd, noon(NEXT))
    assert held() == [(odd, 35988, "staff:1")]
    assert [bill.held for bill in preview_run(NEXT).bills] == [False]
    assert len(issue_due(noon(NEXT))) == 1
    assert (invoices(odd), held()) == (2, [])
    with transaction() as tx, pytest.raises(Refused, match="No bill of this subscriber is held back"):
        release(tx, "staff:1", odd, noon(NEXT))


def test_a_bill_that_was_put_right_goes_out_by_itself(provider: Provider):
    odd, _ = two_payers(provider)
    provider.set(bill_run_hold="anomalies")
    issue_due(noon(NEXT))
    assert held() == [(odd, 35988, "")]
    with transaction() as tx:
        set_price(tx, provider.vault, "staff:1", 1, None, "put right")
    assert len(issue_due(noon(NEXT))) == 1
    assert held() == []


def test_a_hold_ends_with_the_setting_and_with_what_is_due(provider: Provider):
    odd, _ = two_payers(provider)
    provider.set(bill_run_hold="anomalies")
    issue_due(noon(NEXT))
    with transaction() as tx:
        tx.execute(update(service).where(service.c.payer_id == odd).values(next_bill_on=None))
    issue_due(noon(NEXT))
    assert held() == []
    with transaction() as tx:
        tx.execute(update(service).where(service.c.payer_id == odd).values(next_bill_on=date(2026, 4, 1)))
    issue_due(noon(NEXT))
    assert held() == [(odd, 35988, "")]
    provider.set(bill_run_hold="no")
    assert len(issue_due(noon(NEXT))) == 1
    assert held() == []


def test_runs_at_once_hold_back_once(provider: Provider):
    odd, good = two_payers(provider)
    provider.set(bill_run_hold="anomalies")
    with ThreadPoolExecutor(4) as pool:
        issued = list(pool.map(issue_due, [noon(NEXT)] * 4))
    assert sum(map(len, issued)) == 1
    assert (invoices(odd), invoices(good), held()) == (1, 2, [(odd, 35988, "")])
    with transaction() as tx:
        assert load_business(tx, provider.vault).bill_run_hold == "anomalies"
