"""What can happen around collecting: bills, pages, cards, days, events, faults.

Each deed says what came of it, or nothing when there was nothing to do it with.
"""

import random
from collections.abc import Callable
from typing import Any

import requests
from sqlalchemy import select

from base import clock, inbox
from base.database import transaction
from base.money import Money
from bench.faults.stage import Sequence, Stage, level_of, work
from billing import checkout, stripe_poll
from billing.clearing.fetch import fetch_or_say
from billing.collect import cards
from billing.collect.tables import card as card_table
from billing.collect.tables import checkout as pages
from billing.invoices import issue_for_subscriber
from billing.payments import record_payment
from billing.settle import open_invoices

Deed = Callable[[Stage, Sequence, random.Random], str]
CARDS = (
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_chargeCustomerFail",
    "pm_card_authenticationRequired",
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
)
PATHS = (
    "/v1/payment_intents",
    "/v1/payment_intents/*/confirm",
    "/v1/checkout/sessions*",
    "/v1/payment_intents/*",
    "/v1/refunds*",
    "/v1/disputes*",
)
KINDS = ("error_500_before", "error_500_after", "error_500_after", "cut_after", "error_429")


def bill(stage: Stage, play: Sequence, _: random.Random) -> str:
    """What is due is billed."""
    with transaction() as tx:
        made = issue_for_subscriber(tx, stage.vault, stage.business(tx), play.who, clock.now())
    return "billed" if made else ""


def do_work(_stage: Stage, _play: Sequence, _: random.Random) -> str:
    """A worker does what is due."""
    done = work()
    return f"{done} jobs" if done else ""


def hear(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Some of Stripe's events come, in any order, some twice."""
    told = stage.list_all("events", play.begun)[:50]
    chosen = [each for each in told if chance.random() < 0.7]
    chosen += [each for each in chosen if chance.random() < 0.2]
    chance.shuffle(chosen)
    receive(play, chosen)
    return f"{len(chosen)} events" if chosen else ""


def receive(play: Sequence, events: list[dict[str, Any]]) -> None:
    """Events come in, as by webhook."""
    with transaction() as tx:
        for each in events:
            inbox.receive(tx, "stripe", each["id"], each["type"], each, clock.real())
            play.heard.add(each["id"])


def poll(stage: Stage, play: Sequence, _: random.Random) -> str:
    """Stripe's list of events is read."""
    fresh = stripe_poll.poll(stage.vault)
    play.seen["events that only the poll brought"] += fresh
    return f"{fresh} new"


def fetch(stage: Stage, _play: Sequence, _: random.Random) -> str:
    """What moved at Stripe is fetched and booked."""
    return f"{fetch_or_say(stage.vault)} movements"


def page(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A payment page is opened."""
    with transaction() as tx:
        ids = [each.id for each in open_invoices(tx, play.who)]
    wish = checkout.Wish(chance.sample(ids, chance.randint(0, len(ids))), known=chance.random() < 0.5)
    checkout.start(stage.vault, play.who, "http://127.0.0.1:9", wish)
    return "opened"


def pay_page(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A page that was opened at any time is paid, and perhaps the browser comes back."""
    with transaction() as tx:
        query = select(pages.c.url, pages.c.session_id).where(pages.c.subscriber_id == play.who)
        rows = tx.execute(query.where(pages.c.url.is_not(None)).order_by(pages.c.id)).all()
    if not rows:
        return ""
    form = {"number": "4242 4242 4242 4242", "expiry": f"12 / {(stage.year + 3) % 100:02}", "cvc": "123", "name": "A"}
    chosen = chance.choice(rows)
    answer = requests.post(chosen.url, data=form, timeout=10, allow_redirects=False)
    play.seen["pages paid"] += answer.status_code == 303
    if answer.status_code == 303 and chance.random() < 0.5:
        checkout.settle(stage.vault, chance.choice(rows).session_id)
    return f"{answer.status_code}"


def other_money(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Money comes another way than by card."""
    minor, method = chance.choice([500, 2000, 4000]), chance.choice(["cash", "transfer", "cheque"])
    with transaction() as tx:
        record_payment(
            tx, stage.vault, stage.business(tx),
            subscriber_id=play.who, amount=Money(minor, "EUR"), method=method, author="staff:1", now=clock.now(),
        )  # fmt: skip
    return f"{minor} by {method}"


def card(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A card comes, or goes, or is slow from now on."""
    with transaction() as tx:
        usable = (card_table.c.subscriber_id == play.who, card_table.c.state == "usable")
        own = tx.execute(select(card_table).where(*usable).order_by(card_table.c.id)).all()
    what = chance.choice(["add", "add", "remove", "slow", "slow"])
    if own and what == "remove":
        cards.remove_card(stage.vault, "staff:1", play.who, chance.choice(own).id)
        return "removed"
    if own and what == "slow":
        then = chance.choice(["succeeded", "insufficient_funds"])
        told = {"seconds": chance.choice([0.0, 3 * 86400.0]), "then": then}
        stage.control(f"cards/{chance.choice(own).method_id}", processing=told)
        play.seen["cards slow"] += 1
        return f"its money takes a while, then {then}"
    token = chance.choice(CARDS)
    stage.keep_card(play.who, token)
    return f"added {token}"


def autopay(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Paying without being asked is switched on or off."""
    on = chance.random() < 0.8
    with transaction() as tx:
        cards.set_autopay(tx, stage.business(tx), f"subscriber:{play.who}", play.who, on)
    return "on" if on else "off"


def days(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Days pass."""
    passed = chance.choice([1, 1, 3, 7, 14, 28])
    stage.pass_days(passed, play.who)
    return f"{passed} later{_note_level(play)}"


def dun(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Weeks in which the reminders of a debt come one by one, and with them the wall."""
    for passed in (14, 3, 4, 7, 7):  # the days of the standard policy
        stage.pass_days(passed, play.who)
    if chance.random() < 0.5:
        work()
    return f"35 later{_note_level(play)}"


def fault(stage: Stage, _play: Sequence, chance: random.Random) -> str:
    """Something is to go wrong at Stripe."""
    kind, path, times = chance.choice(KINDS), chance.choice(PATHS), chance.choice([1, 1, 3])
    stage.control("faults", kind=kind, path=path, times=times)
    return f"{kind} {path} {times} times"


def _note_level(play: Sequence) -> str:
    with transaction() as tx:
        level = level_of(tx, play.who)
    play.seen[f"access {level}"] += 1
    return f", {level}"
