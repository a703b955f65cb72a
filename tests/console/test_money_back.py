"""`tollkeeper payment`, `refund`, `reverse`, `dispute` and `instalment`: what is typed, and what comes back."""

from datetime import date

import pytest

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.gateway.disputes import DisputeState
from billing.ledger import check_books
from billing.money_back import disputes
from billing.payments import record_payment
from billing.tables import payment
from tests.billing.dunned import adopt, bill, march, tax_class_id
from tests.billing.provider import Provider, noon
from tests.console.test_billing import rows, typed


@pytest.fixture
def paid(provider: Provider) -> Provider:
    """One invoice of 35.99, paid in cash on 20 March (R-000001), and a second subscriber."""
    bill(provider)
    provider.subscriber("Bert")
    provider.travel(noon(march(20)))
    assert "Receipt R-000001; 00001 owes €0.00." in typed("payment", "00001", "35.99")
    return provider


@pytest.fixture(autouse=True)
def right(provider: Provider):
    yield
    with transaction() as tx:
        assert check_books(tx) == []


def by_card(provider: Provider, minor: int) -> None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        record_payment(
            tx, provider.vault, business, subscriber_id=1, amount=Money(minor, "EUR"), method="card", author="stripe",
            gateway_id="pi_1", now=clock.now(),
        )  # fmt: skip


def test_a_part_and_the_rest_go_back(paid: Provider):
    assert typed("refund", "list", "00001") == ""
    part = ("refund", "payment", "R-000001", "--amount", "10.00", "--by", "transfer", "--because", "outage")
    assert typed(*part) == "It is booked.\n"
    assert typed("refund", "payment", "R-000001", "--by", "cash", "--because", "moved out") == "It is booked.\n"
    shown = typed("refund", "list", "00001").splitlines()
    assert shown[0] == "2026-03-20  refund of R-000001  €25.99  cash  succeeded  moved out"
    assert shown[1].endswith("€10.00  transfer  succeeded  outage")
    assert "Nothing of R-000001 is left" in typed(*part, fails=True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("payment", "R-9", "--because", "x"), "There is no payment with the receipt 'R-9'."),
        (("payment", "R-000001", "--because", "x"), "R-000001 was not paid by card: give it back by hand."),
        (("payment", "R-000001", "--by", "cash", "--because", " "), "needs a reason"),
        (("payment", "R-000001", "--by", "cash"), "Missing option '--because'"),
        (("payment", "R-000001", "--by", "gold", "--because", "x"), "'gold' is not one of"),
        (("payment", "R-000001", "--by", "cash", "--amount", "36.00", "--because", "x"), "less than that is left"),
        (("payment", "R-000001", "--by", "cash", "--amount", "0", "--because", "x"), "more than nothing"),
        (("payment", "R-000001", "--by", "cash", "--amount", "1.234", "--because", "x"), "is not an amount"),
        (("payment", "R-000001", "--by", "cash", "--amount", "ten", "--because", "x"), "is not an amount"),
        (("credit", "00001", "--because", "x"), "This subscriber has no credit."),
        (("credit", "00009", "--because", "x"), "no subscriber with the account number '00009'"),
        (("list", "00009"), "no subscriber with the account number '00009'"),
    ],
)
def test_what_a_person_can_type_wrong_about_refunds(paid: Provider, words: tuple[str, ...], sentence: str):
    assert sentence in typed("refund", *words, fails=True)
    assert typed("refund", "list", "00001") == ""


def test_credit_is_paid_out(paid: Provider):
    typed("payment", "00001", "20.00", "--by", "transfer", "--note", "too much")
    too_much = ("refund", "credit", "00001", "--amount", "20.01", "--because", "left")
    assert "less credit than that" in typed(*too_much, fails=True)
    assert typed("refund", "credit", "00001", "--amount", "5.00", "--by", "cash", "--because", "left")
    assert typed("refund", "credit", "00001", "--because", "left") == "It is booked.\n"
    assert [line.split("  ")[2] for line in typed("refund", "list", "00001").splitlines()] == ["€15.00", "€5.00"]


def test_a_card_gets_it_back_later(paid: Provider):
    by_card(paid, 500)
    told = typed("refund", "payment", "R-000002", "--because", "asked")
    assert told == "It is sent to the card; `refund list` says what became of it.\n"
    assert "€5.00  card  sent  asked" in typed("refund", "list", "00001")


def test_a_payment_is_reversed_moved_and_charged_for(paid: Provider):
    assert "There is no payment with" in typed("reverse", "R-9", "--because", "x", fails=True)
    assert "Missing option '--because'" in typed("reverse", "R-000001", fails=True)
    with_both = ("reverse", "R-000001", "--because", "x", "--fee", "5.00", "--move-to", "00002")
    assert "no fee when it is moved" in typed(*with_both, fails=True)
    assert "this subscriber's already" in typed(
        "reverse", "R-000001", "--because", "x", "--move-to", "00001", fails=True
    )
    assert "no subscriber" in typed("reverse", "R-000001", "--because", "x", "--move-to", "00007", fails=True)
    assert "tax class fees have" in typed("reverse", "R-000001", "--because", "x", "--fee", "5.00", fails=True)
    moved = typed("reverse", "R-000001", "--because", "wrong subscriber", "--move-to", "00002")
    assert moved == "R-000001 is reversed.\n"
    assert "is reversed already" in typed("reverse", "R-000001", "--because", "again", fails=True)
    adopt(paid, fee_tax_class_id=tax_class_id())
    assert "is reversed" in typed("reverse", "R-000002", "--because", "bounced", "--fee", "5.00")
    by_card(paid, 500)
    assert "was paid by card: refund it" in typed("reverse", "R-000003", "--because", "x", fails=True)


