"""The fault machine: random sequences of what can happen to a payment, and what must be true whatever happened.

A sequence bills, charges, opens and pays pages, pays in cash, adds and removes cards, lets days pass, hears events
late, twice, in any order or never, orders faults from the pretend Stripe, and kills the working process (SIGKILL, a
process of its own) before or after any of its commits. Afterwards faults end, everything due is done, and the laws are
looked at. Everything follows from the seed, but for how long things take.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import stripe
from sqlalchemy import event, func, select, text, update

from base import clock, inbox, jobs
from base.business import load_business
from base.crypto import Vault
from base.database import engine, transaction
from base.jobs import Lane
from base.money import Money
from base.tables import job, sandbox_clock
from billing import checkout, tasks
from billing.apply import refresh_access
from billing.collect import cards
from billing.collect.sweep import run as sweep
from billing.collect.tables import attempt, collected, collection
from billing.collect.tables import card as card_table
from billing.collect.tables import checkout as pages
from billing.gateway.words import GatewayError
from billing.invoices import issue_for_subscriber
from billing.ledger import check_books
from billing.payments import record_payment
from billing.plans import add_plan
from billing.refused import Refused
from billing.services import add_service, add_subscriber, services_of
from billing.settle import open_invoices
from billing.tables import entry, payment, posting

KEY = "sk_test_for_the_fault_machine"
CARDS = ("pm_card_visa", "pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
FORM = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "Anna"}
PATHS = ("/v1/payment_intents", "/v1/payment_intents/*/confirm", "/v1/checkout/sessions*", "/v1/payment_intents/*")
KINDS = ("error_500_before", "error_500_after", "error_500_after", "cut_after")
FIRST_DAY = date(2027, 1, 1)


@dataclass(slots=True)
class Sequence:
    """One run of the machine."""

    seed: int
    deeds: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"seed {self.seed}: {'; '.join(self.problems)}\n  " + "\n  ".join(self.deeds)


@contextmanager
def pretend_stripe(folder: Path) -> Iterator[str]:
    """The pretend Stripe as a process of its own; yields its address."""
    with_port = [sys.executable, "-m", "sandbox.stripe", "--data", str(folder), "--api-key", KEY, "--port", "0"]
    process = subprocess.Popen(with_port, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1].rstrip("./")
    finally:
        process.terminate()
        process.wait(10)


class Machine:
    """Plays sequences against one database and one pretend Stripe; the settings of the process name both."""

    def __init__(self, vault: Vault, address: str) -> None:
        self.vault, self.address = vault, address
        self.stripe = stripe.StripeClient(KEY, base_addresses={"api": address})
        self.day = FIRST_DAY
        self.heard: set[str] = set()
        with transaction() as tx:
            self.plan = add_plan(tx, "system", name="Fast", price=Money(2000, "EUR"), rate_down=10**7, rate_up=10**6)

    def play(self, seed: int, length: int = 12) -> Sequence:
        """Play one sequence and look at the laws."""
        played = Sequence(seed)
        chance = random.Random(seed)
        who = self._subscriber(chance, seed)
        deeds: list[tuple[str, Callable[[random.Random, int], str | None]]] = [
            ("bill", self._bill),
            ("work", self._work),
            ("work and die", self._work_and_die),
            ("hear", self._hear),
            ("page", self._page),
            ("pay page", self._pay_page),
            ("cash", self._cash),
            ("card", self._card),
            ("days", self._days),
            ("fault", self._fault),
        ]
        weights = [2, 4, 4, 3, 2, 3, 1, 2, 3, 3]
        self._bill(chance, who)
        for _ in range(length):
            name, deed = chance.choices(deeds, weights)[0]
            try:
                told = deed(chance, who)
            except (GatewayError, Refused, requests.RequestException, stripe.StripeError) as error:
                told = f"refused: {error}"
            played.deeds.append(f"{name}: {told or 'done'}")
        self._come_to_rest(who)
        played.problems += self._broken(who)
        with transaction() as tx:
            cards.set_autopay(tx, load_business(tx, self.vault), "system", who, False)
        return played

    # -- what can happen ----------------------------------------------------------------------------------------------

    def _subscriber(self, chance: random.Random, seed: int) -> int:
        self._travel(self.day)
        with transaction() as tx:
            who = add_subscriber(tx, self.vault, "system", name=f"Anna {seed}", email="")
            add_service(
                tx, self.vault, "system",
                subscriber_id=who, plan_id=self.plan, login=f"line-{seed}-{who}", password="secret", starts_on=self.day,
            )  # fmt: skip
        self._keep(who, chance.choice(CARDS))
        with transaction() as tx:
            cards.set_autopay(tx, load_business(tx, self.vault), "system", who, True)
        return who

    def _bill(self, _chance: random.Random, who: int) -> None:
        with transaction() as tx:
            issue_for_subscriber(tx, self.vault, load_business(tx, self.vault), who, clock.now())

    def _work(self, _chance: random.Random, _who: int) -> str:
        return f"{work()} jobs"

    def _work_and_die(self, chance: random.Random, _who: int) -> str:
        point = chance.randint(1, 14)
        died = in_a_process_that_dies(point, work)
        with transaction() as tx:  # nobody renews its leases, so they run out
            tx.execute(update(job).where(job.c.state == "sent").values(lease_until=func.clock_timestamp()))
        return f"killed at its point {point}" if died else "lived"

    def _hear(self, chance: random.Random, _who: int) -> str:
        told = [each.to_dict() for each in self.stripe.v1.events.list(params={"limit": 50}).data]
        chosen = [each for each in told if chance.random() < 0.7]
        chosen += [each for each in chosen if chance.random() < 0.2]
        chance.shuffle(chosen)
        for each in chosen:
            with transaction() as tx:
                inbox.receive(tx, "stripe", each["id"], each["type"], each, clock.real())
        return f"{len(chosen)} events"

    def _page(self, chance: random.Random, who: int) -> str:
        with transaction() as tx:
            ids = [each.id for each in open_invoices(tx, who)]
        wish = checkout.Wish(chance.sample(ids, chance.randint(0, len(ids))), known=chance.random() < 0.5)
        checkout.start(self.vault, who, "http://127.0.0.1:9", wish)
        return "opened"

    def _pay_page(self, chance: random.Random, who: int) -> str:
        with transaction() as tx:
            urls = list(tx.scalars(select(pages.c.url).where(pages.c.subscriber_id == who, pages.c.url.is_not(None))))
        if not urls:
            return "none"
        answer = requests.post(chance.choice(urls), data=FORM, timeout=10, allow_redirects=False)
        if answer.status_code == 303 and chance.random() < 0.5:
            with transaction() as tx:
                sessions = select(pages.c.session_id).where(pages.c.subscriber_id == who, pages.c.url.is_not(None))
                ids = list(tx.scalars(sessions))
            checkout.settle(self.vault, chance.choice(ids))
        return f"{answer.status_code}"

    def _cash(self, chance: random.Random, who: int) -> str:
        minor = chance.choice([500, 2000, 4000])
        with transaction() as tx:
            record_payment(
                tx, self.vault, load_business(tx, self.vault),
                subscriber_id=who, amount=Money(minor, "EUR"), method="cash", author="staff:1", now=clock.now(),
            )  # fmt: skip
        return f"{minor}"

    def _card(self, chance: random.Random, who: int) -> str:
        with transaction() as tx:
            usable = (card_table.c.subscriber_id == who, card_table.c.state == "usable")
            own = list(tx.scalars(select(card_table.c.id).where(*usable)))
        if own and chance.random() < 0.3:
            cards.remove_card(self.vault, "staff:1", who, chance.choice(own))
            return "removed"
        token = chance.choice(CARDS)
        self._keep(who, token)
        return f"added {token}"

    def _days(self, chance: random.Random, who: int) -> str:
        days = chance.choice([1, 1, 3, 7, 28])
        self._travel(self.day + timedelta(days=days))
        sweep(clock.now())
        if days == 28:
            self._bill(chance, who)
        return f"{days} later"

    def _fault(self, chance: random.Random, _who: int) -> str:
        kind, path, times = chance.choice(KINDS), chance.choice(PATHS), chance.choice([1, 1, 3])
        answer = requests.post(
            f"{self.address}/sandbox/faults", json={"kind": kind, "path": path, "times": times}, timeout=5
        )
        return f"{kind} {path} {times} times: {answer.status_code}"

    # -- afterwards ---------------------------------------------------------------------------------------------------

    def _come_to_rest(self, who: int) -> None:
        """Faults end, every event is heard, and everything that waits is done as if its time had come."""
        requests.delete(f"{self.address}/sandbox/faults", timeout=5)
        for _ in range(12):
            with transaction() as tx:
                tx.execute(text("UPDATE job SET run_after = now() WHERE state = 'ready'"))
                tx.execute(text("UPDATE job SET lease_until = now() WHERE state = 'sent'"))
                tx.execute(text("UPDATE collection SET ask_at = now() WHERE ask_at IS NOT NULL"))
                tx.execute(text("UPDATE checkout SET ask_at = now() WHERE ask_at IS NOT NULL"))
                tx.execute(text("UPDATE attempt SET real_at = real_at - interval '5 minutes'"))
            sweep(clock.now())
            self._hear(random.Random(0), who)
            if not work() and not self._restless(who):
                return

    def _restless(self, who: int) -> list[str]:
        with transaction() as tx:
            moving = ("creating", "charging", "unknown", "pending")
            query = select(collection.c.state).where(
                collection.c.subscriber_id == who,
                collection.c.state.in_(moving)
                | ((collection.c.state == "waiting") & (collection.c.next_try_at <= clock.now())),
            )
            return list(tx.scalars(query))

    def _broken(self, who: int) -> list[str]:
        """Which laws do not hold for a subscriber."""
        problems = [f"a collection is {state}" for state in self._restless(who)]
        with transaction() as tx:
            problems += check_books(tx)
            booked = select(func.coalesce(func.sum(posting.c.amount_minor), 0)).where(posting.c.account == "stripe")
            ours = select(func.concat("payment:", payment.c.id)).where(payment.c.subscriber_id == who)
            books = tx.scalar(booked.join(entry, entry.c.id == posting.c.entry_id).where(entry.c.source.in_(ours)))
            ids = set(tx.scalars(select(payment.c.gateway_id).where(payment.c.subscriber_id == who)))
            twice = tx.execute(
                select(collected.c.invoice_id, func.count())
                .join(attempt, attempt.c.collection_id == collected.c.collection_id)
                .join(collection, collection.c.id == attempt.c.collection_id)
                .where(collection.c.subscriber_id == who, attempt.c.state == "succeeded")
                .group_by(collected.c.invoice_id)
                .having(func.count() > 1)
            ).all()
            problems += [f"invoice {row.invoice_id} was charged {row.count} times" for row in twice]
            dead = tx.scalars(select(job.c.last_error).where(job.c.state == "dead")).all()
            problems += [f"a job gave up: {each}" for each in dead]
            changed = refresh_access(tx, self.vault, services_of(tx, who), clock.now(), because="test")
            problems += [f"access of service {each} was not what it has to be" for each in changed]
        taken = self._taken(who)
        if sum(taken.values()) != books:
            problems.append(f"Stripe took {sum(taken.values())}, the books say {books}")
        problems += [
            f"Stripe took {minor} by {intent}, which is not recorded"
            for intent, minor in taken.items()
            if intent not in ids
        ]
        return problems

    def _taken(self, who: int) -> dict[str, int]:
        """What Stripe took by our intents for one subscriber, whether or not it knows the customer."""
        with transaction() as tx:
            tokens = set(tx.scalars(select(pages.c.token).where(pages.c.subscriber_id == who)))
            tokens |= set(tx.scalars(select(collection.c.token).where(collection.c.subscriber_id == who)))
        found: dict[str, int] = {}
        for each in self.stripe.v1.payment_intents.list(params={"limit": 100}).auto_paging_iter():
            about: Any = each.metadata or {}
            words = {about[name] for name in ("tollkeeper_attempt", "tollkeeper_collection") if name in about}
            if words & tokens and each.status == "succeeded":
                found[each.id] = each.amount
        return found

    def _keep(self, who: int, token: str) -> None:
        customer = cards.customer_of(self.vault, who)
        self.stripe.v1.payment_methods.attach(token, params={"customer": customer})
        cards.refresh(self.vault, customer)

    def _travel(self, day: date) -> None:
        self.day = day
        offset = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - clock.real()
        with transaction() as tx:
            tx.execute(sandbox_clock.delete())
            tx.execute(sandbox_clock.insert().values(id=1, offset_seconds=int(offset.total_seconds()) + 1))
        clock.travel_to_offset(offset)


def work() -> int:
    """Do the due jobs of the lanes of money, as a worker would; returns how many."""
    done = 0
    for _ in range(200):
        with transaction() as tx:
            claimed = jobs.claim(tx, [Lane.URGENT, Lane.CHARGES], 1, timedelta(seconds=60))
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


def in_a_process_that_dies(point: int, act: Callable[[], Any]) -> bool:
    """Do something in a process that is killed (SIGKILL) at its `point`-th commit, before or after; True: it was."""
    pid = os.fork()
    if pid == 0:
        try:
            engine().dispose(close=False)  # the connections are its parent's
            left = [point]

            def maybe_die(*_: Any) -> None:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            event.listen(engine(), "commit", maybe_die)
            event.listen(engine(), "checkin", maybe_die)
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)
