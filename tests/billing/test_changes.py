"""What changes during a service's life, to the cent and to the day, with books that stay right."""

from datetime import date

import pytest
from sqlalchemy import func, select

from base.access import AccessLevel, Reason
from base.business import load_business
from base.calendar import Cycle
from base.database import transaction
from base.money import Money
from base.tables import policy, service
from billing import changes, endings
from billing.charges import add_charge, drop_charge
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoices import balance, load_invoice, open_invoices
from billing.ledger import check_books
from billing.plans import add_plan, change_price, class_of_percent, retire
from billing.refused import Refused
from billing.settle import credits_by_subscriber
from billing.tables import charge, credit_note, discount, invoice, invoice_line
from billing.tick import run
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def eur(minor):
    return Money(minor, "EUR")


@pytest.fixture
def anna(provider: Provider):
    provider.travel(noon(MARCH))
    return provider.subscriber()


@pytest.fixture(autouse=True)
def books_stay_right(provider: Provider):
    yield
    with transaction() as tx:
        assert check_books(tx) == []


def day(provider, number, month=3):
    """Let it be noon of that day, and everything done that time has made due."""
    now = provider.travel(noon(date(2026, month, number)))
    run(now)
    return now


def do(provider, deed, *args, **more):
    with transaction() as tx:
        return deed(tx, provider.vault, "staff:1", *args, **more)


def documents():
    """(number, total) of all invoices and credit notes, in order."""
    with transaction() as tx:
        issued = tx.execute(select(invoice.c.number, invoice.c.total_minor).order_by(invoice.c.id)).all()
        credited = tx.execute(select(credit_note.c.number, credit_note.c.total_minor).order_by(credit_note.c.id)).all()
    return [tuple(row) for row in [*issued, *credited]]


def owes(subscriber_id):
    with transaction() as tx:
        return balance(tx, subscriber_id).minor


def access(service_id):
    with transaction() as tx:
        row = tx.execute(select(policy).where(policy.c.service_id == service_id)).one()
    return AccessLevel(row.level), row.obeyed["rate_down"], row.reasons


def test_a_dearer_plan_now_is_paid_for_by_the_day(provider: Provider, anna):
    """March at 31.00 plus tax; on the 11th to 62.00: 10 days of the one, 21 of the other."""
    home = provider.plan(price=3100)
    pro = provider.plan(price=6200, rate_down=300_000_000)
    line = provider.service(anna, home, MARCH)
    day(provider, 1)
    day(provider, 11)
    assert do(provider, changes.change_plan, line, pro) == date(2026, 3, 11)
    assert access(line) == (AccessLevel.FULL, 300_000_000, [])
    day(provider, 11)
    assert documents() == [("INV-000001", 3720), ("INV-000002", 5040), ("CN-000001", 2520)]
    assert owes(anna) == 1200 + 5040
    with transaction() as tx:
        assert [(each.number, each.open) for each in open_invoices(tx, anna)] == [
            ("INV-000001", eur(1200)),
            ("INV-000002", eur(5040)),
        ]
    day(provider, 31)
    assert documents()[2] == ("INV-000003", 7440)


def test_the_preview_says_what_the_change_will_do_and_does_nothing(provider: Provider, anna):
    home, pro = provider.plan(price=3100), provider.plan(price=6200)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    before = documents()
    found = do(provider, changes.preview_change, line, pro)
    assert (found.on, found.credited, found.charged) == (date(2026, 3, 11), eur(2520), eur(5040))
    later = do(provider, changes.preview_change, line, pro, at_boundary=True)
    assert (later.on, later.credited, later.charged) == (date(2026, 4, 1), eur(0), eur(0))
    assert documents() == before
    do(provider, changes.change_plan, line, pro)
    day(provider, 11)
    assert documents() == [*before[:1], ("INV-000002", 5040), ("CN-000001", 2520)]


def test_twice_in_one_day_and_back_again_costs_nothing(provider: Provider, anna):
    home, pro = provider.plan(price=3100), provider.plan(price=6200)
    line = provider.service(anna, home, MARCH)
    for plan_id in (None, pro, home):
        if plan_id is not None:
            do(provider, changes.change_plan, line, plan_id)
        day(provider, 1)
    assert owes(anna) == 3720


