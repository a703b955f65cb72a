"""Many at once, and killed in the middle: nothing twice, nothing lost, no gap."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from sqlalchemy import func, select, text, update

from base.business import load_business
from base.database import transaction
from base.money import Money
from base.tables import service
from billing.changes import change_plan
from billing.invoices import CHUNK, issue_due, open_invoices
from billing.issue import issue_for_subscribers
from billing.ledger import check_books
from billing.payments import Recorded, record_payment
from billing.tables import invoice, message, payment
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
ROOT = Path(__file__).parents[2]
RUN = """
import sys
from datetime import datetime
from billing.invoices import issue_due
from billing.dunning.run import run_dunning
print("ready", flush=True)
sys.stdin.readline()
print(len(issue_due(datetime.fromisoformat(sys.argv[1]))), flush=True)
print(len(run_dunning(datetime.fromisoformat(sys.argv[2]))), flush=True)
"""


def fill(provider: Provider, count: int) -> None:
    """Many subscribers with a service each."""
    provider.travel(noon(MARCH))
    plan_id = provider.plan()
    for number in range(count):
        provider.service(provider.subscriber(f"Payer {number}"), plan_id, MARCH)


def bill_run() -> subprocess.Popen[str]:
    """A process that stands ready for a bill run and then for dunning, each with its time."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, noon(MARCH).isoformat(), noon(date(2026, 3, 18)).isoformat()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def counted(table) -> int:
    with transaction() as tx:
        return tx.scalar(select(func.count()).select_from(table)) or 0


def test_two_processes_bill_and_remind_everybody_once(provider: Provider):
    fill(provider, 3 * CHUNK)
    processes = [bill_run(), bill_run()]
    for process in processes:
        begin(process)
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    for total in zip(*[[int(number) for number in output] for output in outputs], strict=True):
        assert sum(total) == 3 * CHUNK
    with transaction() as tx:
        per_service = select(func.count()).select_from(invoice).group_by(invoice.c.subscriber_id)
        assert set(tx.scalars(per_service)) == {1}
        assert len(set(tx.scalars(select(service.c.billed_until)))) == 1
        assert check_books(tx) == []
    assert counted(message) == 6 * CHUNK


def test_a_bill_run_killed_in_the_middle_is_finished_by_the_next(provider: Provider):
    fill(provider, 6 * CHUNK)
    process = bill_run()
    begin(process)
    deadline = time.monotonic() + 30
    while not counted(invoice):
        assert time.monotonic() < deadline
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    before = counted(invoice)
    assert 0 < before < 6 * CHUNK
    issued = issue_due(noon(MARCH))
    with transaction() as tx:
        numbers = sorted(tx.scalars(select(invoice.c.number)))
        assert numbers == [f"INV-{number:06d}" for number in range(1, 6 * CHUNK + 1)]
        assert check_books(tx) == []
    assert len(issued) + before == 6 * CHUNK
    assert counted(message) == 6 * CHUNK


def test_a_bill_that_is_rolled_back_leaves_no_gap(provider: Provider):
    fill(provider, 3)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        payers = list(tx.scalars(select(service.c.subscriber_id)))
        assert len(issue_for_subscribers(tx, provider.vault, business, payers, noon(MARCH))) == 3
        tx.rollback()
    assert (counted(invoice), counted(message)) == (0, 0)
    issue_due(noon(MARCH))
    with transaction() as tx:
        assert sorted(tx.scalars(select(invoice.c.number))) == ["INV-000001", "INV-000002", "INV-000003"]
        assert check_books(tx) == []


def waiting() -> int:
    """How many transactions of this database wait for a lock."""
    with transaction() as tx:
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return tx.scalar(text(blocked)) or 0


def test_a_bill_waits_for_a_service_that_is_being_ended(provider: Provider):
    fill(provider, 1)
    with ThreadPoolExecutor(1) as pool:
        with transaction() as tx:
            tx.execute(update(service).values(ends_on=MARCH))
            issued = pool.submit(issue_due, noon(MARCH))
            deadline = time.monotonic() + 30
            while not waiting():
                assert time.monotonic() < deadline
        assert issued.result() == []
    assert counted(invoice) == 0


def pay(provider: Provider, subscriber_id: int, gateway_id: str | None, minor: int = 3599) -> Recorded:
    with transaction() as tx:
        return record_payment(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            subscriber_id=subscriber_id,
            amount=Money(minor, "EUR"),
            method="card",
            gateway_id=gateway_id,
            author="system",
            now=noon(MARCH),
        )


def test_the_same_gateway_payment_at_once_is_one_payment(provider: Provider):
    fill(provider, 1)
    issue_due(noon(MARCH))
    barrier = threading.Barrier(4)

    def settle(_: int) -> Recorded:
        barrier.wait()
        return pay(provider, 1, "pi_1")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(settle, range(4)))
    assert sorted(result.new for result in results) == [False, False, False, True]
    assert len({result.payment_id for result in results}) == 1
    assert counted(payment) == 1
    with transaction() as tx:
        assert open_invoices(tx, 1) == []
        assert check_books(tx) == []


def test_payments_and_bills_at_once_keep_the_books(provider: Provider):
    fill(provider, 4)
    barrier = threading.Barrier(4)

    def act(worker: int) -> None:
        barrier.wait()
        for month in range(3, 9):
            if worker % 2:
                issue_due(noon(date(2026, month, 1)))
            else:
                for subscriber_id in (4, 3, 2, 1) if worker else (1, 2, 3, 4):
                    pay(provider, subscriber_id, None, 1700 * month)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    with transaction() as tx:
        assert counted(invoice) == 4 * 6
        assert counted(payment) == 2 * 4 * 6
        assert check_books(tx) == []


def test_two_payers_cannot_share_a_gateway_payment(provider: Provider):
    fill(provider, 2)
    barrier = threading.Barrier(2)

    def settle(subscriber_id: int) -> Recorded | Exception:
        barrier.wait()
        try:
            return pay(provider, subscriber_id, "pi_1")
        except Exception as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(settle, [1, 2]))
    assert sum(isinstance(result, Recorded) for result in results) == 1
    with transaction() as tx:
        assert check_books(tx) == []
    assert counted(payment) == 1


def test_changes_of_plan_beside_bill_runs_and_payments_never_wait_for_each_other_in_a_ring(provider: Provider):
    now = provider.travel(noon(MARCH))
    home, pro = provider.plan(price=3100), provider.plan(price=6200)
    payers = [provider.subscriber(f"Payer {number}") for number in range(4)]
    lines = [provider.service(payer, home, MARCH) for payer in payers]
    issue_due(now)

    def change(turn: int) -> None:
        for line in lines:
            with transaction() as tx:
                change_plan(tx, provider.vault, "staff:1", line, pro if turn % 2 else home)

    def bill_and_pay(turn: int) -> None:
        issue_due(now)
        for payer in payers:
            provider.pay(payer, 100 + turn)

    with ThreadPoolExecutor(8) as pool:
        for deed in [pool.submit(each, turn) for turn in range(8) for each in (change, bill_and_pay)]:
            deed.result()
    issue_due(now)
    with transaction() as tx:
        assert check_books(tx) == []
