"""A provider for tests: one NAS on every loopback address, one plan, and subscribers by login."""

from sqlalchemy import Engine

from base.crypto import Vault
from base.database import transaction
from base.money import Money
from base.nas import add_nas
from billing.plans import add_plan
from billing.services import add_service, add_subscriber
from tests.radius.nas import SECRET


def provide(engine: Engine, vault: Vault, *logins: str, network: str = "127.0.0.0/8", kind: str = "mikrotik") -> int:
    """Store it all; every password is 'pw-' and the login. Returns the NAS row's id."""
    with transaction(engine) as tx:
        nas_id = add_nas(tx, vault, "test", name="loopback", network=network, secret=SECRET.decode(), kind=kind)
        plan = add_plan(
            tx, "test", name="Fast", price=Money(2000, "EUR"), rate_down=100_000_000, rate_up=20_000_000, pool="home"
        )
        for login in logins:
            subscriber = add_subscriber(tx, vault, "test", name=login)
            add_service(tx, vault, "test", subscriber_id=subscriber, plan_id=plan, login=login, password=f"pw-{login}")
    return nas_id