def test_another_plan_at_the_boundary_moves_no_money(provider: Provider, anna):
    home, pro = provider.plan(price=3100), provider.plan(price=6200, rate_down=300_000_000)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    provider.pay(anna, 20_000)
    assert do(provider, changes.change_plan, line, pro, at_boundary=True) == date(2026, 4, 1)
    day(provider, 31)
    assert access(line)[1] == 100_000_000
    assert documents() == [("INV-000001", 3720), ("INV-000002", 7440)]
    day(provider, 1, month=4)
    assert access(line)[1] == 300_000_000


def test_another_cycle_on_the_31st(provider: Provider, anna):
    provider.travel(noon(date(2026, 1, 31)))
    monthly, yearly = provider.plan(price=3100), provider.plan(price=36500, cycle=12)
    line = provider.service(anna, monthly, date(2026, 1, 31))
    day(provider, 1)
    do(provider, changes.change_plan, line, yearly)
    day(provider, 1)
    with transaction() as tx:
        lines = tx.execute(select(invoice_line).order_by(invoice_line.c.id.desc())).first()
    assert (lines.period_start, lines.period_end, lines.net_minor) == (MARCH, date(2027, 3, 1), 36500)


def test_in_arrears_both_plans_are_billed_for_their_days(provider: Provider, anna):
    home = provider.plan(price=3100, in_arrears=True)
    pro = provider.plan(price=6200, in_arrears=True)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    do(provider, changes.change_plan, line, pro)
    day(provider, 11)
    day(provider, 1, month=4)
    assert documents() == [("INV-000001", 1200), ("INV-000002", 5040)]


