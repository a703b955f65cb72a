"""A second provider, known to nobody but this file, from its page to a refund.

It is like those that collect by direct debit: a page where the payer agrees, money that is under way for days, notices
that only wake, refunds that take time. Nothing of billing, portal or console knows its name.
"""

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from base.money import Money
from billing.gateway import offers
from billing.gateway.refunds import RefundState
from billing.gateway.ways import Method, Notice, Redirect, Resting
from billing.gateway.words import BadSignature, GatewayError, Gone, Unknown

SECRET = b"pigeons only"
US = {"url": "https://pigeon.example"}


@dataclass
class House:
    """The provider's side: what is asked for, what is paid, what goes back."""

    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, RefundState] = field(default_factory=dict)
    mute: bool = False

    def ask(self, payer: int, amount: Money, invoices: list[int]) -> str:
        name = f"PG{len(self.asked) + 1}"
        self.asked[name] = {"payer": payer, "amount": amount, "invoices": invoices, "state": "open"}
        return name

    def refund(self, key: str, payment: str, amount: Money) -> RefundState:
        known = next((each for each in self.refunds.values() if each.reference == key), None)
        made = known or RefundState(f"RF{len(self.refunds) + 1}", payment, amount, "pending", key, "")
        self.refunds[made.id] = made
        if self.mute:
            self.mute = False
            raise Unknown("The pigeon did not return.")
        return made

    @property
    def balance(self) -> int:
        paid = sum(each["amount"].minor for each in self.asked.values() if each["state"] == "paid")
        return paid - sum(each.amount.minor for each in self.refunds.values() if each.status != "failed")


HOUSE = House()


def signed(kind: str, subject: str, number: int) -> tuple[bytes, dict[str, str]]:
    """A notice as the provider sends it."""
    body = json.dumps({"id": f"EV{number}", "kind": kind, "subject": subject}).encode()
    return body, {"Pigeon-Signature": hmac.new(SECRET, body, hashlib.sha256).hexdigest()}


class PigeonNotices:
    """See billing.gateway.offers.Notices."""

    def read(self, business: Any, headers: Mapping[str, str], body: bytes) -> Notice:
        right = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(headers.get("Pigeon-Signature", ""), right):
            raise BadSignature("that is another pigeon")
        told = json.loads(body)
        return Notice(told["id"], told["kind"], told)

    def understand(self, vault: Any, notice: Notice) -> str:
        from base import clock
        from base.business import load_business
        from base.database import transaction
        from billing.money_back import card
        from billing.payments import record_payment

        subject = notice.body["subject"]
        if notice.kind == "refund":
            return card.take(vault, HOUSE.refunds[subject], GATEWAY.refunds)
        asked = HOUSE.asked.get(subject)
        if asked is None or asked["state"] != "paid":
            return "nothing is paid"
        with transaction() as tx:
            record_payment(
                tx, vault, load_business(tx, vault), subscriber_id=asked["payer"], amount=asked["amount"],
                method="pigeon", author="pigeon", gateway_id=subject, invoice_ids=asked["invoices"], now=clock.now(),
            )  # fmt: skip
        return "paid"


class PigeonRefunds:
    """See billing.gateway.offers.Refunds."""

    def create(self, business: Any, *, key: str, intent: str, amount: Money) -> RefundState:
        return HOUSE.refund(key, intent, amount)

    def read(self, business: Any, refund_id: str) -> RefundState:
        return HOUSE.refunds[refund_id]

    def list_of(self, business: Any, intent: str) -> list[RefundState]:
        return [each for each in HOUSE.refunds.values() if each.intent == intent]

    def is_ours(self, business: Any, intent: str) -> bool:
        if intent not in HOUSE.asked:
            raise Gone("There is no such payment.")
        return True


RESTING = Resting("pigeons", "Pigeon clearing", "1369", "Under way by pigeon.")


@dataclass(frozen=True)
class PigeonPost:
    """See billing.gateway.offers.Gateway."""

    name: str = "pigeon"
    methods: Mapping[str, Method] = field(default_factory=lambda: {"pigeon": Method("Pigeon post", "pigeons")})
    resting: Resting | None = RESTING
    charges_alone: bool = False
    has_page: bool = True
    notices: PigeonNotices = field(default_factory=PigeonNotices)
    refunds: PigeonRefunds = field(default_factory=PigeonRefunds)

    def is_ready(self, business: Any) -> bool:
        return True

    def offer(self, vault: Any, subscriber_id: int, base_url: str, wish: Any) -> Redirect:
        from sqlalchemy import select

        from base.database import transaction
        from base.tables import subscriber
        from billing.checkout import wished

        with transaction() as tx:
            payer = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
            chosen, amount = wished(tx, payer, wish)
        return Redirect(f"{US['url']}/{HOUSE.ask(subscriber_id, amount, [each.id for each in chosen])}")

    def close_pages(self, vault: Any, subscriber_ids: Collection[int]) -> dict[int, GatewayError | None]:
        under_way = {each["payer"] for each in HOUSE.asked.values() if each["state"] == "under way"}
        return dict.fromkeys(under_way & set(subscriber_ids))


GATEWAY = PigeonPost()
offers.GATEWAYS[GATEWAY.name] = GATEWAY  # the one line


