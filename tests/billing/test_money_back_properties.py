"""Whatever comes in, is used, goes back, is reversed and disputed in whatever order: the books are right."""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from base.business import load_business, set_business
from base.database import transaction
from base.money import Money
from billing.cheques.clear import clear_cheque, count_due
from billing.cheques.tables import cheque
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.dunning.run import run_dunning
from billing.gateway.disputes import DisputeState
from billing.gateway.refunds import RefundState
from billing.instalments.plans import agree, cancel, overdue
from billing.instalments.rules import spread
from billing.ledger import check_books
from billing.money_back import card, disputes
from billing.money_back.refunds import move_to_balance, pay_out_credit, refund_by_hand
from billing.money_back.reversals import reverse_payment
from billing.money_back.tables import gone_back
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import credits_by_subscriber, open_by_subscriber
from billing.tables import allocation, invoice, open_credit, payment, posting
from billing.write_offs import recover_invoice
from tests.billing.provider import Provider, noon
from tests.billing.test_books_at_all_times import House

DEEDS = (
    "wait", "pay", "pay_cheque", "pay_card", "pay_card", "credit", "write_off", "recover", "refund", "card_refund",
    "card_refund", "refund_told", "refund_failed", "by_stripe", "pay_out", "move", "reverse", "move_to", "dispute",
    "dispute_won", "dispute_lost", "cheque_days", "cheque_good", "plan", "plan_ends",
)  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 2**16)), min_size=4, max_size=16)
EVERYTHING = [
    ("write_off", 0),
    ("pay", 4001),
    ("recover", 0),
    ("pay_card", 4000), ("dispute", 0), ("dispute_lost", 0), ("pay_cheque", 3001), ("reverse", 0), ("pay_card", 5998),
    ("card_refund", 800), ("refund_told", 0), ("refund_failed", 0), ("wait", 24), ("pay", 4001), ("move_to", 0),
    ("by_stripe", 700), ("credit", 0), ("pay_out", 77), ("pay", 5002), ("refund", 900), ("move", 50), ("write_off", 0),
    ("recover", 1), ("dispute", 300), ("dispute_won", 0), *[("wait", 24)] * 4, ("plan", 0), ("plan", 1),
    ("cheque_days", 4), ("pay_cheque", 4000), ("cheque_good", 0), ("pay_cheque", 2000), ("reverse", 0),
    ("plan_ends", 0), ("wait", 24), ("plan_ends", 1),
]  # fmt: skip


