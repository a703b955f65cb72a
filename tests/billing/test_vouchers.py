"""Vouchers: codes that people can type, that nobody can guess, and that are redeemed and booked once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from base.access import AccessLevel
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from base.tables import subscriber
from billing.invoices import balance
from billing.ledger import check_books
from billing.prepaid.codes import ALPHABET, BITS, code_of, read_code, shown
from billing.prepaid.guesses import FORGOTTEN, FREE, keys_of, wait_after
from billing.prepaid.redemption import Redemption, redeem
from billing.prepaid.renewal import balance_of
from billing.prepaid.tables import voucher, voucher_guess
from billing.prepaid.vouchers import add_batch, list_batches, sell_batch, take_codes, void_batch
from billing.refused import Refused
from billing.tables import entry, payment, posting
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
NOW = noon(MARCH)
WRONG = shown(code_of(12345))


@pytest.fixture
def isp(provider: Provider):
    provider.travel(NOW)
    yield provider
    with transaction() as tx:
        assert check_books(tx) == []


def batch(isp: Provider, count: int = 1, name: str = "May", value: int = 1000, **more: Any) -> list[str]:
    """The codes of a new batch."""
    with transaction() as tx:
        values = {"valid_until": None, "today": MARCH, "now": NOW, **more}
        add_batch(tx, isp.vault, "staff:1", name=name, value=Money(value, "EUR"), count=count, **values)
        return [card.code for card in take_codes(tx, isp.vault, "staff:1", name, "€10.00", NOW)]


def use(isp: Provider, who: int, typed: str, now: datetime = NOW, address: str | None = None) -> Redemption:
    with transaction() as tx:
        return redeem(tx, isp.vault, who, typed, now, f"subscriber:{who}", address)


def account(name: str) -> int:
    with transaction() as tx:
        return int(tx.scalar(select(func.sum(posting.c.amount_minor)).where(posting.c.account == name)) or 0)


def sell(name: str = "May", **more: Any) -> None:
    with transaction() as tx:
        sell_batch(tx, "staff:1", name, **{"method": "cash", "amount": None, "today": MARCH, **more})


# codes

numbers = st.integers(0, (1 << BITS) - 1)


@given(numbers)
def test_a_code_is_read_however_it_is_typed(number):
    code = code_of(number)
    assert len(code) == 16
    assert set(code) <= set(ALPHABET)
    assert read_code(shown(code)) == code
    assert read_code(f" {shown(code).lower().replace('-', ' ')} ") == code
    assert read_code(code.replace("0", "o").replace("1", "l")) == code
    assert read_code(code.replace("0", "O").replace("1", "I")) == code


@given(numbers, st.integers(0, 15), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_a_slip(number, place, other):
    code = code_of(number)
    typed = code[:place] + other + code[place + 1 :]
    assert read_code(typed) == (code if typed == code else None)


@given(numbers, st.integers(0, 15), st.integers(0, 15))
def test_two_characters_that_changed_places_are_a_slip(number, one, other):
    code = code_of(number)
    typed = list(code)
    typed[one], typed[other] = typed[other], typed[one]
    assert read_code("".join(typed)) == (code if "".join(typed) == code else None)


@pytest.mark.parametrize("typed", ["", "K7QP", "K7QP-2MXD-94TA-0RW!", "U" * 16, "ß" * 16, "0" * 17, "٣" * 16])
def test_what_is_no_code_is_a_slip(typed):
    assert read_code(typed) is None


def test_different_numbers_have_different_codes():
    assert len({code_of(1 << place) for place in range(BITS)}) == BITS


# redeeming


def test_a_redeemed_voucher_is_on_the_balance(isp: Provider):
    anna = isp.subscriber()
    (code,) = batch(isp)
    sell()
    assert (account("cash"), account("vouchers_sold")) == (1000, -1000)
    done = use(isp, anna, code)
    assert (done.sentence, done.amount) == ("€10.00 went to your balance.", Money(1000, "EUR"))
    assert (account("vouchers_sold"), account("customer_credit"), account("promotions")) == (0, -1000, 0)
    with transaction() as tx:
        assert balance(tx, anna) == Money(-1000, "EUR")


def test_one_that_was_never_sold_is_an_expense_until_it_is(isp: Provider):
    anna = isp.subscriber()
    codes = batch(isp, 10)
    use(isp, anna, codes[0])
    assert (account("vouchers_sold"), account("promotions")) == (0, 1000)
    sell(amount=Money(9000, "EUR"), method="transfer")  # a rebate of 10.00 to the shop
    assert (account("bank"), account("vouchers_sold"), account("promotions")) == (9000, -9000, 1000)
    use(isp, anna, codes[1])
    assert (account("vouchers_sold"), account("promotions"), account("customer_credit")) == (-8000, 1000, -2000)
    with pytest.raises(Refused, match="sold already"):
        sell()


def test_what_was_sold_and_is_void_is_booked_out_with_the_reason(isp: Provider):
    anna = isp.subscriber()
    codes = batch(isp, 4)
    sell(amount=Money(3600, "EUR"))
    use(isp, anna, codes[0])
    with transaction() as tx:
        with pytest.raises(Refused, match="At most what is left"):
            void_batch(tx, "staff:1", "May", "kiosk closed", NOW, today=MARCH, paid_back=Money(3001, "EUR"))
        left = void_batch(tx, "staff:1", "May", "kiosk closed", NOW, today=MARCH, paid_back=Money(2700, "EUR"))
        said = tx.scalars(select(entry.c.text).where(entry.c.source.startswith("voucher_batch_void:"))).one()
        assert check_books(tx) == []
    assert (left, said) == (3, "Vouchers void: May (kiosk closed)")
    assert (account("vouchers_sold"), account("cash"), account("vouchers_lapsed")) == (0, 900, -300)
    batch(isp, name="Never sold")
    with transaction() as tx:
        with pytest.raises(Refused, match="never sold"):
            void_batch(tx, "staff:1", "Never sold", "x", NOW, today=MARCH, paid_back=Money(1, "EUR"))
        void_batch(tx, "staff:1", "Never sold", "misprint", NOW, today=MARCH)
        assert check_books(tx) == []
    assert account("vouchers_lapsed") == -300


def test_each_refusal_has_its_own_sentence_and_only_for_who_has_the_code(isp: Provider):
    anna, bert = isp.subscriber(), isp.subscriber("Bert")
    used, _ = batch(isp, 2)
    use(isp, anna, used)
    assert use(isp, anna, used).sentence == "You redeemed this voucher on Mar 1, 2026 already: it went to your balance."
    assert use(isp, bert, used).sentence == "This voucher was redeemed already."
    (old,) = batch(isp, name="Old", valid_until=MARCH)
    assert use(isp, anna, old, NOW + timedelta(days=1)).sentence == "This voucher was valid until Mar 1, 2026."
    assert use(isp, anna, old).amount
    (void,) = batch(isp, name="Void")
    with transaction() as tx:
        assert void_batch(tx, "staff:1", "Void", "stolen", NOW, today=MARCH) == 1
    assert use(isp, anna, void).sentence.startswith("This voucher is no longer valid")
    dora = isp.subscriber("Dora", currency="USD")
    (euros,) = batch(isp, name="Euros")
    assert "another currency" in use(isp, dora, euros).sentence
    assert use(isp, anna, WRONG).sentence == "There is no voucher with this code."
    assert use(isp, anna, WRONG[:-1] + "X").sentence.startswith("There is a slip")
    with transaction() as tx:  # of all these only one was a guess
        assert tx.scalar(select(func.sum(voucher_guess.c.wrong))) == 1
        tx.execute(update(subscriber).where(subscriber.c.id == anna).values(language="de"))
    assert use(isp, anna, WRONG).sentence == "Einen Gutschein mit diesem Code gibt es nicht."


def test_who_leaks_the_database_gives_no_codes_away(isp: Provider):
    (code,) = batch(isp)
    with transaction() as tx:
        row = tx.execute(select(voucher)).one()
    assert row.code is None
    plain = code.replace("-", "").encode()
    assert plain not in bytes(row.digest)
    other = Vault([Fernet.generate_key()])
    assert bytes(row.digest) not in other.digests(plain.decode(), "voucher code")


def test_before_it_is_printed_the_code_is_encrypted_and_it_is_printed_once(isp: Provider):
    with transaction() as tx:
        add_batch(
            tx, isp.vault, "staff:1", name="May", value=Money(1000, "EUR"), count=3, valid_until=None, today=MARCH,
            now=NOW,
        )  # fmt: skip
        kept = tx.scalars(select(voucher.c.code).order_by(voucher.c.id)).all()
    with transaction() as tx:
        cards = take_codes(tx, isp.vault, "staff:1", "May", "€10.00", NOW)
        assert [isp.vault.unlock_text(each) for each in kept] == [card.code.replace("-", "") for card in cards]
        tx.rollback()  # the printer jams
    with transaction() as tx:
        assert take_codes(tx, isp.vault, "staff:1", "May", "€10.00", NOW) == cards
    with transaction() as tx, pytest.raises(Refused, match="printed already"):
        take_codes(tx, isp.vault, "staff:1", "May", "€10.00", NOW)


def test_after_a_rotation_of_the_keys_vouchers_of_before_are_found(isp: Provider):
    anna = isp.subscriber()
    (code,) = batch(isp)
    rotated = Vault([Fernet.generate_key(), *isp.vault._keys])
    with transaction() as tx:
        assert redeem(tx, rotated, anna, code, NOW, "system").amount


def test_the_list_of_batches_says_how_far_they_are(isp: Provider):
    codes = batch(isp, 3)
    use(isp, isp.subscriber(), codes[2])
    sell()
    with transaction() as tx:
        (found,) = list_batches(tx)
    assert (found.size, found.redeemed, found.sold_for) == (3, 1, Money(3000, "EUR"))


@pytest.mark.parametrize(
    "wrong",
    [{"value": 0}, {"value": -1}, {"count": 0}, {"count": 10**6}, {"name": " "}, {"valid_until": date(2026, 2, 28)}],
)
def test_a_batch_that_cannot_be_is_refused(isp: Provider, wrong: dict[str, Any]):
    with pytest.raises(Refused):
        batch(isp, **wrong)


# guessing


def test_wrong_codes_are_free_at_first_and_then_make_one_wait_longer_and_longer(isp: Provider):
    anna = isp.subscriber()
    (code,) = batch(isp)
    for _ in range(FREE["subscriber"] - 1):
        assert use(isp, anna, WRONG).retry_at is None
    for _ in range(10):  # slips never count
        use(isp, anna, "K7QP-2MXD")
    stopped = use(isp, anna, WRONG)
    assert stopped.retry_at == NOW + timedelta(minutes=1)
    assert stopped.sentence.startswith(
        "There is no voucher with this code. Too many wrong codes: please try again after "
    )
    held = use(isp, anna, code, NOW + timedelta(seconds=59))  # not even the right one is looked at
    assert (held.amount, held.retry_at) == (None, NOW + timedelta(minutes=1))
    again = use(isp, anna, WRONG, NOW + timedelta(minutes=1))
    assert again.retry_at == NOW + timedelta(minutes=3)
    assert use(isp, anna, code, NOW + timedelta(minutes=3)).amount
    assert use(isp, anna, WRONG, NOW + timedelta(minutes=3)).retry_at == NOW + timedelta(minutes=7)
    assert use(isp, anna, WRONG, NOW + timedelta(minutes=7) + FORGOTTEN).retry_at is None


def test_an_address_is_counted_over_all_subscribers(isp: Provider):
    people = [isp.subscriber(f"Payer {number}") for number in range(FREE["address"])]
    answers = [use(isp, who, WRONG, address="192.0.2.7").retry_at for who in people]
    assert answers == [None] * (FREE["address"] - 1) + [NOW + timedelta(minutes=1)]
    assert use(isp, people[0], WRONG, address="192.0.2.7").retry_at == NOW + timedelta(minutes=1)
    assert use(isp, people[0], WRONG, address="192.0.2.8").retry_at is None


def test_an_ipv6_customer_is_one_address():
    assert keys_of(1, "2001:db8::1") == keys_of(1, "2001:db8::ffff:2") != keys_of(1, "2001:db8:0:1::1")
    assert keys_of(1, "::ffff:192.0.2.1") == keys_of(1, "192.0.2.1")


@given(st.lists(st.integers(0, 3 * 24 * 60), max_size=200))
def test_however_guesses_are_spread_there_are_fewer_than_8_a_day(pauses):
    """Whoever waits `pauses` minutes longer than they must; 15 ahead on the first day."""
    wrong, at, next_at, guesses = 0, 0, 0, 0
    for pause in pauses:
        at = next_at + pause
        if at >= next_at + FORGOTTEN // timedelta(minutes=1):
            wrong = 0
        wrong, guesses = wrong + 1, guesses + 1
        next_at = at + wait_after(wrong, FREE["subscriber"]) // timedelta(minutes=1)
        assert guesses <= 16 + 8 * at / (24 * 60)


# at once


def test_many_who_redeem_the_same_code_at_once_get_it_once(isp: Provider):
    people = [isp.subscriber(f"Payer {number}") for number in range(8)]
    codes = batch(isp, 4)
    barrier = threading.Barrier(8)

    def rush(who: int) -> list[Redemption]:
        barrier.wait()
        return [use(isp, who, code) for code in (codes if who % 2 else codes[::-1])]

    with ThreadPoolExecutor(8) as pool:
        done = [each for found in pool.map(rush, people) for each in found]
    assert sum(each.amount is not None for each in done) == 4
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(payment)) == 4
        assert tx.scalar(select(func.count()).where(entry.c.source.like("voucher:%"))) == 4


def test_guesses_at_once_are_counted_one_by_one(isp: Provider):
    """From one address, in the name of many."""
    people = [isp.subscriber(f"Payer {number}") for number in range(24)]
    barrier = threading.Barrier(8)

    def guess(worker: int) -> int:
        barrier.wait()
        answers = [use(isp, people[worker * 3 + turn], WRONG, address="192.0.2.7") for turn in range(3)]
        return sum(each.sentence.startswith("There is no voucher") for each in answers)

    with ThreadPoolExecutor(8) as pool:
        looked_up = sum(pool.map(guess, range(8)))
    assert looked_up == FREE["address"]


def test_selling_and_voiding_beside_redeeming_keeps_the_books(isp: Provider):
    people = [isp.subscriber(f"Payer {number}") for number in range(4)]
    names = [f"Batch {number}" for number in range(6)]
    codes = {name: batch(isp, 4, name=name) for name in names}

    def redeem_all(worker: int) -> list[Money]:
        found = [use(isp, people[worker], codes[name][worker]) for name in names]
        return [each.amount for each in found if each.amount is not None]

    def deal() -> None:
        for name in names:
            sell(name)
            with transaction() as tx:
                void_batch(tx, "staff:1", name, "enough", NOW, today=MARCH)

    with ThreadPoolExecutor(5) as pool:
        dealt = pool.submit(deal)
        taken = [amount for found in pool.map(redeem_all, range(4)) for amount in found]
        dealt.result()
    with transaction() as tx:
        assert check_books(tx) == []
        redeemed = tx.scalars(select(voucher.c.id).where(voucher.c.payment_id.is_not(None))).all()
        assert len(redeemed) == len(taken)
        assert sum(balance_of(tx, who).minor for who in people) == sum(amount.minor for amount in taken)


def test_a_voucher_lets_in_in_the_same_commit(isp: Provider):
    anna = isp.subscriber()
    plan_id = isp.plan(price=1000, price_inclusive=True, prepaid=True)
    home = isp.service(anna, plan_id, MARCH)
    assert isp.level(home) == AccessLevel.WALLED
    use(isp, anna, batch(isp)[0])
    assert isp.level(home) == AccessLevel.FULL
