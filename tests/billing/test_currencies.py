"""Yen without decimals and dinar with three: prices, parts, coupons, vouchers, imports, to the smallest unit."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from base import clock, offers
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.i18n import parse_money
from base.money import Money
from base.tables import service
from billing.changes import change_plan, preview_change
from billing.endings import cancel
from billing.extras import add_coupon, add_discount, redeem_coupon
from billing.gateway.words import chargeable, from_stripe, refundable, to_stripe, too_small
from billing.importers.run import import_file
from billing.instalments.plans import agree, overdue, plans_of
from billing.instalments.rules import spread
from billing.ledger import check_books, receivable
from billing.money_back.card import refund_to_card
from billing.money_back.refunds import refund_by_hand
from billing.money_back.reversals import reverse_payment
from billing.money_back.tables import gone_back
from billing.outages import commit_outage, on_plan, outage_days, preview_outage
from billing.payments import record_payment
from billing.prepaid.redemption import redeem
from billing.prepaid.renewal import balance_of
from billing.prepaid.vouchers import add_batch, sell_batch, take_codes
from billing.refused import Refused
from billing.tables import credit_note, invoice, invoice_line, open_item
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


@pytest.fixture(params=["JPY", "KWD"])
def abroad(request: pytest.FixtureRequest, provider: Provider) -> Provider:
    """A provider in a currency of 0 or of 3 decimals; their currency stands in `currency`."""
    provider.travel(noon(MARCH))
    provider.set(currency=request.param)
    provider.currency = request.param  # type: ignore[attr-defined]
    return provider


def plan(isp: Provider, minor: int, **more: Any) -> int:
    return isp.plan(minor, currency=isp.currency, **more)  # type: ignore[attr-defined]


def person(isp: Provider) -> int:
    return isp.subscriber(currency=isp.currency)  # type: ignore[attr-defined]


def do(isp: Provider, deed: Any, *args: Any, **more: Any) -> Any:
    with transaction() as tx:
        return deed(tx, isp.vault, "staff:1", *args, **more)


def owed(who: int) -> int:
    with transaction() as tx:
        assert check_books(tx) == []
        return receivable(tx, who).minor


def plan_lines() -> list[int]:
    with transaction() as tx:
        return list(tx.scalars(select(invoice_line.c.amount_minor).order_by(invoice_line.c.id)))


def test_what_people_type_is_the_smallest_unit():
    assert parse_money("2980", "JPY") == Money(2980, "JPY")
    assert parse_money("9.125", "KWD") == Money(9125, "KWD")
    for text, currency in (("2980.5", "JPY"), ("9.1255", "KWD")):
        with pytest.raises(ValueError, match=text):
            parse_money(text, currency)


def test_parts_of_a_period_sum_to_its_price_and_a_change_moves_whole_units(abroad: Provider):
    """2,983 for March: 10 days of the one, 21 of the other at 5,000, both plus 10 %."""
    anna = person(abroad)
    home, pro = plan(abroad, 2983, tax="10"), plan(abroad, 5000, tax="10")
    line = abroad.service(anna, home, MARCH)
    abroad.live(MARCH, MARCH)
    assert owed(anna) == 2983 + 298  # 298.3
    abroad.travel(noon(date(2026, 3, 11)))
    seen = do(abroad, preview_change, line, pro)
    # 2983 × 10/31 = 962.26, so 2021 are given back; 5000 × 21/31 = 3387.10
    assert (seen.credited.minor, seen.charged.minor) == (2021 + 202, 3387 + 339)
    do(abroad, change_plan, line, pro)
    abroad.live(date(2026, 3, 11), date(2026, 3, 11))
    assert owed(anna) == 3281 - 2223 + 3726
    do(abroad, cancel, line, date(2026, 3, 21), "moved")
    # 5000 × 21/31 less 5000 × 10/31 = 3387 − 1613 = 1774
    assert owed(anna) == 3281 - 2223 + 3726 - (1774 + 177)


def test_discounts_and_coupons(abroad: Provider):
    anna = person(abroad)
    line = abroad.service(anna, plan(abroad, 1001, tax="0"), MARCH)
    with transaction() as tx:
        add_coupon(tx, "x", code="HALF", text="Half", currency=abroad.currency, percent_off="50")  # type: ignore[attr-defined]
    do(abroad, redeem_coupon, line, "HALF")
    do(abroad, add_discount, line, text="Loyal", amount_off=Money(7, abroad.currency))  # type: ignore[attr-defined]
    abroad.live(MARCH, MARCH)
    assert plan_lines() == [1001, -501, -7]  # half of 1001 is 500.5
    assert owed(anna) == 493


def test_inclusive_prices_stand_and_an_outage_gives_whole_units_back(abroad: Provider):
    anna = person(abroad)
    bought = plan(abroad, 3100, tax="10", price_inclusive=True)
    abroad.service(anna, bought, MARCH)
    abroad.live(MARCH, MARCH)
    with transaction() as tx:
        assert tx.execute(select(invoice.c.net_minor, invoice.c.tax_minor, invoice.c.total_minor)).one() == (
            2818, 282, 3100,
        )  # fmt: skip
    days = outage_days(MARCH, 3)
    with transaction() as tx:
        scope = on_plan(tx, tx.scalars(select(offers.plan.c.name)).one(), days)
        (given,) = preview_outage(tx, scope, days)
    commit_outage(scope, days, "Cut fibre", "staff:1")
    assert given.credited.minor == 300
    assert owed(anna) == 2800


def test_vouchers_and_renewal(abroad: Provider):
    anna, currency = person(abroad), abroad.currency  # type: ignore[attr-defined]
    line = abroad.service(anna, plan(abroad, 750, tax="10", prepaid=True, price_inclusive=True), MARCH)
    with transaction() as tx:
        add_batch(
            tx, abroad.vault, "x", name="Kiosk", value=Money(1000, currency), count=3, valid_until=None, today=MARCH,
            now=noon(MARCH),
        )  # fmt: skip
        sell_batch(tx, "x", "Kiosk", method="cash", amount=Money(2900, currency), today=MARCH)
        words = "1000" if currency == "JPY" else "1.000"
        codes = [card.code for card in take_codes(tx, abroad.vault, "x", "Kiosk", words, noon(MARCH))]
        said = redeem(tx, abroad.vault, anna, codes[0], noon(MARCH), "x").sentence
        assert balance_of(tx, anna) == Money(250, currency)
    assert said == {"JPY": "¥1,000 went to your balance.", "KWD": "KWD1.000 went to your balance."}[currency]
    assert abroad.level(line) == AccessLevel.FULL
    assert owed(anna) == -250


def test_cheques_instalments_and_refunds(abroad: Provider):
    """10,001 in three parts: 3,334 and 3,334 and 3,333; the first by a cheque that bounces, then again in cash."""
    currency = abroad.currency  # type: ignore[attr-defined]
    abroad.set(cheque_days=3)
    anna = person(abroad)
    line = abroad.service(anna, plan(abroad, 10001, tax="0", cycle=12), MARCH)
    abroad.live(MARCH, date(2026, 4, 7))
    assert (owed(anna), abroad.level(line)) == (10001, AccessLevel.WALLED)
    with transaction() as tx:
        business = load_business(tx, abroad.vault)
        amount, _ = overdue(tx, anna, date(2026, 4, 7))
        parts = spread(amount, 3, date(2026, 4, 10))
        assert [each.amount.minor for each in parts] == [3334, 3334, 3333]
        agree(tx, abroad.vault, business, "staff:1", anna, parts, clock.now())
    assert abroad.level(line) == AccessLevel.FULL

    def pay(minor: int, method: str, day: date) -> int:
        with transaction() as tx:
            money, now = Money(minor, currency), abroad.travel(noon(day))
            return record_payment(
                tx, abroad.vault, load_business(tx, abroad.vault), subscriber_id=anna, amount=money, method=method,
                author="staff:1", now=now,
            ).payment_id  # fmt: skip

    cheque = pay(3334, "cheque", date(2026, 4, 10))
    assert owed(anna) == 10001
    with transaction() as tx:
        business = load_business(tx, abroad.vault)
        reverse_payment(tx, abroad.vault, business, "staff:1", cheque, "bounced", clock.now())
    cash = pay(3334, "cash", date(2026, 4, 11))
    abroad.live(date(2026, 4, 11), date(2026, 4, 20))
    assert (owed(anna), abroad.level(line)) == (6667, AccessLevel.FULL)
    with transaction() as tx:
        business, one = load_business(tx, abroad.vault), Money(1, currency)
        refund_by_hand(tx, abroad.vault, business, "staff:1", cash, one, "cash", "a coin too much", clock.now())
    assert owed(anna) == 6668  # so a coin of the first part is missing, and that is late by now
    abroad.live(date(2026, 4, 21), date(2026, 4, 21))
    with transaction() as tx:
        assert [each.state for each in plans_of(tx, anna)] == ["broken"]
    assert owed(anna) == 6668


@pytest.mark.parametrize(("currency", "asked", "sent"), [("KWD", None, 10000), ("KWD", 1230, 1230), ("JPY", 7, 7)])
def test_to_a_card_money_goes_in_the_steps_of_stripe(provider: Provider, currency: str, asked: int | None, sent: int):
    who = provider.subscriber(currency=currency)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        paid = record_payment(
            tx, provider.vault, business, subscriber_id=who, amount=Money(10001, currency), method="card",
            author="stripe", gateway_id="pi_1", now=clock.now(),
        ).payment_id  # fmt: skip
        if currency == "KWD":
            with pytest.raises(Refused, match="the last digit is 0"):
                refund_to_card(tx, business, provider.vault, "x", paid, Money(1234, currency), "asked", clock.now())
        wanted = None if asked is None else Money(asked, currency)
        refund_to_card(tx, business, provider.vault, "x", paid, wanted, "asked", clock.now())
        assert tx.scalar(select(gone_back.c.amount_minor)) == sent
        assert check_books(tx) == []


def test_what_stripe_takes_at_least_and_in_which_steps():
    assert [too_small(Money(minor, code)) for minor, code in ((49, "KRW"), (50, "KRW"), (1, "KWD"))] == [
        True,
        False,
        False,
    ]
    found = [chargeable(Money(minor, code)).minor for minor, code in ((5124, "KWD"), (5120, "KWD"), (1045, "HUF"))]
    assert found == [5130, 5120, 1045]  # forint are whole in payouts only
    assert [refundable(Money(5129, "BHD")).minor, refundable(Money(5129, "JPY")).minor] == [5120, 5129]
    assert (to_stripe(Money(5, "ISK")), from_stripe(500, "ugx")) == (500, Money(5, "UGX"))


def test_imports_read_their_decimals(abroad: Provider):
    def take(kind: str, data: str, commit: bool = True) -> Any:
        with transaction() as tx:
            business = load_business(tx, abroad.vault)
            return import_file(tx, abroad.vault, business, "x", kind, data.encode(), noon(MARCH), commit=commit)

    yen = abroad.currency == "JPY"  # type: ignore[attr-defined]
    abroad.plan(3000, currency=abroad.currency)  # type: ignore[attr-defined]
    take("subscribers", "number,name\n1,Anna\n")
    price, debt, paid, wrong = ("2500", "1200", "1000", "1.5") if yen else ("2.500", "1.200", "1", "1.2345")
    head = "subscriber,login,password,plan,starts_on,paid_until,price,price_reason\n"
    assert take("services", f"{head}1,a,b,Home 1,2026-01-01,2026-03-01,{price},Agreed\n").new == 1
    assert take("balances", f"subscriber,number,issued_on,amount\n1,A,2026-02-01,{debt}\n").new == 1
    assert take("payments", f"subscriber,amount,date\n1,{paid},2026-03-01\n").new == 1
    faults = take("payments", f"subscriber,amount,date\n1,{wrong},2026-03-01\n").faults
    assert [(fault.line, fault.column) for fault in faults] == [(2, "amount")]
    with transaction() as tx:
        who = tx.scalar(select(service.c.payer_id))
        assert tx.scalar(select(open_item.c.open_minor)) == 200
    abroad.live(MARCH, MARCH)
    assert owed(who) == 200 + 2500 * 12 // 10
    with transaction() as tx:
        assert tx.scalars(select(credit_note.c.id)).all() == []
