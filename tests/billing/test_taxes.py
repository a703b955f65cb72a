"""Tax classes: the day of supply decides, a change leaves the past alone, and treatments need their proof."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from base.database import transaction
from base.offers import tax_rate
from base.tables import trail
from billing.refused import Refused
from billing.tax import Tax
from billing.taxes import Rate, add_tax_class, change_rates, load_taxes, treated
from tests.billing.provider import Provider

TODAY = date(2026, 6, 15)
JULY = date(2026, 7, 1)
DAY = timedelta(days=1)
VAT19 = Tax("VAT", Decimal("19"))
VAT16 = Tax("VAT", Decimal("16"))


def add(name: str, *rates: Rate) -> int:
    with transaction() as tx:
        return add_tax_class(tx, "staff:1", name, rates)


def change(class_id: int, valid_from: date, *rates: Rate, today: date = TODAY) -> None:
    with transaction() as tx:
        change_rates(tx, "staff:1", class_id, rates, valid_from, today=today)


def on(class_id: int, day: date) -> tuple[Tax, ...]:
    with transaction() as tx:
        return load_taxes(tx, [class_id]).on(class_id, day)


def test_the_day_of_supply_decides(provider: Provider):
    class_id = add("standard", Rate("VAT", "19"))
    change(class_id, JULY, Rate("VAT", "16.0"))
    assert on(class_id, date(2001, 1, 1)) == on(class_id, JULY - DAY) == (VAT19,)
    assert on(class_id, JULY) == on(class_id, date(2099, 1, 1)) == (VAT16,)
    change(class_id, date(2027, 1, 1), Rate("VAT", "19"), today=date(2026, 12, 1))
    assert [on(class_id, day) for day in (JULY - DAY, JULY, date(2026, 12, 31), date(2027, 1, 1))] == [
        (VAT19,), (VAT16,), (VAT16,), (VAT19,),
    ]  # fmt: skip


def test_the_past_stays_as_it_was(provider: Provider):
    class_id = add("standard", Rate("VAT", "19"))
    with pytest.raises(Refused, match="the past stays as it was") as refused:
        change(class_id, TODAY - DAY, Rate("VAT", "16"))
    assert refused.value.field == "valid_from"
    change(class_id, TODAY, Rate("VAT", "16"))
    assert on(class_id, TODAY - DAY) == (VAT19,)
    assert on(class_id, TODAY) == (VAT16,)


def test_what_was_planned_is_replaced(provider: Provider):
    class_id = add("standard", Rate("VAT", "19"))
    change(class_id, date(2027, 1, 1), Rate("VAT", "25"))
    change(class_id, JULY, Rate("VAT", "16"))
    change(class_id, JULY, Rate("VAT", "17"))
    assert on(class_id, JULY - DAY) == (VAT19,)
    assert on(class_id, JULY) == on(class_id, date(2027, 1, 1)) == (Tax("VAT", Decimal("17")),)
    with transaction() as tx:
        days = tx.execute(select(tax_rate.c.valid_from, tax_rate.c.valid_until).order_by(tax_rate.c.valid_from)).all()
    assert [tuple(row) for row in days] == [(date(1900, 1, 1), JULY), (JULY, None)]


def test_several_taxes_keep_their_order_and_classes_do_not_mix(provider: Provider):
    quebec = add("Quebec", Rate("GST", "5"), Rate("QST", "9.975", compound=True))
    none = add("none", Rate("VAT", "0", "O"))
    with transaction() as tx:
        rates = load_taxes(tx, {quebec, none})
    assert rates.on(quebec, TODAY) == (Tax("GST", Decimal("5")), Tax("QST", Decimal("9.975"), compound=True))
    assert rates.on(none, TODAY) == (Tax("VAT", Decimal("0"), "O"),)
    change(none, JULY, Rate("VAT", "20"))
    assert on(quebec, JULY) == rates.on(quebec, TODAY)


def test_no_rate_is_said_and_never_taken_for_none(provider: Provider):
    class_id = add("standard", Rate("VAT", "19"))
    with pytest.raises(Refused, match=r"No tax rate of 'standard' holds on 1899-12-31\."):
        on(class_id, date(1899, 12, 31))
    with pytest.raises(Refused, match="no such tax class"):
        on(class_id + 1, TODAY)
    with pytest.raises(Refused, match="no such tax class"):
        change(class_id + 1, JULY, Rate("VAT", "19"))


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([], "needs a rate"),
        ([Rate(" ", "20")], "needs a name"),
        ([Rate("VAT", "twenty")], "not a percentage"),
        ([Rate("VAT", "-1")], "not between 0 and 100"),
        ([Rate("VAT", "20", "X")], "not a tax category"),
        ([Rate("VAT", "0", "S")], "cannot be category S"),
        ([Rate("VAT", "20", "E")], "cannot be category E"),
        ([Rate("VAT", "20"), Rate("VAT", "5")], "twice"),
    ],
)
def test_what_cannot_be_a_rate_is_refused_in_words(provider: Provider, rates: list[Rate], words: str):
    with pytest.raises(Refused, match=words):
        add("standard", *rates)
    class_id = add("standard", Rate("VAT", "19"))
    with pytest.raises(Refused, match=words):
        change(class_id, JULY, *rates)
    assert on(class_id, JULY) == (VAT19,)


def test_a_class_has_a_name_of_its_own(provider: Provider):
    add("standard", Rate("VAT", "19"))
    for name, words in [(" standard ", "already"), (" ", "needs a name")]:
        with pytest.raises(Refused, match=words):
            add(name, Rate("VAT", "19"))


def test_the_trail_tells_who_changed_what(provider: Provider):
    class_id = add("standard", Rate("VAT", "19"))
    change(class_id, JULY, Rate("VAT", "16"))
    with transaction() as tx:
        query = select(trail.c.actor, trail.c.act, trail.c.detail).where(trail.c.subject_id == class_id)
        deeds = [tuple(row) for row in tx.execute(query.order_by(trail.c.id))]
    assert deeds == [
        ("staff:1", "tax_class.added", {"name": "standard", "rates": ["VAT 19 % S"]}),
        (
            "staff:1",
            "tax_class.rates_changed",
            {"name": "standard", "rates": ["VAT 16 % S"], "valid_from": "2026-07-01"},
        ),
    ]


def test_a_treatment_needs_its_proof():
    assert treated((VAT19,), "normal", "vies") == (VAT19,)
    assert treated((VAT19,), "exempt", "") == (Tax("VAT", Decimal(0), "E"),)
    assert treated((VAT19,), "reverse_charge", "") == (VAT19,), "no number was checked: tax is charged"
    for check in ("format", "vies"):
        assert treated((VAT19,), "reverse_charge", check) == (Tax("VAT", Decimal(0), "AE"),)
    outside = (Tax("VAT", Decimal(0), "O"),)
    assert treated(outside, "exempt", "") == treated(outside, "reverse_charge", "vies") == outside
