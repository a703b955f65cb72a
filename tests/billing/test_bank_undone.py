"""A payment that was none brings its bank line back, and what it taught about accounts is unlearned."""

from datetime import date

import pytest
from sqlalchemy import select

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.bank.match import Part
from billing.bank.queue import assign, ignore, list_lines, look_again, sums
from billing.bank.settling import load_book, new_lines, settle_lines
from billing.bank.tables import bank_line, payer_account
from billing.invoices import issue_due, open_invoices
from billing.money_back.reversals import reverse_payment
from billing.refused import Refused
from tests.billing.provider import Provider, noon
from tests.billing.test_bank_intake import IBAN, MARCH, OURS, anna, business_of, lines, row, settle, take

__all__ = ["anna"]  # the fixture


def reverse(provider: Provider, payment_id: int, reason: str = "wrong subscriber", move_to: int | None = None):
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        return reverse_payment(
            tx, provider.vault, business, "staff:1", payment_id, reason, clock.now(), move_to=move_to
        )


def known() -> dict[tuple[str, int], int]:
    with transaction() as tx:
        return {(each.iban, each.subscriber_id): each.times for each in tx.execute(select(payer_account))}


def test_a_reversed_payment_brings_its_line_back_and_the_mistake_is_not_repeated(provider: Provider, anna: int):
    take(provider, row("INV-000001", name="Anna Müller", iban=IBAN))
    assert settle(provider) == {"matched": 1}
    assert known() == {(IBAN, anna): 1}
    (line,) = lines()
    reverse(provider, line.payment_ids[0])
    (line,) = lines()
    assert (line.state, line.payment_ids, line.candidates, line.confidence) == ("queued", [], [], None)
    assert line.why == "R-000001 was reversed: wrong subscriber"
    assert known() == {}
    with transaction() as tx:
        assert look_again(tx, "staff:1") == 0  # the number is in it still, and would be matched again
    assert settle(provider) == {}
    take(provider, row("Internet", day="2026-04-02", iban=IBAN), name="next.csv")  # the account is known to nobody now
    assert settle(provider) == {"queued": 1}
    with transaction() as tx:
        parts = [Part(anna, Money(3599, "EUR"))]
        assign(tx, provider.vault, business_of(provider, tx), "staff:1", line.id, parts, clock.now())
    assert [each.state for each in lines()] == ["matched", "queued"]


def test_what_was_learned_more_than_once_is_unlearned_once(provider: Provider, anna: int):
    take(provider, row("INV-000001", name="Anna Müller", iban=IBAN), row("INV-000002", name="Anna Müller", iban=IBAN))
    settle(provider)
    assert known() == {(IBAN, anna): 2}
    reverse(provider, lines()[0].payment_ids[0])
    assert known() == {(IBAN, anna): 1}


def test_a_moved_payment_takes_its_place_and_teaches_the_right_one(provider: Provider, anna: int):
    bert = provider.subscriber("Bert Schulz")
    provider.service(bert, provider.plan(), MARCH)
    issue_due(noon(date(2026, 4, 2)))
    take(provider, row("INV-000001", name="Anna Müller", iban=IBAN))
    settle(provider)
    done = reverse(provider, lines()[0].payment_ids[0], move_to=bert)
    (line,) = lines()
    assert (line.state, line.payment_ids) == ("matched", [done.moved_to])
    assert line.why.endswith("R-000001 was moved to another subscriber: wrong subscriber")
    assert known() == {(IBAN, bert): 1}
    take(provider, row("Internet", day="2026-04-02", iban=IBAN), name="next.csv")
    assert settle(provider) == {"matched": 1}
    assert lines()[1].why.startswith("No number is named; the amount is what")
    with transaction() as tx:
        assert len(open_invoices(tx, anna)) == 2
    reverse(provider, done.moved_to, "he never paid")  # the moved payment stands for the line as well
    assert lines()[0].state == "queued"


def test_of_a_divided_line_only_the_part_that_was_none_waits(provider: Provider, anna: int):
    bert, carl = provider.subscriber("Bert Schulz"), provider.subscriber("Carl Orff")
    take(provider, row("Internet", "60.00", iban=IBAN))
    settle(provider)
    line_id = lines()[0].id
    parts = [Part(anna, Money(4000, "EUR")), Part(bert, Money(2000, "EUR"))]
    with transaction() as tx:
        assign(tx, provider.vault, business_of(provider, tx), "staff:1", line_id, parts, clock.now())
    first, second = lines()[0].payment_ids
    reverse(provider, second)
    (line,) = lines()
    assert (line.state, line.payment_ids, line.left_minor) == ("queued", [first], 2000)
    assert known() == {(IBAN, anna): 1}
    with transaction() as tx:
        business = business_of(provider, tx)
        assert [(each.state, each.amount.minor) for each in sums(tx, "EUR")] == [("queued", 2000)]
        with pytest.raises(Refused, match=r"come to 60.00, what waits of the line is 20.00"):
            assign(tx, provider.vault, business, "staff:1", line_id, [Part(carl, Money(6000, "EUR"))], clock.now())
        assign(tx, provider.vault, business, "staff:1", line_id, [Part(carl, Money(2000, "EUR"))], clock.now())
    (line,) = lines()
    assert (line.state, line.payment_ids[0], line.left_minor) == ("matched", first, None)
    for payment_id in line.payment_ids:  # at last all of it waits again
        reverse(provider, payment_id)
    (line,) = lines()
    assert (line.state, line.payment_ids, line.left_minor) == ("queued", [], None)
    with transaction() as tx:
        ignore(tx, "staff:1", line_id, "sent back", clock.now())
        assert list_lines(tx) == []


def test_what_was_foreseen_wrongly_is_settled_one_by_one_and_nothing_is_doubled(provider: Provider, anna: int):
    """Credit that waits beside an open invoice pays more of it than the line itself, which the bulk cannot foresee."""
    from billing.tables import open_credit, payment

    take(provider, row("INV-000001", "30.00", "Anna Müller", iban=IBAN), row("INV-000001 Rest", "5.99", "Anna Müller"))
    with transaction() as tx:
        ids = new_lines(tx)
        book = load_book(tx, "EUR", ids)
        credit = {"subscriber_id": anna, "left_minor": 300, "currency": "EUR"}
        paid = {"subscriber_id": anna, "receipt_number": "R-X", "method": "cash", "amount_minor": 300}
        more = {"currency": "EUR", "received_on": MARCH, "author": "x", "created_at": clock.now()}
        source = tx.execute(payment.insert().values(**paid, **more).returning(payment.c.id)).scalar_one()
        tx.execute(open_credit.insert().values(**credit, payment_id=source))
        states = settle_lines(tx, provider.vault, business_of(provider, tx), book, ids, clock.now())
        assert states == ["matched", "matched"]
        first, second = tx.execute(select(bank_line).order_by(bank_line.c.id)).all()
        assert "5.99 EUR less than is open" in first.why
        assert "3.00 EUR more than is open" in second.why  # as when they are settled one after the other
        assert tx.scalar(select(payer_account.c.times)) == 1
        assert book.accounts[IBAN] == {anna: 1}
        assert [each.open.minor for each in book.payers[anna].owed] == [3299]
        tx.rollback()


assert OURS
