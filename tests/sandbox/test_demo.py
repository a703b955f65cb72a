"""The pretend provider, filled in a real database: counts as promised, clean books, a believable past."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, select

from base import clock
from base.access import AccessLevel
from base.business import Business, load_business
from base.calendar import add_months, local_date
from base.crypto import check_password
from base.database import transaction
from base.offers import plan
from base.policies import read_policies
from base.settings import WrongSetting, settings
from base.tables import access_history, job, nas, policy, service, subscriber
from billing.dunning.policy import STANDARD, Policy
from billing.invoices import balance, list_invoices, open_invoices
from billing.ledger import check_books
from billing.tables import invoice, message, payment
from sandbox.demo import Logins, fill
from sandbox.demo_history import courses
from sandbox.demo_people import PEOPLE, Fate
from tests.conftest import Database


@pytest.fixture
def sandbox(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    monkeypatch.setenv("TOLLKEEPER_RADIUS_HOSTS", "127.0.0.1")
    settings.cache_clear()
    yield database
    settings.cache_clear()
    clock.travel_to_offset(timedelta())


def test_the_provider_is_as_promised(sandbox: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.process_time()
    logins = fill(sandbox.engine, sandbox.vault)
    assert isinstance(logins, Logins)
    assert time.process_time() - before < 20

    with transaction(sandbox.engine) as tx:
        assert check_books(tx) == []
        assert tx.scalar(select(func.count()).select_from(subscriber)) == 40
        assert tx.scalar(select(func.count()).select_from(service)) == 40
        assert tx.scalar(select(func.count()).select_from(plan)) == 4
        assert tx.execute(select(nas.c.kind, nas.c.coa_port).order_by(nas.c.kind)).all() == [
            ("cisco", 3799),
            ("mikrotik", 3799),
            ("wispr", 3799),
        ]
        levels = Counter(each.level for each in read_policies(tx, sandbox.vault))
        assert levels == {AccessLevel.FULL: 33, AccessLevel.WALLED: 6, AccessLevel.BLOCKED: 1}
        reasons = Counter(tuple(each) for each in tx.scalars(select(policy.c.reasons)))
        assert reasons == {(): 33, ("debt",): 5, ("staff_suspended",): 1, ("staff_blocked",): 1}
        causes = set(tx.scalars(select(access_history.c.because)))
        assert {"time", "staff:1"} < causes
        assert any(cause.startswith("payment:") for cause in causes)

        today = local_date(clock.now(), load_business(tx, sandbox.vault).zone)
        ids = {row.name: row.id for row in tx.execute(select(subscriber.c.name, subscriber.c.id))}
        reminded = set(tx.scalars(select(message.c.subscriber_id).where(message.c.kind == "reminder_1")))
        for person in PEOPLE:
            owed = open_invoices(tx, ids[person.name])
            overdue = [each for each in owed if each.due_on < today]
            assert bool(overdue) == (person.fate in (Fate.LATE, Fate.WALLED)), person
            assert len(list_invoices(tx, ids[person.name])) >= 2
            if overdue:
                assert ids[person.name] in reminded
        assert tx.scalar(select(func.count()).select_from(payment)) > 100
        assert not tx.scalar(select(func.count()).where(invoice.c.issued_on > today))

        for account, fate in ((logins.full, Fate.PAID), (logins.late, Fate.LATE), (logins.walled, Fate.WALLED)):
            row = tx.execute(select(subscriber).where(subscriber.c.email == account.login)).one()
            assert check_password(row.portal_password, account.password)
            assert next(person.fate for person in PEOPLE if person.name == row.name) is fate
            assert (balance(tx, row.id).minor > 0) == (fate is not Fate.PAID)
            assert any(account.password in line for line in logins.lines())

        # the past is filed away; what is due today is real work
        waiting = Counter(tx.scalars(select(job.c.kind).where(job.c.state == "ready")))
        assert 5 <= waiting["send_message"] <= 20
        soon = func.clock_timestamp() + timedelta(seconds=10)
        soon_made = tx.scalar(select(func.count()).where(job.c.kind == "render_document", job.c.run_after < soon))
        assert 3 <= soon_made <= 15
        unsent = tx.scalar(select(func.count()).where(message.c.sent_at.is_(None)))
        assert unsent == waiting["send_message"]

    # filled once; then only its ports are followed
    monkeypatch.setenv("TOLLKEEPER_SANDBOX_COA_PORT", "4799")
    settings.cache_clear()
    assert fill(sandbox.engine, sandbox.vault) is None
    with transaction(sandbox.engine) as tx:
        assert tx.scalar(select(func.count()).select_from(subscriber)) == 40
        assert set(tx.scalars(select(nas.c.coa_port))) == {4799}


def test_a_filling_that_fails_leaves_nothing_and_the_right_time(
    sandbox: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.demo.PLANS", ())  # the first subscriber finds nothing to buy
    with pytest.raises(KeyError):
        fill(sandbox.engine, sandbox.vault)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=1)
    with transaction(sandbox.engine) as tx:
        assert not tx.scalar(select(func.count()).select_from(subscriber))
        assert load_business(tx, sandbox.vault) == Business()


def test_it_refuses_a_production_configuration(database: Database) -> None:
    settings.cache_clear()
    with pytest.raises(WrongSetting, match="sandbox"):
        fill(database.engine, database.vault)


def test_fates_come_true_whatever_the_day() -> None:
    business = Business()
    policy = Policy(1, "standard", "EUR", STANDARD)
    day = date(2027, 1, 1)
    while day < date(2028, 4, 1):
        for course in courses(day, business, policy):
            # as the calendar issues: a day before each period, and on the second day for the first
            issued = [start - timedelta(days=1) for start in _periods(course.starts_on, day + timedelta(days=1))]
            issued[0] += timedelta(days=2)
            unpaid = [each for each in issued if (paid := course.pays_on(each)) is None or paid >= day]
            late = [(day - each).days - business.due_days for each in unpaid]
            worst = max(late, default=-99)
            if course.person.fate is Fate.LATE:
                assert 3 <= worst < 21, (day, course)
            elif course.person.fate is Fate.WALLED:
                assert worst >= 21, (day, course)
            else:
                assert worst <= 0, (day, course)
        day += timedelta(days=1)


def _periods(starts_on: date, until: date) -> list[date]:
    starts = (add_months(starts_on, index) for index in range(12))
    return [start for start in starts if start <= until]
