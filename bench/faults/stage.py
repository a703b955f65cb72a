"""Where sequences are played: one database, one pretend Stripe, and a calendar that both of them follow."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import stripe
from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock, jobs
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from base.jobs import Lane
from base.money import Money
from base.process import die_with_parent
from base.tables import sandbox_clock
from billing import tasks
from billing.collect import cards
from billing.collect.sweep import run as collect_due
from billing.collect.tables import gateway_state
from billing.dunning.run import run_dunning
from billing.invoices import issue_due
from billing.money_back.sweep import run as money_back_due
from billing.plans import add_plan
from billing.services import add_service, add_subscriber
from billing.tables import message
from billing.tick import review_due

KEY = "sk_test_for_the_fault_machine"
FIRST_YEAR = 2027
SEQUENCES = 25
"""A stage is good for so many: each begins on the first day of a year of 365 days, so that it can be played alone."""
SETTINGS: dict[str, object] = {"stripe_secret_key": KEY, "stripe_calls_per_second": 0}

# Time passes: for what stands in real time, too, as the pretend Stripe forgets its keys after a day.
_AGE = tuple(
    f"UPDATE {table} SET {', '.join(f'{name} = {name} - :span' for name in names)} WHERE {where}"
    for table, names, where in (
        ("job", ("run_after",), "state = 'ready'"),
        ("job", ("lease_until",), "state = 'sent'"),
        ("collection", ("intent_key_at", "ask_at"), "subscriber_id = :who"),
        ("attempt", ("real_at",), "collection_id IN (SELECT id FROM collection WHERE subscriber_id = :who)"),
        ("checkout", ("real_at", "ask_at"), "subscriber_id = :who"),
        ("gone_back", ("real_at", "ask_at"), "subscriber_id = :who"),
    )
)


@dataclass(slots=True)
class Sequence:
    """One run of the machine."""

    seed: int
    who: int = 0
    "The subscriber it is about."
    begun: int = 0
    "Unix seconds of the pretend Stripe's clock."
    heard: set[str] = field(default_factory=set)
    deeds: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    "What came about, counted: so that it shows whether the machine gets about."

    def __str__(self) -> str:
        return f"seed {self.seed}: {'; '.join(self.problems)}\n  " + "\n  ".join(self.deeds)


@contextmanager
def pretend_stripe(folder: Path) -> Iterator[str]:
    """The pretend Stripe as a process of its own; yields its address."""
    with_port = [sys.executable, "-m", "sandbox.stripe", "--data", str(folder), "--api-key", KEY, "--port", "0"]
    process = subprocess.Popen(die_with_parent(with_port), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1].rstrip("./")
    finally:
        process.terminate()
        process.wait(10)


class Stage:
    """The database that the settings of this process name, with the pretend Stripe at `address`."""

    def __init__(self, vault: Vault, address: str) -> None:
        stripe.HTTPClient.INITIAL_DELAY = 0.01  # seconds between the library's own retries; what it does is the same
        self.vault, self.address = vault, address
        self.stripe = stripe.StripeClient(KEY, base_addresses={"api": address})
        self.line = requests.Session()
        self.line.auth = (KEY, "")
        self.control("dials", default_currency="eur", country="AT")
        self.year = FIRST_YEAR - 1
        self.day = date(self.year, 12, 31)
        with transaction() as tx:
            self.plan = add_plan(tx, "system", name="Fast", price=Money(2000, "EUR"), rate_down=10**7, rate_up=10**6)
            self.neighbour = add_subscriber(tx, vault, "system", name="Neighbour", email="")

    # -- the pretend Stripe -------------------------------------------------------------------------------------------

    def control(self, path: str, /, **given: Any) -> Any:
        """One control call; its answer, which says what was wrong where something was."""
        return self.line.post(f"{self.address}/sandbox/{path}", json=given, timeout=10).json()

    def holding(self) -> bool:
        """Whether Stripe holds somebody's call just now."""
        return bool(self.line.get(f"{self.address}/sandbox/faults", timeout=10).json()["holding"])

    def forget_faults(self, kind: str = "") -> None:
        """Have nothing go wrong any more, or nothing of this kind."""
        faults = self.line.get(f"{self.address}/sandbox/faults", timeout=10).json()["faults"]
        if any(each["kind"].startswith(kind) for each in faults):
            self.line.delete(f"{self.address}/sandbox/faults", timeout=10)
            for each in faults:
                if not each["kind"].startswith(kind):
                    self.control("faults", kind=each["kind"], path=each["path"], times=each["times"])

    def list_all(self, path: str, since: int) -> list[dict[str, Any]]:
        """All objects of a list of Stripe's that were made since then, newest first."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": 100, "created[gte]": since}
        while True:
            page = self._page(path, params)
            found += page["data"]
            if not page["has_more"]:
                return found
            params["starting_after"] = found[-1]["id"]

    def _page(self, path: str, params: dict[str, Any]) -> Any:
        """One page of a list; a fault that was meant for somebody else may strike first."""
        for _ in range(20):
            with suppress(requests.ConnectionError):
                answer = self.line.get(f"{self.address}/v1/{path}", params=params, timeout=10)
                if answer.status_code == 200:
                    return answer.json()
        raise RuntimeError(f"Stripe does not list {path}")

    # -- the calendar -------------------------------------------------------------------------------------------------

    def next_year(self) -> None:
        """Begin the first day of the next year that has 365 days."""
        self.year += 1
        while self.year % 4 == 0:
            self.year += 1
        self._travel(date(self.year, 1, 1))
        with transaction() as tx:  # the poll of events has run all the time
            row = {"id": 1, "polled_until": clock.now()}
            tx.execute(upsert(gateway_state).values(row).on_conflict_do_update(index_elements=["id"], set_=row))

    def pass_days(self, days: int, who: int) -> None:
        """Let days pass, for what is kept in real time as well, and do what time brings; the mail leaves at once."""
        self._travel(self.day + timedelta(days=days))
        with transaction() as tx:
            for statement in _AGE:
                about = {"who": who} if ":who" in statement else {}
                tx.execute(text(statement), {"span": timedelta(days=days), **about})
        self.tick()

    def tick(self) -> None:
        """Do what time has made due, of what there is on a stage; the mail leaves at once."""
        now = clock.now()
        for step in (issue_due, run_dunning, review_due, collect_due, money_back_due):
            step(now)
        with transaction() as tx:
            tx.execute(update(message).where(message.c.state == "queued").values(state="sent", sent_at=now))

    def sweep(self) -> None:
        """Of that, what concerns money at Stripe."""
        collect_due(clock.now())
        money_back_due(clock.now())

    def _travel(self, day: date) -> None:
        self.day = day
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        row = {"id": 1, "offset_seconds": int((noon - clock.real()).total_seconds()) + 1}
        with transaction() as tx:
            tx.execute(upsert(sandbox_clock).values(row).on_conflict_do_update(index_elements=["id"], set_=row))
        clock.travel_to_offset(timedelta(seconds=row["offset_seconds"]))
        self.control("clock", now=clock.now().timestamp())

    # -- people -------------------------------------------------------------------------------------------------------

    def business(self, tx: Any) -> Business:
        """The business settings."""
        return load_business(tx, self.vault)

    def subscriber(self, seed: int, card: str) -> int:
        """A subscriber with a service from today on, who pays by this card without being asked."""
        with transaction() as tx:
            who = add_subscriber(tx, self.vault, "system", name=f"Anna {seed}", email=f"anna{seed}@example.net")
            add_service(
                tx, self.vault, "system",
                subscriber_id=who, plan_id=self.plan, login=f"line-{seed}-{who}", password="secret", starts_on=self.day,
            )  # fmt: skip
        self.keep_card(who, card)
        with transaction() as tx:
            cards.set_autopay(tx, self.business(tx), "system", who, True)
        return who

    def keep_card(self, who: int, token: str) -> str:
        """Leave a card at Stripe and read it; returns its pm_…"""
        customer = cards.customer_of(self.vault, who)
        method = self.stripe.v1.payment_methods.attach(token, params={"customer": customer})
        cards.refresh(self.vault, customer)
        return str(method.id)


def work(at_once: int = 10) -> int:
    """Do the due jobs of the lanes of money, as a worker would; returns how many."""
    done = 0
    for _ in range(400):
        with transaction() as tx:
            claimed = jobs.claim(tx, [Lane.URGENT, Lane.CHARGES], at_once, timedelta(seconds=60))
        if not claimed:
            break
        for each in claimed:
            if each.kind is jobs.Kind.TICK:
                with transaction() as tx:
                    jobs.finish(tx, each.id)
            else:
                tasks.perform(each.id, each.tries)
                done += 1
    return done


def level_of(tx: Any, who: int) -> str:
    """What access a subscriber's service has."""
    from base.access import AccessLevel
    from base.tables import policy, service

    query = select(policy.c.level).join(service, service.c.id == policy.c.service_id).where(service.c.payer_id == who)
    return AccessLevel(tx.scalars(query).one()).name


def pause() -> None:
    """A moment, while another process gets on."""
    time.sleep(0.008)