class Desk(House):
    """The house of all deeds, with money that goes back."""

    def _try(self, tx, deed: str, number: int) -> None:
        vault, business, now = self.provider.vault, load_business(tx, self.provider.vault), noon(self.today)
        payer = self.payers[number % 2]
        count = tx.scalar(select(func.count()).select_from(invoice))
        invoice_id = count - number % min(count, 6)
        paid = self._one(tx, select(payment).order_by(payment.c.id.desc()).limit(5), number)
        amount = Money(1 + number % 3000, "EUR")
        who = (tx, vault, business, "staff:1")
        if deed.startswith("pay") and deed != "pay_out":
            method = {"pay": "cash", "pay_cheque": "cheque", "pay_card": "card"}[deed]
            payments = tx.scalar(select(func.count()).select_from(payment))
            record_payment(
                tx, vault, business, subscriber_id=payer, amount=Money(1 + number % 6000, "EUR"), method=method,
                author="staff:1", gateway_id=f"pi_{payments}" if method == "card" else None, now=now,
            )  # fmt: skip
        elif deed == "cheque_days":
            set_business(tx, vault, "staff:1", cheque_days=number % 5)
        elif deed == "cheque_good":
            found = self._one(tx, select(cheque).where(cheque.c.state == "waiting"), number)
            clear_cheque(*who, 0 if found is None else found.payment_id, now)
        elif deed == "plan":
            _, ids = overdue(tx, payer, self.today)
            owed, chosen = overdue(tx, payer, self.today, ids[: 1 + number % 2])
            agree(*who, payer, spread(owed, 2 + number % 3, self.today, 1 + number % 20), now, chosen)
        elif deed == "plan_ends":
            cancel(*who, payer, "no more", now)
        elif deed == "credit":
            credit_invoice(*who, invoice_id, "whole", now)
        elif deed == "write_off":
            write_off_invoice(*who, invoice_id, "lost", now)
        elif deed == "recover":
            recover_invoice(*who, invoice_id, "found", now)
        elif deed == "pay_out":
            pay_out_credit(*who, payer, amount if number % 3 else None, "cash", "left", now)
        elif paid is None:
            raise Refused("nothing was paid", "payment_id")
        elif deed == "refund":
            refund_by_hand(*who, paid.id, amount if number % 3 else None, "transfer", "asked", now)
        elif deed == "move":
            move_to_balance(*who, paid.id, amount, "meant for another", now)
        elif deed in ("reverse", "move_to"):
            other = next(each for each in self.payers if each != paid.subscriber_id)
            reverse_payment(*who, paid.id, "bounced", now, move_to=other if deed == "move_to" else None)
        elif deed == "card_refund":
            card.refund_to_card(tx, business, vault, "staff:1", paid.id, amount, "asked", now)

    def do(self, deed: str, number: int) -> None:
        told = {"refund_told", "refund_failed", "by_stripe", "dispute", "dispute_won", "dispute_lost"}
        if deed not in told:
            super().do(deed, number)
            if deed == "wait":
                count_due(noon(self.today))
                run_dunning(noon(self.today))
            return
        vault, amount = self.provider.vault, Money(1 + number % 3000, "EUR")
        with transaction() as tx:
            cards = select(payment).where(payment.c.method == "card").order_by(payment.c.id.desc()).limit(5)
            paid = self._one(tx, cards, number)
            kind = "dispute" if deed.startswith("dispute") else "refund"
            theirs = select(gone_back).where(gone_back.c.kind == kind, gone_back.c.way == "card")
            row = self._one(tx, theirs.order_by(gone_back.c.id.desc()).limit(3), number)
            count = tx.scalar(select(func.count()).select_from(gone_back))
        if paid is None:
            return
        if deed == "by_stripe":
            card.take(vault, RefundState(f"re_{count}", paid.gateway_id, amount, "succeeded", "", ""))
        elif deed == "dispute":
            denied = DisputeState(f"du_{count}", paid.gateway_id, amount, "open", "fraudulent", True, False)
            disputes.take(vault, denied, paid, "")
        elif row is not None:
            with transaction() as tx:
                paid = tx.execute(select(payment).where(payment.c.id == row.payment_id)).one()
            amount = Money(row.amount_minor, "EUR")
            if kind == "refund":
                status = "failed" if deed == "refund_failed" else "succeeded"
                named = row.gateway_id or f"re_of_{row.id}"
                card.take(vault, RefundState(named, paid.gateway_id, amount, status, row.key, ""))
            else:
                won = deed == "dispute_won"
                state = DisputeState(row.gateway_id, "", amount, "won" if won else "lost", "fraudulent", True, won)
                disputes.take(vault, state, paid, "")
        self.done.add(deed)

    @staticmethod
    def _one(tx, query, number: int):
        found = tx.execute(query).all()
        return found[number % len(found)] if found else None


def test_the_books_are_right_whatever_goes_back(provider: Provider):
    house = Desk(provider)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(STEPS)
    @example(EVERYTHING)
    def any_deeds(steps: list[tuple[str, int]]) -> None:
        for deed, number in steps:
            house.do(deed, number)
            with transaction() as tx:
                assert check_books(tx) == [], deed
        with transaction() as tx:
            used = tx.scalar(select(func.sum(allocation.c.amount_minor)).where(allocation.c.payment_id.is_not(None)))
            left = tx.scalar(select(func.sum(open_credit.c.left_minor)).where(open_credit.c.payment_id.is_not(None)))
            gone = select(func.sum(gone_back.c.amount_minor - gone_back.c.beyond_minor)).where(
                gone_back.c.payment_id.is_not(None), gone_back.c.way != "balance",
                gone_back.c.state.in_(("sent", "succeeded", "pending", "lost")),
            )  # fmt: skip
            came = tx.scalar(select(func.sum(payment.c.amount_minor))) or 0
            late = select(func.sum(payment.c.amount_minor)).join(cheque, cheque.c.payment_id == payment.c.id)
            came -= tx.scalar(late.where(cheque.c.state == "waiting")) or 0
            assert (used or 0) + (left or 0) + (tx.scalar(gone) or 0) == came
            assert tx.scalar(select(func.sum(posting.c.amount_minor))) == 0
            assert not open_by_subscriber(tx, house.payers).keys() & credits_by_subscriber(tx, house.payers).keys()

    any_deeds()
    assert house.done >= set(DEEDS) - {"wait", "move"}, set(DEEDS) - house.done