def test_a_pause_is_not_billed_and_what_was_is_given_back(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    do(provider, changes.pause, line, date(2026, 3, 11), date(2026, 4, 11), "in Spain")
    assert documents() == [("INV-000001", 3720), ("CN-000001", 2520)]
    assert access(line)[0] == AccessLevel.FULL
    provider.pay(anna, 5000)
    day(provider, 11)
    assert access(line)[::2] == (AccessLevel.WALLED, [Reason.PAUSED.value])
    day(provider, 31)
    with transaction() as tx:
        april = tx.execute(select(invoice_line).order_by(invoice_line.c.id.desc())).first()
    assert (april.period_start, april.period_end, april.net_minor) == (date(2026, 4, 11), date(2026, 5, 1), 2067)
    day(provider, 11, month=4)
    assert access(line)[0] == AccessLevel.FULL


def test_who_comes_back_early_pays_from_that_day(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    do(provider, changes.pause, line, date(2026, 3, 11), None)
    day(provider, 21)
    do(provider, changes.resume, line)
    day(provider, 21)
    assert access(line)[0] == AccessLevel.FULL
    assert documents() == [("INV-000001", 3720), ("INV-000002", 1320), ("CN-000001", 2520)]
    day(provider, 31)
    assert documents()[2] == ("INV-000003", 3720)
    assert owes(anna) == 3720 + 1320 - 2520 + 3720


def test_a_pause_that_never_began_costs_nothing(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    do(provider, changes.pause, line, date(2026, 3, 11), date(2026, 3, 21))
    do(provider, changes.resume, line)
    assert owes(anna) == 1200  # the days that were given back are billed when they come
    day(provider, 10)
    assert owes(anna) == 3720


def test_the_end_gives_back_days_and_deposit_and_charges_what_was_agreed(provider: Provider, anna):
    plan_id = provider.plan(price=3100, minimum_months=12, early_end_fee=eur(5000), setup_fee=eur(1000))
    line = provider.service(anna, plan_id, MARCH)
    with transaction() as tx:
        add_charge(
            tx, subscriber_id=anna, service_id=line, kind="deposit", text="Deposit for the router", amount=eur(4000),
            tax_class_id=class_of_percent(tx, "staff:1", "0"), on_day=MARCH, author="staff:1",
        )  # fmt: skip
    day(provider, 1)
    assert documents() == [("INV-000001", 3720 + 1200 + 4000)]
    day(provider, 11)
    do(provider, endings.cancel, line, date(2026, 3, 21), "moved away")
    day(provider, 11)
    assert documents()[1:] == [("INV-000002", 6000), ("CN-000001", 1320), ("CN-000002", 4000)]
    assert access(line)[0] == AccessLevel.FULL
    day(provider, 21)
    assert access(line)[0] == AccessLevel.BLOCKED
    day(provider, 30)
    assert len(documents()) == 4
    assert owes(anna) == 1200 + 6000 + 2400  # set-up, leaving early, 20 days


def test_an_end_is_corrected_and_taken_back(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100, minimum_months=12, early_end_fee=eur(5000)), MARCH)
    day(provider, 1)
    do(provider, endings.cancel, line, date(2026, 3, 21), "moved")
    day(provider, 1)
    with pytest.raises(Refused, match="set already"):
        do(provider, endings.cancel, line, date(2026, 3, 28), "moved")
    do(provider, endings.keep, line)
    assert owes(anna) == 2400  # 20 days; the others are billed when they come
    do(provider, endings.cancel, line, date(2026, 3, 28), "moved")
    day(provider, 27)
    assert owes(anna) == 2700 * 12 // 10 + 6000
    day(provider, 28)
    with pytest.raises(Refused, match="No end is planned"):
        do(provider, endings.keep, line)


def test_what_waits_is_billed_with_the_end_and_a_deposit_that_was_not_is_dropped(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    with transaction() as tx:
        for kind, minor in (("equipment", 4000), ("deposit", 2000)):
            add_charge(
                tx, subscriber_id=anna, service_id=line, kind=kind, text=kind, amount=eur(minor),
                tax_class_id=class_of_percent(tx, "staff:1", "0"), on_day=MARCH, author="staff:1",
            )  # fmt: skip
    do(provider, endings.cancel, line, date(2026, 3, 21), "moved")
    day(provider, 1)
    assert owes(anna) == 2400 + 4000


def test_credit_without_days_makes_the_days_cheaper(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    now = day(provider, 1)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        line_id = tx.scalar(select(invoice_line.c.id))
        credit_invoice(tx, provider.vault, business, "staff:1", 1, "Outage", now, {line_id: eur(310)})
    do(provider, endings.cancel, line, date(2026, 3, 11), "moved")
    assert owes(anna) == 900 * 12 // 10  # 10 of 31 days of 27.90


def test_a_plan_that_is_not_prorated_is_neither_given_back_nor_billed_again(provider: Provider, anna):
    home, pro = provider.plan(price=3100, prorated=False), provider.plan(price=6200, prorated=False)
    line = provider.service(anna, home, MARCH)
    day(provider, 2)
    do(provider, changes.pause, line, date(2026, 3, 2), None)
    do(provider, changes.resume, line)
    do(provider, changes.change_plan, line, pro)
    day(provider, 30)
    assert owes(anna) == 3720
    day(provider, 31)
    assert owes(anna) == 3720 + 7440


def test_in_arrears_a_price_of_its_own_holds_for_the_days_it_was_agreed_for(provider: Provider, anna):
    home, pro = provider.plan(price=3100, in_arrears=True), provider.plan(price=6200, in_arrears=True)
    line = provider.service(anna, home, MARCH)
    do(provider, changes.set_price, line, eur(1550), "from April on")
    day(provider, 1, month=4)
    assert owes(anna) == 3720
    day(provider, 16, month=4)
    assert do(provider, changes.change_plan, line, pro, at_boundary=True) == date(2026, 5, 1)
    day(provider, 1, month=5)
    assert owes(anna) == 3720 + 1860


def test_another_cycle_leaves_the_old_days_their_old_measure(provider: Provider, anna):
    home = provider.plan(price=3100, in_arrears=True)
    quarterly = provider.plan(price=9000, cycle=3, in_arrears=True)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    do(provider, changes.change_plan, line, quarterly)
    day(provider, 11)
    assert documents() == [("INV-000001", 1200)]


def test_a_dearer_price_does_not_reach_into_a_period_that_began_before(provider: Provider, anna):
    home = provider.plan(price=3100)
    line = provider.service(anna, home, MARCH)
    day(provider, 1)
    with transaction() as tx:
        change_price(tx, "staff:1", home, eur(6200), date(2026, 3, 15), today=MARCH)
    day(provider, 16)
    do(provider, changes.pause, line, date(2026, 3, 16), date(2026, 3, 17))
    do(provider, changes.resume, line)
    day(provider, 16)
    assert owes(anna) == 3720


def test_a_set_up_fee_comes_with_the_first_bill_that_is_issued_before_the_first_day(provider: Provider, anna):
    provider.service(anna, provider.plan(price=3100, setup_fee=eur(1000)), date(2026, 4, 1))
    day(provider, 31)
    assert documents() == [("INV-000001", 4920)]


def test_a_discount_by_amount_never_gives_back_less_than_nothing(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    with transaction() as tx:
        values = {"service_id": line, "text": "Off", "amount_minor": 6200, "from_on": date(2026, 3, 11)}
        tx.execute(discount.insert().values(author="x", until_on=date(2026, 4, 1), **values))
    day(provider, 1)
    assert documents() == [("INV-000001", 1200)]
    do(provider, endings.cancel, line, date(2026, 3, 11), "moved")
    assert owes(anna) == 1200


def test_somebody_else_pays(provider: Provider, anna):
    landlord = provider.subscriber("Bert")
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    do(provider, changes.set_payer, line, landlord)
    day(provider, 1)
    assert (owes(anna), owes(landlord)) == (0, 3720)
    provider.live(date(2026, 3, 15), date(2026, 4, 5))
    assert access(line)[0] == AccessLevel.WALLED


def test_a_line_is_handed_over(provider: Provider, anna):
    bert = provider.subscriber("Bert")
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 11)
    new = do(provider, endings.hand_over, line, bert)
    day(provider, 11)
    with transaction() as tx:
        logins = dict(tx.execute(select(service.c.id, service.c.login)).all())
    assert (logins[new], logins[line]) == ("line2", f"line2 (until 2026-03-11, {line})")
    assert (owes(anna), owes(bert)) == (1200, 3720)
    assert (access(line)[0], access(new)[0]) == (AccessLevel.BLOCKED, AccessLevel.FULL)


def test_a_price_of_its_own_and_a_price_from_a_day_on(provider: Provider, anna):
    home = provider.plan(price=3100)
    line, other = provider.service(anna, home, MARCH), provider.service(anna, home, MARCH)
    do(provider, changes.set_price, line, eur(2000), "loyal for years")
    with transaction() as tx:
        change_price(tx, "staff:1", home, eur(4000), date(2026, 4, 1), today=MARCH)
    day(provider, 1)
    day(provider, 31)
    assert [total for _, total in documents()] == [(2000 + 3100) * 12 // 10, (2000 + 4000) * 12 // 10]
    assert other


def test_the_billing_day_is_the_same_for_all_services(provider: Provider, anna):
    with transaction() as tx:
        tx.execute(changes.subscriber.update().values(billing_day=31))
    day(provider, 10)
    provider.service(anna, provider.plan(price=3100), date(2026, 3, 10))
    day(provider, 10)
    day(provider, 30)
    with transaction() as tx:
        rows = tx.execute(select(invoice_line).order_by(invoice_line.c.id)).all()
    assert [(row.period_start.day, row.period_end.day, row.net_minor) for row in rows] == [
        (10, 31, 2100),
        (31, 30, 3100),
    ]


def test_an_invoice_is_cancelled_by_credit_note_and_one_can_be_given_up(provider: Provider, anna):
    provider.service(anna, provider.plan(price=3333), MARCH)
    day(provider, 1)
    now = day(provider, 31)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        line_id = tx.scalar(select(invoice_line.c.id).where(invoice_line.c.invoice_id == 1))
        part = credit_invoice(tx, provider.vault, business, "staff:1", 1, "Outage", now, {line_id: eur(1000)})
        rest = credit_invoice(tx, provider.vault, business, "staff:1", 1, "Wrong plan", now)
        assert credit_invoice(tx, provider.vault, business, "staff:1", 1, "Again", now) is None
        assert (part, rest) == (1, 2)
        with pytest.raises(Refused, match="than was charged"):
            credit_invoice(tx, provider.vault, business, "staff:1", 1, "Again", now, {line_id: eur(1)})
        assert write_off_invoice(tx, provider.vault, business, "staff:1", 2, "gone abroad", now) == eur(4000)
        with pytest.raises(Refused, match="Nothing of invoice INV-000002 is open"):
            write_off_invoice(tx, provider.vault, business, "staff:1", 2, "gone abroad", now)
    assert documents() == [("INV-000001", 4000), ("INV-000002", 4000), ("CN-000001", 1200), ("CN-000002", 2800)]
    assert owes(anna) == 0


def test_credit_for_what_was_paid_is_used_by_the_next_invoice(provider: Provider, anna):
    provider.service(anna, provider.plan(price=3100), MARCH)
    now = day(provider, 1)
    provider.pay(anna, 3720)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        credit_invoice(tx, provider.vault, business, "staff:1", 1, "Outage", now)
        assert [each.left for each in credits_by_subscriber(tx, [anna])[anna]] == [eur(3720)]
    day(provider, 31)
    with transaction() as tx:
        assert load_invoice(tx, 2).open == eur(0)
    assert owes(anna) == 0


def test_charges_wait_for_an_invoice_unless_they_ask_for_one(provider: Provider, anna):
    with transaction() as tx:
        plain = {
            "subscriber_id": anna,
            "amount": eur(500),
            "tax_class_id": class_of_percent(tx, "x", "20"),
            "on_day": MARCH,
            "author": "x",
        }
        add_charge(tx, kind="one_off", text="Cable", **plain)
        dropped = add_charge(tx, kind="one_off", text="Mistake", **plain)
        drop_charge(tx, "staff:1", dropped)
        with pytest.raises(Refused, match="no such charge"):
            drop_charge(tx, "staff:1", dropped)
    day(provider, 1)
    assert documents() == []
    with transaction() as tx:
        add_charge(tx, kind="one_off", text="Visit", bill_on=MARCH, **plain)
    day(provider, 1)
    assert documents() == [("INV-000001", 1200)]
    with transaction() as tx:
        assert tx.scalar(select(func.count()).where(charge.c.invoice_id == 1)) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"price": eur(-1)}, "not negative"),
        ({"price": eur(10**15)}, "slip of the hand"),
        ({"cycle": Cycle("month", 0)}, "A cycle is"),
        ({"cycle": Cycle("week", 521)}, "A cycle is"),
        ({"first_period": "later"}, "first_period is one of"),
        ({"setup_fee": Money(1, "JPY")}, "one currency"),
        ({"minimum_months": -1}, "minimum term"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(provider: Provider, more, message):
    fields = {"name": "Odd", "price": eur(100), "rate_down": 0, "rate_up": 0, **more}
    with transaction() as tx, pytest.raises(Refused, match=message):
        add_plan(tx, "staff:1", **fields)


def test_a_plan_in_use_is_retired_and_not_sold_any_more(provider: Provider, anna):
    home = provider.plan(price=3100)
    provider.service(anna, home, MARCH)
    with transaction() as tx:
        retire(tx, "staff:1", home, MARCH)
    with pytest.raises(Refused, match="no longer sold"):
        provider.service(anna, home, MARCH)
    day(provider, 1)
    assert documents() == [("INV-000001", 3720)]


@pytest.mark.parametrize(
    ("deed", "args", "message"),
    [
        (changes.change_plan, (99,), "no such plan"),
        (changes.set_price, (eur(1), " "), "needs a reason"),
        (changes.set_price, (Money(1, "USD"), "x"), "priced in EUR"),
        (changes.pause, (date(2026, 2, 1), None), "today or later"),
        (changes.pause, (MARCH, MARCH), "after it began"),
        (changes.resume, (), "not paused"),
        (endings.cancel, (date(2026, 2, 28), "x"), "today or later"),
        (endings.cancel, (MARCH, ""), "Why does it end"),
        (changes.set_payer, (99,), "no such subscriber"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(provider: Provider, anna, deed, args, message):
    line = provider.service(anna, provider.plan(), MARCH)
    with pytest.raises(Refused, match=message):
        do(provider, deed, line, *args)
    with pytest.raises(Refused, match="no such service"):
        do(provider, deed, 99, *args)
