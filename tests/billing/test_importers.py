"""Importing: all of a file or nothing, once."""

import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import select, update

from base import tables
from base.database import transaction
from base.money import Money
from base.offers import plan
from billing.extras import add_product
from billing.importers.examples import EXAMPLES
from billing.plans import class_of_percent
from billing.refused import Refused
from billing.services import add_service
from billing.tables import series
from tests.billing.importing import PEOPLE, books, count, one, right, rows, said, take


def many(broken=()):
    lines = [f"{number},Subscriber {number},mail{number}@example.net" for number in range(1, 10_001)]
    for number in broken:
        lines[number - 1] = f"{number},,nobody"
    return "number,name,email\n" + "\n".join(lines) + "\n"


def test_one_broken_row_among_ten_thousand_keeps_all_out(moving):
    assert said(take(moving, "subscribers", many([7000]))) == [
        (7001, "email", "'nobody' is not one mail address."),
        (7001, "name", "It is empty."),
    ]
    assert count(tables.subscriber) == 0
    assert rows(select(series).where(series.c.name == "subscriber")) == []


def test_all_broken_rows_are_listed_up_to_ten_thousand_and_then_counted(moving):
    report = take(moving, "subscribers", many(range(1, 10_001)))
    assert (len(report.faults), report.fault_count) == (10_000, 20_000)
    assert [fault.line for fault in report.faults[::2]] == list(range(2, 5_002))


def test_what_changes_between_check_and_writing_is_refused(moving):
    """Somebody else adds a service with a login of the file, after it was checked."""
    right(take(moving, "subscribers", PEOPLE))
    data = "subscriber,login,password,plan,starts_on\n1001,taken,b,Home 1,2026-11-24\n"
    bert = one(select(tables.subscriber.c.id).where(tables.subscriber.c.number == "1002")).id

    def meanwhile(done, of):
        if not count(tables.service):
            with transaction() as tx:
                add_service(
                    tx, moving.vault, "system", subscriber_id=bert, plan_id=moving.home, login="taken", password="x"
                )

    with pytest.raises(Refused, match="The login 'taken' is taken by the subscriber 1002"):
        take(moving, "services", data, tell=meanwhile)
    assert count(tables.service) == 1


def test_killed_in_the_middle_nothing_is_there(moving, tmp_path):
    file = tmp_path / "many.csv"
    file.write_text(many())
    program = """
        import sys, time
        from datetime import UTC, datetime
        from pathlib import Path
        from base.business import load_business
        from base.crypto import open_vault
        from base.database import transaction
        from base.settings import settings
        from billing.importers.run import import_file

        def tell(done, of):
            if done > of * 0.8:
                print("in the middle", flush=True)
                time.sleep(60)

        vault = open_vault(settings().secret_keys)
        with transaction() as tx:
            data = Path(sys.argv[1]).read_bytes()
            now = datetime(2026, 11, 24, 12, tzinfo=UTC)
            import_file(tx, vault, load_business(tx, vault), "x", "subscribers", data, now, commit=True, tell=tell)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "in the middle\n"
    finally:
        child.kill()
        child.wait()
    assert count(tables.subscriber) == 0
    report = take(moving, "subscribers", many())
    assert (right(report), report.committed) == ((10_000, 0), True)
    assert right(take(moving, "subscribers", many())) == (0, 10_000)


def test_the_examples_are_taken(moving):
    with transaction() as tx:
        tx.execute(update(plan).values(name="Home 100"))
        tax = class_of_percent(tx, "system", "20")
        for name in ("Static address", "Router"):
            add_product(tx, "system", name=name, kind="addon", price=Money(500, "EUR"), tax_class_id=tax)
    for kind, example in EXAMPLES.items():
        assert right(take(moving, kind, example)) == (3, 0)
    assert books() == []
