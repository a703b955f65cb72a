"""A provider with as many services as wanted, in seconds: the funnel decides one of them, and SQL copies it.

The copies are what billing would have written: same plan, same decision, each with its login and encrypted password.
"""

from sqlalchemy import Connection, Engine, text

from base.crypto import Vault
from base.database import transaction
from base.money import Money
from base.nas import add_nas
from bench.datagrams import POOL, RATE_DOWN, RATE_UP, SECRET, login_of, password_of
from billing.plans import add_plan
from billing.services import add_service, add_subscriber

_COPIES = (
    "INSERT INTO subscriber (number, name, email, currency, created_at) "
    "SELECT 'B' || lpad(copy.n::text, 7, '0'), copy.login, copy.login || '@example.net', first.currency, "
    "first.created_at "
    "FROM bench_copy copy, subscriber first ORDER BY copy.n",
    "INSERT INTO service (subscriber_id, payer_id, plan_id, login, password, starts_on, billed_until, next_bill_on, "
    "created_at) SELECT payer.id, payer.id, first.plan_id, copy.login, copy.password, first.starts_on, "
    "first.billed_until, first.next_bill_on, first.created_at "
    "FROM bench_copy copy JOIN subscriber payer ON payer.name = copy.login, service first ORDER BY copy.n",
    "INSERT INTO service_plan (service_id, from_on, plan_id, anchor_on) "
    "SELECT own.id, own.starts_on, own.plan_id, own.starts_on "
    "FROM bench_copy copy JOIN service own ON own.login = copy.login",
    "INSERT INTO policy "
    "(service_id, version, level, reasons, review_at, login, password, obeyed, changed_at) "
    "SELECT own.id, first.version, first.level, first.reasons, first.review_at, own.login, own.password, first.obeyed, "
    "first.changed_at FROM bench_copy copy JOIN service own ON own.login = copy.login, policy first ORDER BY copy.n",
    "DROP TABLE bench_copy",
)


def fill(engine: Engine, vault: Vault, services: int) -> None:
    """Fill an empty, migrated database: one NAS on all of loopback, one plan, and logins `login_of(0)` and on."""
    with transaction(engine) as tx:
        add_nas(tx, vault, "bench", name="loopback", network="127.0.0.0/8", secret=SECRET.decode(), kind="mikrotik")
        plan = add_plan(
            tx, "bench", name="Fast", price=Money(2000, "EUR"), rate_down=RATE_DOWN, rate_up=RATE_UP, pool=POOL
        )
        login = login_of(0)
        payer = add_subscriber(tx, vault, "bench", name=login, email=f"{login}@example.net")
        add_service(tx, vault, "bench", subscriber_id=payer, plan_id=plan, login=login, password=password_of(login))
        _copy(tx, vault, range(1, services))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _copy(tx: Connection, vault: Vault, numbers: range) -> None:
    tx.execute(text("CREATE TEMPORARY TABLE bench_copy (n integer, login text, password bytea)"))
    raw = tx.connection.driver_connection
    assert raw is not None
    with raw.cursor().copy("COPY bench_copy FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text", "bytea"])
        for number in numbers:
            login = login_of(number)
            copy.write_row((number, login, vault.lock(password_of(login))))
    for statement in _COPIES:
        tx.execute(text(statement))
