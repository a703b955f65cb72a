"""Walled subscribers pay, and how long it takes until they are back: python -m bench.restoring FIRST PEOPLE PAUSE.

They are online at simulated NASes, open Stripe's hosted page, and pay one after the other. Counted is from the arrival
of Stripe's webhook: to the row of the new policy, and to the answer of the NAS to the packet that gives the line back.
"""

import json
import sys
import time
from contextlib import ExitStack
from typing import Any

import requests
from sqlalchemy import func, select, text

from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from base.tables import access_history, inbox, service, session
from bench.datagrams import SECRET, login_of, password_of
from billing import checkout
from billing.collect.tables import checkout as pages
from sandbox.nas import Nas
from sandbox.nas_session import Session

CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "B"}
AT_A_NAS = 200  # sessions
PATIENCE = 60.0  # seconds


def measure(first: int, people: int, pause: float) -> list[tuple[float, float]]:
    """(milliseconds to the policy, to the acknowledgement) of each, paying `pause` seconds after the one before."""
    config = settings()
    radius = (config.radius_hosts[0], config.radius_auth_port, config.radius_acct_port)
    logins = [login_of(number) for number in range(first, first + people)]
    with transaction() as tx:
        port = int(tx.scalar(text("SELECT coa_port FROM nas LIMIT 1")) or 0)
    with ExitStack() as held:
        behind: dict[str, Nas] = {}
        for number, login in enumerate(logins):
            if number % AT_A_NAS == 0:
                place = f"127.77.{first // AT_A_NAS % 250}.{number // AT_A_NAS + 1}"
                nas = held.enter_context(Nas(place, SECRET, "mikrotik", "bench", radius, port))
            outcome = nas.login(login, password_of(login), redial=False)
            if not isinstance(outcome, Session) or outcome.address_list != "walled":
                raise RuntimeError(f"{login} is not walled in: {outcome}")
            behind[login] = nas
        _wait_until_counted(logins)
        urls = {login: _open_page(login) for login in logins}
        found = []
        for login in logins:
            time.sleep(pause)
            found.append(_pay(login, behind[login], urls[login]))
    return found


def _open_page(login: str) -> str:
    with transaction() as tx:
        payer = tx.scalar(select(service.c.payer_id).where(service.c.login == login))
    assert payer is not None
    return checkout.start(open_vault(settings().secret_keys), payer, settings().public_url, checkout.Wish(known=False))


def _pay(login: str, nas: Nas, url: str) -> tuple[float, float]:
    begun = time.monotonic()
    answer = requests.post(url, data=CARD, timeout=PATIENCE, allow_redirects=False)
    if answer.status_code != 303:
        raise RuntimeError(f"the page answers {answer.status_code}")
    ack = nas.events.wait("ack_sent", login, since=begun, timeout=PATIENCE)
    with transaction() as tx:
        told = select(inbox.c.received_at).where(
            inbox.c.kind == "checkout.session.completed",
            inbox.c.body["data"]["object"]["id"].astext
            == select(pages.c.session_id).where(pages.c.url == url).scalar_subquery(),
        )
        arrived = tx.execute(told).scalar_one()
        decided = (
            select(access_history.c.real_at, access_history.c.level)
            .join(service, service.c.id == access_history.c.service_id)
            .where(service.c.login == login)
            .order_by(access_history.c.id.desc())
        )
        row: Any = tx.execute(decided.limit(1)).one()
    if row.level:
        raise RuntimeError(f"{login} has paid and is not back")
    return 1000 * (row.real_at - arrived).total_seconds(), 1000 * (ack.wall - arrived).total_seconds()


def _wait_until_counted(logins: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    query = select(func.count()).where(session.c.login == func.any(logins), session.c.stopped_at.is_(None))
    while time.monotonic() < deadline:
        with transaction() as tx:
            if (tx.scalar(query) or 0) >= len(logins):
                return
        time.sleep(0.1)
    raise RuntimeError("the sessions are not in the tables")


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
