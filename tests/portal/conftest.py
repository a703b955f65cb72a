"""The portal's fixture: a small provider in a real database, and browsers that look at its portal."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, update

import base.database
from base import clock
from base.business import set_business
from base.crypto import hash_password
from base.database import transaction
from base.money import Money
from base.nas import add_nas
from base.settings import settings
from base.tables import session, subscriber
from billing.plans import add_plan
from billing.services import add_service, add_subscriber
from portal.app import create_app
from portal.security import limiter
from portal.tables import staff
from tests.conftest import Database

PASSWORD = "a long password"


@cache
def _hashed() -> str:
    """The password's hash, made once: argon2 is slow on purpose."""
    return hash_password(PASSWORD)


class Portal:
    """A provider with one plan and one NAS, its application, and the deeds that most tests begin with."""

    def __init__(self, database: Database) -> None:
        self.vault = database.vault
        self.app: Flask = create_app()
        with transaction() as tx:
            set_business(tx, self.vault, "system", company_name="Fjordnet", support_contact="call 0800")
            self.plan_id = add_plan(
                tx,
                "system",
                name="Home 100",
                price=Money(2999, "EUR"),
                rate_down=100_000_000,
                rate_up=20_000_000,
            )
            self.nas_id = add_nas(
                tx, self.vault, "system", name="tower-1", network="192.0.2.1", secret="s", kind="mikrotik"
            )
            self.owner_id = self._staff(tx, "olga", "owner")
            self.agent_id = self._staff(tx, "adam", "agent")

    def _staff(self, tx, login: str, role: str) -> int:
        row = {"login": login, "name": login.title(), "password": _hashed(), "role": role, "created_at": clock.now()}
        return tx.scalar(insert(staff).values(row).returning(staff.c.id))

    def browser(self, address: str = "203.0.113.9") -> FlaskClient:
        """A browser that nobody is logged in at."""
        client = self.app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return client

    def as_staff(self, login: str = "olga") -> FlaskClient:
        """A browser with a member of staff logged in."""
        client = self.browser()
        assert post(client, "/staff/login", login=login, password=PASSWORD).status_code == 303
        return client

    def as_subscriber(self, login: str) -> FlaskClient:
        """A browser with a subscriber logged in."""
        client = self.browser()
        assert post(client, "/login", login=login, password=PASSWORD).status_code == 303
        return client

    def subscriber(self, name: str = "Anna", *, login: str | None = None, **more: str) -> int:
        """A subscriber who may log in to the portal; with a login also a service of seventy days."""
        with transaction() as tx:
            made = add_subscriber(tx, self.vault, "system", name=name, **more)
            tx.execute(update(subscriber).where(subscriber.c.id == made).values(portal_password=_hashed()))
            if login is not None:
                self.service(tx, made, login)
        return made

    def service(self, tx, subscriber_id: int, login: str) -> int:
        """One more service."""
        return add_service(
            tx,
            self.vault,
            "system",
            subscriber_id=subscriber_id,
            plan_id=self.plan_id,
            login=login,
            password="secret",
            starts_on=clock.now().date() - timedelta(days=70),
        )

    def line(self, service_id: int | None, address: str, **more: object) -> int:
        """An open session of a service at an address."""
        now = clock.now()
        values = {
            "service_id": service_id,
            "nas_id": self.nas_id,
            "device": "192.0.2.1",
            "acct_session_id": f"s{address}{service_id}",
            "login": "line",
            "framed_address": address,
            "calling_station": "AA:BB:CC:00:11:22",
            "started_at": now - timedelta(hours=1),
            "updated_at": now,
            **more,
        }
        with transaction() as tx:
            return tx.scalar(insert(session).values(values).returning(session.c.id))


@pytest.fixture
def make_portal(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Portal]]:
    """A portal under deployment settings of the test's choice."""

    def make(**chosen: str) -> Portal:
        for name, value in {**database.environment(tmp_path), **chosen}.items():
            monkeypatch.setenv(name if name.startswith("TOLLKEEPER_") else f"TOLLKEEPER_{name.upper()}", value)
        _forget()
        portal = Portal(database)
        limiter.reset()
        return portal

    yield make
    base.database.engine().dispose()
    clock.travel_to_offset(timedelta())
    _forget()


def _forget() -> None:
    settings.cache_clear()
    base.database.engine.cache_clear()


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    """A portal as in production."""
    return make_portal()


def csrf(client: FlaskClient, path: str = "/login") -> str:
    """The token that a page's form carries."""
    html = client.get(path).text
    return html.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]


def post(client: FlaskClient, path: str, /, _form: str | None = None, **fields: object):
    """Send a form as a browser does, with the token of the page that holds it (`_form`, default: the path itself)."""
    return client.post(path, data={"csrf_token": csrf(client, _form or path), **fields})
