"""Through the console: each kind of thing on the worklist has an owner, a note and a next date, and ends."""

from datetime import date, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, update

from base import clock
from base.database import transaction
from billing.bank.tables import bank_file, bank_line
from billing.clearing.found import SOURCES
from billing.clearing.tables import payout, stripe_transaction
from billing.collect.tables import card, collection
from billing.money_back.tables import gone_back
from billing.tables import payment
from console.cli import main
from tests.billing.collecting import Till, emulate, open_till
from tests.billing.provider import noon

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)
DAY = date(2026, 3, 1)
EURO = {"amount_minor": 1500, "currency": "EUR"}


def typed(*command: str, fails: bool = False) -> str:
    done = CliRunner().invoke(main, ("worklist", *command))
    assert (done.exit_code != 0) is fails, (command, done.output)
    return done.output


@pytest.fixture
def everything(till: Till) -> dict[str, str]:
    """One thing of each kind, by its name."""
    who = till.customer("pm_card_chargeCustomerFail")  # refused on 1 March: failing
    other = till.customer("pm_card_visa", name="Bert")
    till.bill()
    now, day = clock.now(), {"day": DAY, "account": "", "counterparty": "Carl"}
    with transaction() as tx:
        failing = tx.scalar(select(collection.c.id).where(collection.c.subscriber_id == who))
        unknown = tx.scalar(select(collection.c.id).where(collection.c.subscriber_id == other))
        tx.execute(update(collection).where(collection.c.id == unknown).values(state="unknown", reason="no answer"))
        paid = tx.scalar(select(payment.c.id))
        tx.execute(update(card).where(card.c.subscriber_id == other).values(exp_year=2026, exp_month=4))
        expiring = tx.scalar(select(card.c.id).where(card.c.subscriber_id == other))
        file = {"sha256": "0", "name": "a.xml", "format": "camt.053", "account": "", "line_count": 1, "new_count": 1}
        file_id = tx.scalar(insert(bank_file).values(**file, author="x", created_at=now).returning(bank_file.c.id))
        line = {
            "file_id": file_id,
            "at_line": 1,
            "fingerprint": "1",
            "state": "queued",
            "why": "two fit",
            **day,
            **EURO,
        }
        bank = tx.scalar(insert(bank_line).values(**line).returning(bank_line.c.id))
        sent = {"payout_id": "po_1", "account": "acct_1", "arrives_on": DAY, "state": "failed", "failure": "closed"}
        failed = tx.scalar(insert(payout).values(**sent, **EURO, made_at=now).returning(payout.c.id))
        moved = {"txn_id": "txn_1", "account": "acct_1", "type": "charge", "category": "charge", "kind": "other"}
        moved |= {"fee_minor": 0, "description": "T-shirt", "made_at": now, "fetched_at": now}
        suspense = tx.scalar(insert(stripe_transaction).values(**moved, **EURO).returning(stripe_transaction.c.id))
        gone = {"subscriber_id": other, "payment_id": paid, "way": "card", "author": "x", "on_day": DAY, **EURO}
        gone |= {"real_at": now, "created_at": now, "reason": "asked for"}
        made = insert(gone_back).returning(gone_back.c.id)
        refund = tx.scalar(made.values(key="1", kind="refund", state="unknown", **gone))
        dispute = tx.scalar(made.values(key="2", kind="dispute", state="open", **gone))
    numbers = {
        "failing": failing, "unknown": unknown, "refund": refund, "dispute": dispute, "bank": bank, "payout": failed,
        "suspense": suspense, "card": expiring,
    }  # fmt: skip
    return {kind: f"{kind}:{number}" for kind, number in numbers.items()}


def test_each_kind_has_an_owner_a_note_and_a_next_date(everything: dict[str, str]):
    assert set(everything) == set(SOURCES)
    listed = typed("list")
    for kind, name in everything.items():
        assert name in listed
        other = next(each for each in everything.values() if each != name)
        typed("take", name, "--for", "staff:3")
        typed("note", name, f"{kind} is looked at", "--next", "2026-03-04")
        shown = typed("list", "--owner", "staff:3", "--kind", kind).splitlines()
        assert shown[0].split()[0] == "name"
        assert len(shown) == 2
        for words in (name, "staff:3", "2026-03-04", f"{kind} is looked at"):
            assert words in shown[1]
        assert other not in typed("list", "--kind", kind)
        assert name not in typed("list", "--due")
    assert typed("list", "--due") == "Nothing waits.\n"
    for name in everything.values():
        typed("done", name, "--note", "that is all right")
    assert typed("list") == "Nothing waits.\n"
    typed("note", everything["bank"], "still here")  # a note does not bring it back
    assert typed("list") == "Nothing waits.\n"


def test_the_sums_are_by_next_step(everything: dict[str, str]):
    rows = [line.split("  ") for line in typed("sums").splitlines()]
    told = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in rows[1:]}
    assert told["failing"] == ["is tried again", "1", "€35.99"]
    assert told["bank"] == ["1", "€15.00"]
    assert told["unknown"][0] == "1"
    assert told["card"] == ["1"]
    assert list(told) == [kind for kind in SOURCES if kind in told]


def test_a_thing_is_gone_with_its_cause_and_named_wrongly_is_refused(everything: dict[str, str]):
    with transaction() as tx:
        tx.execute(update(bank_line).values(state="ignored"))
        tx.execute(update(gone_back).values(state="succeeded"))
        tx.execute(update(payout).values(made_at=clock.now() - timedelta(days=3)))
        later = {"payout_id": "po_2", "account": "acct_1", "arrives_on": DAY, "state": "paid", "made_at": clock.now()}
        tx.execute(insert(payout).values(**later, **EURO))
        tx.execute(update(stripe_transaction).values(decision="left"))
    listed = typed("list")
    for kind in ("bank", "refund", "dispute", "payout", "suspense"):
        assert everything[kind] not in listed
        assert "its cause is gone" in typed("take", everything[kind], fails=True)
    for wrong in ("bank", "bank:x", "cat:1", "bank:99999"):
        assert "Error" in typed("take", wrong, fails=True)


def test_money_under_way_for_too_long_is_asked_about(everything: dict[str, str]):
    with transaction() as tx:
        own = collection.c.state == "unknown"
        tx.execute(update(collection).where(own).values(state="pending", held_until=None, reason="under way"))
    assert "dunning waits no longer: under way" in typed("list", "--kind", "unknown")
    with transaction() as tx:
        held = {"held_until": clock.now() + timedelta(days=1)}
        tx.execute(update(collection).where(collection.c.state == "pending").values(**held))
    assert typed("list", "--kind", "unknown") == "Nothing waits.\n"


def test_todays_collection_is_a_table(everything: dict[str, str], till: Till):
    with transaction() as tx:
        waiting = collection.c.state == "waiting"
        tx.execute(update(collection).where(waiting).values(next_try_at=clock.now() + timedelta(hours=1)))
    till.provider.pay(1, 500)
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in typed("today").splitlines()]
    assert rows == [
        ["what", "how many", "sum"],
        ["came in by card", "1", "€35.99"],
        ["came in by cash", "1", "€5.00"],
        ["is tried by autopay", "1", "€30.99"],
        ["is under way or unknown", "1", rows[4][2]],
        ["was refused by cards", "1", "€35.99"],
        ["went back: dispute", "1", "€15.00"],
        ["went back: refund", "1", "€15.00"],
    ]
    assert typed("today", "--on", "2026-02-01").splitlines()[1].startswith(("is under way", "is tried"))
    till.provider.travel(noon(DAY + timedelta(days=1)))
