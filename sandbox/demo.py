"""The pretend provider: forty subscribers with months of bills and payments behind them, and three simulated NASes.

Everything is done by billing's own functions on the days on which it would have happened, so that every page has its
history. It is one transaction: an installation is filled, or still empty.
"""

import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, Engine, func, select, update

from base import clock, jobs
from base.business import Business, load_business, set_business
from base.calendar import local_date
from base.crypto import Vault, random_password
from base.database import transaction
from base.money import Money
from base.nas import add_nas, set_coa_port
from base.settings import WrongSetting, settings
from base.tables import job, nas
from billing.apply import due_for_review, refresh_access
from billing.dunning.arrivals import arrived_payers, note_arrivals
from billing.dunning.policies import load_policies
from billing.dunning.run import due_payers, dun
from billing.invoices import Invoice, load_invoice
from billing.issue import due_subscribers, issue_for_subscribers
from billing.payments import record_payment
from billing.plans import add_plan
from billing.services import add_service, add_subscriber, count_subscribers, set_staff_order
from billing.tables import message
from sandbox.demo_history import Course, courses
from sandbox.demo_people import PLANS, Fate

NASES = (
    ("Demo MikroTik", "127.0.1.1", "mikrotik"),
    ("Demo WISPr", "127.0.1.2", "wispr"),
    ("Demo Cisco", "127.0.1.3", "cisco"),
)
STAFF = "staff:1"  # the owner, whom console makes first
BOOKS = "sandbox"
QUIET = timedelta(seconds=20)  # before the PDFs of the past are made, one a second

_PROVIDER = {
    "company_name": "Morgenrot Breitband",
    "company_address": "Donauufer 12\n1020 Wien\nÖsterreich",
    "company_tax_number": "ATU00000000",
    "support_contact": "help@morgenrot.example, +43 1 5550 100",
    "mail_from": "billing@morgenrot.example",
    "currency": "EUR",
    "time_zone": "Europe/Vienna",
    "interim_interval": 60,
}
_TAX = "20"
# fate -> what staff ordered, days ago, and their note
_ORDERS = {
    Fate.SUSPENDED: ("suspended", 9, "Asked us to pause the line while the house is rebuilt."),
    Fate.BLOCKED: ("blocked", 20, "Sends spam from an infected computer; will call back when it is clean."),
}


@dataclass(frozen=True, slots=True)
class Account:
    """A subscriber who can log in to the portal."""

    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Logins:
    """Three subscribers in three situations, with passwords of this installation."""

    full: Account
    "Everything is paid."
    late: Account
    "An invoice is overdue, and a reminder was sent."
    walled: Account
    "Walled in until the debt is paid."

    def lines(self) -> list[str]:
        """One line for people per login."""
        told = (("all paid", self.full), ("overdue", self.late), ("walled in", self.walled))
        return [f"Subscriber, {how}: {account.login} / {account.password}" for how, account in told]


def fill(engine: Engine, vault: Vault) -> Logins | None:
    """Fill an empty pretend provider and return its subscribers' logins; None when somebody is there already.

    Does not touch the sandbox's clock. Raises WrongSetting outside the sandbox.
    """
    if not settings().sandbox:
        raise WrongSetting("A pretend provider is filled only in the sandbox (TOLLKEEPER_SANDBOX is not true).")
    with transaction(engine) as tx:
        if count_subscribers(tx):
            _follow_coa_port(tx)
            return None
        now = clock.now()
        offset = now - clock.real()
        try:
            return _Story(tx, vault, now).tell()
        finally:
            clock.travel_to_offset(offset)


def _follow_coa_port(tx: Connection) -> None:
    """Ports may have been moved since the NASes were made."""
    port = settings().sandbox_coa_port
    names = [name for name, _, _ in NASES]
    for nas_id in tx.scalars(select(nas.c.id).where(nas.c.name.in_(names), nas.c.coa_port != port)).all():
        set_coa_port(tx, BOOKS, nas_id, port)


