"""Plays sequences: random deeds, then rest, then the laws, and last everything is paid and the subscriber leaves."""

import random
from functools import partial

import requests
import stripe
from sqlalchemy import text, update

from base import clock
from base.crypto import Vault
from base.database import transaction
from base.money import total
from base.tables import service
from bench.faults import crashes, deeds, laws, money_deeds
from bench.faults.stage import Sequence, Stage, level_of, work
from billing import stripe_poll
from billing.collect import cards
from billing.gateway.words import GatewayError
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import open_invoices

DEEDS: tuple[tuple[str, deeds.Deed, int], ...] = (
    ("bill", deeds.bill, 1),
    ("work", deeds.do_work, 5),
    ("hear", deeds.hear, 3),
    ("poll", deeds.poll, 1),
    ("fetch", deeds.fetch, 1),
    ("page", deeds.page, 2),
    ("pay page", deeds.pay_page, 3),
    ("other money", deeds.other_money, 2),
    ("card", deeds.card, 2),
    ("autopay", deeds.autopay, 1),
    ("days", deeds.days, 3),
    ("dun", deeds.dun, 1),
    ("fault", deeds.fault, 3),
    ("refund", money_deeds.refund, 3),
    ("refund at Stripe", money_deeds.refund_at_stripe, 1),
    ("end refund", money_deeds.end_refund, 1),
    ("dispute", money_deeds.dispute, 2),
    ("end dispute", money_deeds.end_dispute, 2),
    ("reverse", money_deeds.reverse, 1),
    ("work and die", crashes.work_and_die, 3),
    ("die at a table", crashes.die_at_table, 1),
    ("die at a call", crashes.die_at_call, 3),
)
FIRST = ("work", "work", "work and die", "die at a call", "die at a call", "die at a table")
OTHERWISE = ("other money", "other money", "other money", "pay page", "pay page")
MEANWHILE = (*OTHERWISE, "hear", "card", "refund", "work", "dispute", "poll", "reverse")
BY_NAME = {name: deed for name, deed, _ in DEEDS}
TROUBLE = (GatewayError, Refused, requests.RequestException, stripe.StripeError)
LENGTH = 10
ROUNDS = 15


class Machine:
    """Plays sequences on one stage."""

    def __init__(self, vault: Vault, address: str) -> None:
        self.stage = Stage(vault, address)

    def play(self, seed: int, length: int = LENGTH) -> Sequence:
        """Play one sequence and look at the laws."""
        play = Sequence(seed)
        chance = random.Random(seed)
        self.stage.next_year()
        play.begun = int(clock.now().timestamp())
        play.who = self.stage.subscriber(seed, chance.choice(deeds.CARDS))
        self._do(play, chance, "bill")
        if chance.random() < 0.8:  # most of what can happen to money needs some
            self._do(play, chance, chance.choice(FIRST))
        while len(play.deeds) < length:
            (name,) = chance.choices([name for name, _, _ in DEEDS], [weight for _, _, weight in DEEDS])
            self._do(play, chance, name)
        self._come_to_rest(play)
        play.problems += laws.broken(self.stage, play)
        self._leave(play)
        return play

    def _do(self, play: Sequence, chance: random.Random, name: str) -> None:
        dice = random.Random(chance.random())  # how a deed goes changes nothing about which one is next
        said = self._try(play, dice, name)
        if said:  # else there was nothing to do it with
            play.deeds.append(f"{name}: {said}")

    def _try(self, play: Sequence, dice: random.Random, name: str) -> str:
        try:
            if name == "die at a call" and dice.random() < 0.6:
                meanwhile = dice.choice(MEANWHILE)
                other = partial(self._meanwhile, play, random.Random(dice.random()), meanwhile)
                return crashes.die_at_call(self.stage, play, dice, other)
            return BY_NAME[name](self.stage, play, dice)
        except TROUBLE as error:
            return f"refused: {error}"

    def _meanwhile(self, play: Sequence, dice: random.Random, name: str) -> str:
        return f"{name}: {self._try(play, dice, name)}"

    def _come_to_rest(self, play: Sequence) -> None:
        """Faults end, every event is heard, and everything that waits is done as if its time had come."""
        self.stage.forget_faults()
        stripe_poll.poll(self.stage.vault)  # events that came more than 30 days ago are told by nobody
        for turn in range(ROUNDS):
            asked = ("collection", "checkout", "gone_back") if turn < 2 else ("collection", "checkout")
            with transaction() as tx:
                tx.execute(text("UPDATE job SET run_after = now() WHERE state = 'ready'"))
                tx.execute(text("UPDATE job SET lease_until = now() WHERE state = 'sent'"))
                for table in asked:
                    due = f"UPDATE {table} SET ask_at = now() WHERE ask_at IS NOT NULL AND subscriber_id = :who"
                    tx.execute(text(due), {"who": play.who})
                tx.execute(text("UPDATE attempt SET real_at = real_at - interval '5 minutes' WHERE ended_at IS NULL"))
            self.stage.sweep()
            told = [each for each in self.stage.list_all("events", play.begun) if each["id"] not in play.heard]
            deeds.receive(play, told)
            did, open_yet = work(), laws.unsettled(play)
            if turn and not did and not open_yet:
                return
            if turn == 0 or open_yet:
                self.stage.pass_days(4, play.who)  # what a bank takes for a payment or a refund

    def _leave(self, play: Sequence) -> None:
        """What is open is paid in cash, access is full then, and the service ends: nothing more happens to it."""
        stage, who = self.stage, play.who
        with transaction() as tx:
            cards.set_autopay(tx, stage.business(tx), "system", who, False)
            owed = total((each.open for each in open_invoices(tx, who)), "EUR")
            if owed:
                record_payment(
                    tx, stage.vault, stage.business(tx),
                    subscriber_id=who, amount=owed, method="cash", author="staff:1", now=clock.now(),
                )  # fmt: skip
            level = level_of(tx, who)
            if level != "FULL":
                play.problems.append(f"all is paid, and access is {level}")
            tx.execute(
                update(service).where(service.c.payer_id == who).values(ends_on=stage.day)
            )  # nothing is given back
        work()
        if play.problems:
            return
        with transaction() as tx:
            settled = [each.number for each in open_invoices(tx, who)]
        if settled:
            play.problems.append(f"{', '.join(settled)} is open although all was paid")