def test_disputes_are_listed(paid: Provider):
    assert typed("dispute", "list") == ""
    by_card(paid, 500)
    (owner,) = rows(paid, payment.select().where(payment.c.method == "card"))
    five = Money(500, "EUR")
    for state in ("open", "won"):
        told = DisputeState("du_1", "pi_1", five, state, "fraudulent", True, state == "won")
        disputes.take(paid.vault, told, owner, "")
        if state == "open":
            assert "du_1  00001 Anna  R-000002  €5.00  open" in typed("dispute", "list")
            wrong = typed("refund", "payment", "R-000002", "--because", "x", fails=True)
            assert "it went back already, or is disputed" in wrong
    assert typed("dispute", "list") == ""
    assert "won" in typed("dispute", "list", "--all")


def test_cheques_wait_are_good_and_bounce(provider: Provider):
    bill(provider)
    provider.travel(noon(march(20)))
    provider.set(cheque_days=5)
    assert typed("payment", "waiting") == "No cheque is under way.\n"
    told = typed("payment", "--by", "cheque", "00001", "20.00")
    assert "Receipt R-000001; 00001 owes €35.99. It counts on 2026-03-25" in told
    typed("payment", "record", "00001", "15.99", "--by", "cheque", "--invoice", "INV-000001")
    assert "R-000002  00001  Anna  €15.99  received 2026-03-20, counts on 2026-03-25" in typed("payment", "waiting")
    assert "reverse it instead" in typed("refund", "payment", "R-000001", "--by", "cash", "--because", "x", fails=True)
    assert typed("payment", "clear", "R-000001") == "R-000001 counts.\n"
    assert "is no cheque that still has to count" in typed("payment", "clear", "R-000001", fails=True)
    assert "There is no payment with the receipt" in typed("payment", "clear", "R-7", fails=True)
    assert typed("reverse", "R-000002", "--because", "bounced") == "R-000002 is reversed.\n"
    assert typed("payment", "waiting") == "No cheque is under way.\n"
    assert "cash, transfer or cheque" in typed("payment", "00001", "1.00", "--by", "card", fails=True)
    assert "has no invoice INV-9" in typed("payment", "00001", "1.00", "--invoice", "INV-9", fails=True)
    assert "no subscriber with the account number 'clean'" in typed("payment", "clean", "R-000001", fails=True)


def test_instalments_are_agreed_shown_and_ended(provider: Provider):
    bill(provider)
    provider.live(march(2), march(20))
    assert typed("instalment", "list") == "Nobody pays in parts.\n"
    plan = ("instalment", "plan", "00001", "--first", "2026-03-25")
    tried = typed(*plan, "--parts", "3", "--try").splitlines()
    assert tried == [
        "2026-03-25  €12.00", "2026-04-25  €12.00", "2026-05-25  €11.99", "Nothing is agreed yet.",
    ]  # fmt: skip
    assert typed("instalment", "show", "00001") == ""
    assert "Say either --parts" in typed(*plan, fails=True)
    assert "Say either --parts" in typed(*plan, "--parts", "2", "--part", "2026-04-01 5", fails=True)
    assert "1 or more" in typed(*plan, "--parts", "0", fails=True)
    assert "2 to 36 parts" in typed(*plan, "--parts", "1", fails=True)
    assert "has no invoice INV-7" in typed(*plan, "--parts", "2", "--invoice", "INV-7", fails=True)
    parts = ("instalment", "plan", "00001", "--invoice", "INV-000001", "--part")
    assert "is no part such as" in typed(*parts, "2026-04-01", fails=True)
    assert "is not a date" in typed(*parts, "soon 5.00", fails=True)
    assert "sum to 1500" in typed(*parts, "2026-04-01 5.00", "--part", "2026-04-09 10.00", fails=True)
    assert "It is agreed" in typed(*parts, "2026-04-01 20.00", "--part", "2026-04-09 15.99")
    assert "a plan already" in typed(*plan, "--parts", "2", fails=True)
    typed("payment", "00001", "8.00")
    listed = "00001  Anna  INV-000001  €27.99 open, next €12.00 on 2026-04-01, breaks on 2026-04-05"
    assert typed("instalment", "list").strip() == listed
    shown = [line.strip() for line in typed("instalment", "show", "00001").splitlines()]
    assert shown[1:] == ["2026-04-01  €20.00  €12.00 open", "2026-04-09  €15.99  €15.99 open"]
    assert "Missing option" in typed("instalment", "cancel", "00001", fails=True)
    assert "dunning begins anew" in typed("instalment", "cancel", "00001", "--because", "moved")
    assert "no instalment plan" in typed("instalment", "cancel", "00001", "--because", "moved", fails=True)
    assert "void" in typed("instalment", "show", "00001")
    assert date(2026, 3, 20) == clock.now().date()