class _Story:
    """The provider's life from its first subscriber to `now`, day by day, in one transaction."""

    def __init__(self, tx: Connection, vault: Vault, now: datetime) -> None:
        self._tx, self._vault, self._now = tx, vault, now
        set_business(tx, vault, BOOKS, **_PROVIDER)
        self._business: Business = load_business(tx, vault)
        self._today = local_date(now, self._business.zone)
        self._courses = courses(self._today, self._business, load_policies(tx, self._business).default)
        self._subscribers: dict[int, Course] = {}
        self._services: dict[int, int] = {}
        "Subscriber → service."
        self._payments: dict[date, list[Invoice]] = defaultdict(list)
        "Day → what is paid on it."
        self._passwords = {fate: random_password() for fate in (Fate.PAID, Fate.LATE, Fate.WALLED)}
        self._with_password = {
            fate: next(each.person for each in self._courses if each.person.fate is fate) for fate in self._passwords
        }

    def tell(self) -> Logins:
        """Let it all happen."""
        first = min(course.starts_on for course in self._courses)
        self._at(first - timedelta(days=1), 9)
        self._open_shop()
        day = first
        while day < self._today:
            self._tick(self._at(day, 3), day)
            self._post()
            self._staff_act(day)
            self._receive_payments(day)
            self._welcome(day)
            day += timedelta(days=1)
        clock.travel_to_offset(self._now - clock.real())
        self._file_away()
        self._tick(self._now, self._today)
        accounts = {
            fate: Account(_mailbox(person.login), self._passwords[fate]) for fate, person in self._with_password.items()
        }
        return Logins(full=accounts[Fate.PAID], late=accounts[Fate.LATE], walled=accounts[Fate.WALLED])

    def _at(self, day: date, hour: int, minute: int = 0) -> datetime:
        """Make it this local time."""
        now = datetime.combine(day, time(hour, minute), self._business.zone).astimezone(UTC)
        clock.travel_to_offset(now - clock.real())
        return now

    def _open_shop(self) -> None:
        for name, address, kind in NASES:
            add_nas(
                self._tx,
                self._vault,
                BOOKS,
                name=name,
                network=address,
                secret=secrets.token_urlsafe(18),
                kind=kind,
                message_authenticator="yes",
                coa_port=settings().sandbox_coa_port,
            )
        self._plans = {
            plan.name: add_plan(
                self._tx,
                BOOKS,
                name=plan.name,
                price=Money(plan.price, self._business.currency),
                tax_percent=_TAX,
                rate_down=plan.down * 1_000_000,
                rate_up=plan.up * 1_000_000,
                pool="main",
            )
            for plan in PLANS
        }

    def _welcome(self, day: date) -> None:
        """Add the subscribers whose first day it is."""
        for place, course in enumerate(self._courses):
            if course.starts_on != day:
                continue
            self._at(day, 10, place)
            person = course.person
            known = self._with_password.get(person.fate) is person
            subscriber_id = add_subscriber(
                self._tx,
                self._vault,
                STAFF,
                name=person.name,
                email=_mailbox(person.login),
                phone=f"+43 1 5550 {200 + place}",
                address=person.address,
                portal_password=self._passwords[person.fate] if known else None,
            )
            self._subscribers[subscriber_id] = course
            self._services[subscriber_id] = add_service(
                self._tx,
                self._vault,
                STAFF,
                subscriber_id=subscriber_id,
                plan_id=self._plans[person.plan],
                login=person.login,
                password=random_password(),
                starts_on=day,
            )

    def _tick(self, now: datetime, day: date) -> None:
        """What billing.tick does, within this transaction."""
        tx, vault, business = self._tx, self._vault, self._business
        due = due_subscribers(tx, day, business.issue_days_before)
        for invoice_id in issue_for_subscribers(tx, vault, business, due, now) if due else ():
            issued = load_invoice(tx, invoice_id)
            assert issued is not None
            pays_on = self._subscribers[issued.subscriber_id].pays_on(day)
            if pays_on is not None:
                self._payments[pays_on].append(issued)
        if arrived := arrived_payers(tx, day):
            note_arrivals(tx, vault, arrived, now)
        if late := due_payers(tx, business, now):
            dun(tx, vault, late, now)
        refresh_access(tx, vault, due_for_review(tx, now), now, because="time")

    def _post(self) -> None:
        """The mail server took everything at once."""
        waiting = update(message).where(message.c.state == "queued")
        self._tx.execute(waiting.values(state="sent", sent_at=message.c.created_at))

    def _file_away(self) -> None:
        """The mails of the past were sent when they were written; its PDFs are made slowly, newest first.

        Else a newcomer's first invoice would wait behind hundreds of documents that nobody has asked for.
        """
        kinds = (jobs.Kind.SEND_MESSAGE, jobs.Kind.TICK, jobs.Kind.RENDER_DOCUMENT)
        mails, ticks, documents = (kind.value[0] for kind in kinds)
        self._post()
        done = {"state": "done", "done_at": func.clock_timestamp()}
        self._tx.execute(update(job).where(job.c.kind.in_([mails, ticks])).values(done))
        place = select(job.c.id, func.row_number().over(order_by=job.c.id.desc()).label("n"))
        behind = place.where(job.c.kind == documents).subquery()
        later = func.clock_timestamp() + QUIET + behind.c.n * timedelta(seconds=1)
        self._tx.execute(update(job).where(job.c.id == behind.c.id).values(run_after=later))

    def _staff_act(self, day: date) -> None:
        for subscriber_id, course in self._subscribers.items():
            order, days_ago, note = _ORDERS.get(course.person.fate, ("none", 0, ""))
            if day == self._today - timedelta(days=days_ago):
                self._at(day, 9)
                set_staff_order(self._tx, self._vault, STAFF, self._services[subscriber_id], order, note)

    def _receive_payments(self, day: date) -> None:
        for place, owed in enumerate(self._payments.pop(day, ())):
            now = self._at(day, 11, place)
            cash = owed.subscriber_id % 6 == 0
            record_payment(
                self._tx,
                self._vault,
                self._business,
                subscriber_id=owed.subscriber_id,
                amount=owed.total,
                method="cash" if cash else "transfer",
                author=STAFF if cash else BOOKS,
                invoice_ids=[owed.id],
                note="" if cash else f"Reference {owed.number}",
                now=now,
            )


def _mailbox(login: str) -> str:
    return f"{login}@example.net"
