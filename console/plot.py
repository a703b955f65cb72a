"""What happens in the story, scene by scene; every value comes from a packet, a page or a row."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.crypto import open_vault, random_password
from base.database import transaction
from base.i18n import format_money
from base.money import Money
from base.nas import add_nas
from base.settings import settings
from base.tables import access_history, inbox, session
from billing.changes import change_plan
from billing.collect.tables import checkout
from billing.dunning.policies import load_policies, save_policy
from billing.dunning.policy import Step
from billing.plans import add_plan
from billing.services import add_service, add_subscriber
from billing.tables import document, invoice, message
from console.browser import Browser
from console.story import Outcome, StoryBroken, Timeline, milliseconds, until
from sandbox.mail import read_all
from sandbox.nas import Nas
from sandbox.nas_session import Session
from sandbox.travel import travel

LOGIN = "ana@tollkeeper"
CARD = "4242424242424242"
STEPS = (Step(0, "due_notice"), Step(2, "reminder_1"), Step(3, "final_notice"), Step(8, "wall"))
TOLD = {"due_notice": "told that it is due", "reminder_1": "reminded", "final_notice": "given notice of the day"}


class Plot:
    """The story of Ana, who forgets to pay."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._config = settings()
        self._vault = open_vault(self._config.secret_keys)
        self.outcome = Outcome()

    def play(self, between: Callable[[str], None]) -> Outcome:
        """All scenes in order; `between` is told the name of each before it begins, and 'end' after the last."""
        scenes = (
            self._log_in,
            self._count,
            self._bill,
            self._remind,
            self._wall_in,
            self._visit,
            self._pay,
            self._upgrade,
            self._second_month,
        )
        self._open_shop()
        with self._nas:
            for scene in scenes:
                between(scene.__name__.strip("_"))
                scene()
            between("end")
        return self.outcome

    def _open_shop(self) -> None:
        host = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 2}"
        secret, self._password = random_password(), random_password()
        radius = (self._config.radius_hosts[0], self._config.radius_auth_port, self._config.radius_acct_port)
        self._nas = Nas(host, secret.encode(), "mikrotik", "story-router", radius, 0)
        with transaction() as tx:
            business = load_business(tx, self._vault)
            # two months are told in a minute: dunning is quicker than by the standard policy
            save_policy(tx, "story", replace(load_policies(tx, business).default, steps=STEPS))
            price = Money(2499, business.currency)
            home = add_plan(
                tx, "story", name="Home 100", price=price, tax_percent="20",
                rate_down=100_000_000, rate_up=20_000_000, pool="main",
            )  # fmt: skip
            self._faster = add_plan(
                tx, "story", name="Pro 300", price=Money(3999, business.currency), tax_percent="20",
                rate_down=300_000_000, rate_up=60_000_000, pool="main",
            )  # fmt: skip
            self._subscriber = add_subscriber(tx, self._vault, "story", name="Ana Müller", email="ana@example.net")
            self._service = add_service(
                tx, self._vault, "story", subscriber_id=self._subscriber, plan_id=home, login=LOGIN,
                password=self._password,
            )  # fmt: skip
            add_nas(
                tx, self._vault, "story", name="Story router", network=host, secret=secret, kind="mikrotik",
                coa_port=self._nas.coa_port,
            )  # fmt: skip
        self._tell("Ana signs up for Home 100: 100 Mbit/s down, 20 Mbit/s up")

    def _log_in(self) -> None:
        self._session = until("the login to be accepted", self._try_login)
        self.outcome.login_rate = self._session.rate_limit or ""
        self._tell(f"Her router logs in; the NAS is told {self._session.rate_limit}, address {self._session.address}")

    def _try_login(self) -> Session | None:
        answer = self._nas.login(LOGIN, self._password, "chap")
        return answer if isinstance(answer, Session) else None

    def _count(self) -> None:
        row = until("her session in the tables", self._open_session)
        until("counters in the tables", self._counted)
        self._tell(f"Her session {row.acct_session_id} is counted")

    def _counted(self) -> bool:
        self._nas.interim(self._session)
        row = self._open_session()
        return row is not None and row.octets_out > 0

    def _bill(self) -> None:
        bill = until("the first invoice", self._newest_invoice)
        until("its PDF", lambda: self._one(select(document.c.id).where(document.c.subject_id == bill.id)))
        total = format_money(Money(bill.total_minor, bill.currency), "en")
        self._invoice = bill
        self._tell(f"Invoice {bill.number} over {total} is issued, due {bill.due_on:%d %b}, with a PDF")

    def _remind(self) -> None:
        for step in STEPS:
            if step.act in TOLD:
                self._travel_to(self._invoice.due_on + timedelta(days=step.days))
                mail = self._await_mail(step.act)
                self._tell(f"She is {TOLD[step.act]} by mail: “{mail.subject}”")

    def _await_mail(self, kind: str) -> Any:
        return until(f"the mail {kind} in her mailbox", lambda: self._mail(kind))

    def _wall_in(self) -> None:
        before = self._session
        self._travel_to(self._invoice.due_on + timedelta(days=STEPS[-1].days))
        decided = until("access to be walled", lambda: self._decided(AccessLevel.WALLED))
        ack = self._nas.events.wait("ack_sent", LOGIN, timeout=30)
        self.outcome.suspend_ms = milliseconds(decided.real_at, ack.wall)
        self._tell(f"Still unpaid: walled in, Disconnect acknowledged {self.outcome.suspend_ms} ms after the commit")
        self._session = until("her router to redial", lambda: self._other_session(before))
        self.outcome.walled = self._session.address_list == "walled" and self._session.pool == "walled"
        self._tell(
            f"Her router redials into the walled garden: {self._session.rate_limit}, {self._session.address}, "
            f"address list {self._session.address_list}"
        )
        until("the walled session in the tables", self._open_session)

    def _visit(self) -> None:
        site = self._config.public_url
        self._browser = Browser(site, {"X-Forwarded-For": str(self._session.address)})
        self._page = self._browser.get(f"{site}/captive")
        if "Ana" not in self._page.text:
            raise StoryBroken(f"the captive page does not know her: {self._page.text[:300]}")
        self._tell("Her browser lands on the captive page, which knows her and says what is owed")

    def _pay(self) -> None:
        before = self._session
        hosted = self._browser.send(self._page, "/captive/pay")
        paid = self._browser.send(hosted, "/pay", number=CARD, expiry="12 / 34", cvc="123", name="Ana Müller")
        self._tell("She pays with a card at the hosted page")
        attempt = until("the payment", lambda: self._one(select(checkout).where(checkout.c.state == "paid")))
        self.outcome.paid = attempt.payment_id is not None
        event = until("Stripe's webhook", self._completed_event)
        self._session = until("her router to redial", lambda: self._other_session(before))
        ack = self._nas.events.named("ack_sent", LOGIN)[-1]
        self.outcome.pay_to_restore_ms = milliseconds(event.received_at, ack.wall)
        self.outcome.restored = (
            self._session.rate_limit == self.outcome.login_rate and self._session.address_list is None
        )
        self._tell(
            f"Restored {self.outcome.pay_to_restore_ms} ms after the webhook: back at {self._session.rate_limit}, "
            f"{self._session.address}"
        )
        back = until("the page to say so", lambda: _page_with(self._browser, paid.url, "online"))
        self._tell(f"The page says: {_sentence(back.text, 'online')}")

    def _upgrade(self) -> None:
        until("the restored session in the tables", self._open_session)
        before = len(self._nas.events.named("rate_changed", LOGIN))
        with transaction() as tx:
            change_plan(tx, self._vault, "story", self._service, self._faster)
        until("the new rate", lambda: len(self._nas.events.named("rate_changed", LOGIN)) > before)
        self._tell(f"She moves to Pro 300: her open session is changed in place to {self._session.rate_limit} (CoA)")

    def _second_month(self) -> None:
        first = self._invoice
        self._travel_to(first.issued_on + timedelta(days=31))
        second = until("the second month's invoice", lambda: self._invoice_after(first.id))
        total = format_money(Money(second.total_minor, second.currency), "en")
        self._tell(f"The second month's invoice {second.number} over {total} is issued by itself")

    # -- looking ---------------------------------------------------------------------------------------------------

    def _tell(self, what: str) -> None:
        with transaction():
            now = clock.now()
        self._timeline.tell(now, what)

    def _one(self, query: Any) -> Any:
        with transaction() as tx:
            return tx.execute(query.limit(1)).first()

    def _open_session(self) -> Any:
        wanted = session.c.acct_session_id == self._session.id
        return self._one(select(session).where(session.c.login == LOGIN, session.c.stopped_at.is_(None), wanted))

    def _newest_invoice(self) -> Any:
        return self._one(
            select(invoice).where(invoice.c.subscriber_id == self._subscriber).order_by(invoice.c.id.desc())
        )

    def _invoice_after(self, invoice_id: int) -> Any:
        return self._one(select(invoice).where(invoice.c.id > invoice_id))

    def _decided(self, level: AccessLevel) -> Any:
        wanted = (access_history.c.service_id == self._service, access_history.c.level == int(level))
        return self._one(select(access_history).where(*wanted).order_by(access_history.c.id.desc()))

    def _completed_event(self) -> Any:
        return self._one(select(inbox).where(inbox.c.kind == "checkout.session.completed"))

    def _other_session(self, old: Session) -> Session | None:
        found = self._nas.session_of(LOGIN)
        return found if found is not None and found.id != old.id else None

    def _mail(self, kind: str) -> Any:
        row = self._one(select(message).where(message.c.kind == kind, message.c.state == "sent"))
        mails = read_all(self._config.data_dir / "sandbox" / "mail")
        return next((mail for mail in mails if row is not None and mail.subject == row.subject), None)

    def _travel_to(self, day: date) -> None:
        with transaction() as tx:
            travel(tx, to=day)


def _page_with(browser: Browser, url: str, word: str) -> Any:
    page = browser.get(url)
    return page if word in page.text.lower() else None


def _sentence(text: str, word: str) -> str:
    return next((part.strip() + "." for part in text.split(".") if word in part.lower()), text[:80])