def story() -> None:
    """From the button in the portal to money that went back, and one that came back."""
    from click.testing import CliRunner
    from sqlalchemy import select, update

    from base import clock
    from base.crypto import hash_password, open_vault
    from base.database import transaction
    from base.settings import settings
    from base.tables import inbox, subscriber
    from billing.checkout import Wish
    from billing.ledger import check_books, receivable
    from billing.money_back.card import ask_due
    from billing.money_back.tables import gone_back
    from billing.refused import Refused
    from billing.tables import payment, posting
    from console.cli import main
    from portal.app import create_app
    from tests.billing.collecting import work
    from tests.portal.conftest import post

    vault = open_vault(settings().secret_keys)

    def lies() -> int:
        with transaction() as tx:
            assert check_books(tx) == []
            return sum(tx.scalars(select(posting.c.amount_minor).where(posting.c.account == "pigeons")))

    def owes() -> int:
        with transaction() as tx:
            return receivable(tx, 1).minor

    def states() -> list[str]:
        with transaction() as tx:
            return list(tx.scalars(select(gone_back.c.state).order_by(gone_back.c.id)))

    with transaction() as tx:
        tx.execute(update(subscriber).values(portal_password=hash_password("a long password")))
    browser = create_app().test_client()
    assert post(browser, "/login", login="00001", password="a long password").status_code == 303
    assert 'name="gateway" value="pigeon"' in browser.get("/").text
    answer = post(browser, "/pay", "/", gateway="pigeon")
    assert answer.headers["Location"] == "https://pigeon.example/PG1", answer.headers
    numbers = iter(range(1, 100))

    def notify(kind: str, subject: str, wrong: bool = False) -> int:
        body, headers = signed(kind, subject, next(numbers))
        answer = browser.post("/webhooks/pigeon", data=body + b" " * wrong, headers=headers)
        browser.post("/webhooks/pigeon", data=body, headers=headers) if not wrong else None  # each comes twice
        work()
        return answer.status_code

    HOUSE.asked["PG1"]["state"] = "under way"
    assert notify("payment", "PG1") == 200
    assert (owes(), lies()) == (3599, 0)
    assert offers.close_all_pages(vault, [1])  # a card would not be charged meanwhile
    HOUSE.asked["PG1"]["state"] = "paid"
    assert notify("payment", "PG1", wrong=True) == 400
    assert (owes(), lies()) == (3599, 0)
    for _ in range(2):
        assert notify("payment", "PG1") == 200
    assert (owes(), lies()) == (0, 3599) == (0, HOUSE.balance)
    assert "Pigeon post" in browser.get("/payments").text
    assert browser.post("/webhooks/dove", data=b"{}").status_code == 404
    assert browser.post("/webhooks/transfer", data=b"{}").status_code == 404

    def typed(*command: str) -> str:
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        return done.output

    refused = CliRunner().invoke(main, ["reverse", "R-000001", "--because", "x"])
    assert "refund it" in refused.output, refused.output
    typed("refund", "payment", "R-000001", "--amount", "10.00", "--because", "half a month")
    work()
    assert (states(), lies(), owes()) == (["pending"], 2599, 1000)
    HOUSE.refunds["RF1"] = replace(HOUSE.refunds["RF1"], status="succeeded")
    assert notify("refund", "RF1") == 200
    assert states() == ["succeeded"]
    HOUSE.mute = True  # it is done, and the answer is lost
    typed("refund", "payment", "R-000001", "--amount", "5.00", "--because", "again")
    work()
    assert (states()[-1], len(HOUSE.refunds)) == ("unknown", 2)
    with transaction() as tx:
        tx.execute(update(gone_back).where(gone_back.c.state == "unknown").values(ask_at=clock.real()))
    with transaction() as tx:
        ask_due(tx)
    work()
    assert (states()[-1], len(HOUSE.refunds), lies()) == ("pending", 2, HOUSE.balance)
    HOUSE.refunds["RF2"] = replace(HOUSE.refunds["RF2"], status="failed", failure="no such account")
    notify("refund", "RF2")
    assert (states()[-1], lies(), owes()) == ("failed", 2599, 1000)
    HOUSE.refunds["RF3"] = RefundState("RF3", "PG1", Money(700, "EUR"), "succeeded", "", "")  # on its own pages
    notify("refund", "RF3")
    assert (states()[-1], lies(), owes()) == ("succeeded", HOUSE.balance, 1700)
    with transaction() as tx:
        assert set(tx.scalars(select(gone_back.c.way))) == {"pigeon"}
        assert tx.scalars(select(gone_back.c.reason).order_by(gone_back.c.id.desc())).first() == "refunded at Pigeon"
        assert tx.scalars(select(payment.c.method)).all() == ["pigeon"]
        assert {row.source for row in tx.execute(select(inbox))} == {"pigeon"}
        outcomes = [row.outcome for row in tx.execute(select(inbox).order_by(inbox.c.id))]
    assert outcomes[:3] == ["nothing is paid", "paid", "paid"], outcomes
    try:
        GATEWAY.offer(vault, 1, "", Wish([99]))
    except Refused as error:
        print(error)
    print(f"pigeons {lies()} of {HOUSE.balance}")


if __name__ == "__main__":
    story()
