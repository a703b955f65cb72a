"""Files become rows once, rows become payments once, and people decide the rest: on a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from base.tables import trail
from billing.bank.intake import take_file
from billing.bank.mappings import find_mapping, save_mapping
from billing.bank.match import Part
from billing.bank.queue import accept, assign, ignore, list_lines, load_line, look_again, receipts_of, sums
from billing.bank.settling import load_book, new_lines, settle_all, settle_lines
from billing.bank.table import TableMapping
from billing.bank.tables import bank_file, bank_line, payer_account
from billing.close import close_month
from billing.importers.reader import Unreadable
from billing.invoices import issue_due, open_invoices
from billing.ledger import check_books
from billing.refused import Refused
from billing.tables import payment
from tests.billing.provider import Provider, noon
from tests.billing.test_bank_formats import MT940, OURS, camt, entry

MARCH = date(2026, 3, 1)
IBAN = "NL91ABNA0417164300"
HEADER = "day,amount,text,name,iban,reference\n"
MAPPING = TableMapping(day="day", amount="amount", text=("text",), name="name", iban="iban", reference="reference")


@pytest.fixture
def anna(provider: Provider) -> int:
    """Somebody who owes INV-000001 and INV-000002 of 35.99, of March and April; it is 2 April."""
    provider.set(bank_iban=OURS)
    provider.travel(noon(MARCH))
    subscriber_id = provider.subscriber("Anna Müller")
    provider.service(subscriber_id, provider.plan(), MARCH)
    for month in (3, 4):
        issue_due(noon(date(2026, month, 1)))
    provider.travel(noon(date(2026, 4, 2)))
    return subscriber_id


def row(
    text: str, amount: str = "35.99", name: str = "", day: str = "2026-04-01", iban: str = "", ref: str = ""
) -> str:
    return f"{day},{amount},{text},{name},{iban},{ref}\n"


def take(provider: Provider, *rows: str, name: str = "april.csv"):
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        return take_file(tx, business, "staff:1", name, (HEADER + "".join(rows)).encode(), MAPPING, clock.now())


def take_bytes(provider: Provider, data: bytes) -> None:
    with transaction() as tx:
        take_file(tx, load_business(tx, provider.vault), "staff:1", "x", data, None, clock.now())


def settle(provider: Provider) -> dict[str, int]:
    return dict(settle_all(provider.vault, clock.now()))


def lines() -> list:
    with transaction() as tx:
        assert check_books(tx) == []
        return list(tx.execute(select(bank_line).order_by(bank_line.c.id)))


def business_of(provider: Provider, tx):
    return load_business(tx, provider.vault)


def test_a_matched_line_is_a_payment_of_its_day_and_teaches_the_account(provider: Provider, anna: int):
    taken = take(provider, row("INV-000002", name="Anna Mueller", iban=IBAN))
    assert (taken.lines, taken.new, taken.checked, taken.again) == (1, 1, False, False)
    assert settle(provider) == {"matched": 1}
    (line,) = lines()
    assert (line.state, line.author, line.confidence) == ("matched", "bank", 99)
    assert "INV-000002 is named" in line.why
    with transaction() as tx:
        paid = tx.execute(select(payment)).one()
        assert (paid.id, paid.method, paid.author, paid.received_on) == (
            *line.payment_ids,
            "transfer",
            "bank",
            line.day,
        )
        assert "Anna Mueller · INV-000002" in paid.note
        assert [each.number for each in open_invoices(tx, anna)] == ["INV-000001"]
        assert tx.execute(select(payer_account)).one() == (IBAN, anna, 1, line.day)
    take(provider, row("Internet", day="2026-04-02", iban=IBAN), name="next.csv")  # by the account that is known now
    assert settle(provider) == {"matched": 1}
    with transaction() as tx:
        assert open_invoices(tx, anna) == []
        assert tx.scalar(select(payer_account.c.times)) == 2


def test_the_same_file_and_the_same_lines_in_another_add_nothing(provider: Provider, anna: int):
    both = (row("INV-000001", name="Anna Müller"), row("INV-000002", name="Anna Müller"))
    take(provider, *both)
    assert settle(provider) == {"matched": 2}
    again = take(provider, *both, name="other name.csv")
    assert (again.again, again.new) == (True, 0)
    more = take(provider, *both, row("Trinkgeld", "1.00", day="2026-04-02"))
    assert (more.again, more.lines, more.new) == (False, 3, 1)
    assert settle(provider) == {"queued": 1}
    assert len(lines()) == 3
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(payment)) == 2
        assert tx.scalars(select(bank_file.c.new_count).order_by(bank_file.c.id)).all() == [2, 1]


def test_the_same_money_told_in_another_format_is_not_taken_twice(provider: Provider, anna: int):
    take(provider, row("INV-000001", name="Anna Müller"))
    settle(provider)
    other = camt(entry("35.99", day="<BookgDt><Dt>2026-04-01</Dt></BookgDt>"), closing="135.99")
    with transaction() as tx:
        take_file(
            tx, business_of(provider, tx), "staff:1", "april.xml", other.replace(b"0000", b"000001 "), None, clock.now()
        )
    assert settle(provider) == {"queued": 1}
    assert "too, from a file that tells it otherwise" in lines()[1].why
    with transaction() as tx:
        look_again(tx, "staff:1")
    assert settle(provider) == {}


def test_what_is_wrong_is_listed_and_nothing_is_imported(provider: Provider, anna: int):
    with pytest.raises(Unreadable) as wrong:
        take(provider, row("INV-000001"), row("x", "1.001"), row("y", day="1.4.2026"), row("z", day=""))
    assert [fault.line for fault in wrong.value.faults] == [3, 4, 5]
    for data, said in (
        (camt(entry(), closing="1.00"), "wrong by -128.99 EUR"),
        (MT940.replace("117,49", "117,50").encode(), "wrong by 0.01 EUR"),
        (camt(entry(), closing="129.99").replace(OURS.encode(), b"NL91ABNA0417164300"), "ours is"),
        (camt(entry(), closing="129.99").replace(b"EUR", b"USD"), "we do business in EUR"),
        (camt(entry())[:-30], "cut off"),
    ):
        with pytest.raises(Unreadable) as wrong:
            take_bytes(provider, data.replace(b"2026-06-01", b"2026-04-01").replace(b":2606010601", b":2604010401"))
        assert said in str(wrong.value)
    assert lines() == []
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(bank_file)) == 0


def test_money_that_left_and_payouts_are_nobodys(provider: Provider, anna: int):
    stripe = row("STRIPE INV-000001", "900.00", "Stripe Payments Europe")
    taken = take(provider, row("INV-000001", "-35.99"), stripe, row("nichts", "0.00"), row("STRIPE X", "5.00"))
    assert taken.aside == {"outgoing": 1, "payout": 2, "ignored": 1}
    assert settle(provider) == {}
    assert {line.state for line in lines()} == {"outgoing", "payout", "ignored"}
    told = row("statt Stripe INV-000001", name="Anna Müller", day="2026-04-02")  # a person who mentions it
    take(provider, told, name="more.csv")
    assert settle(provider) == {"matched": 1}
    outgoing = lines()[0].id
    with transaction() as tx, pytest.raises(Refused, match="money that left"):
        assign(
            tx,
            provider.vault,
            business_of(provider, tx),
            "staff:1",
            outgoing,
            [Part(anna, Money(-3599, "EUR"))],
            clock.now(),
        )


def test_a_day_in_a_closed_month_is_received_today_and_says_so(provider: Provider, anna: int):
    with transaction() as tx:
        close_month(tx, business_of(provider, tx), "staff:1", MARCH, clock.now())
    take(provider, row("INV-000001", name="Anna Müller", day="2026-03-30"))
    assert settle(provider) == {"matched": 1}
    (line,) = lines()
    assert "The books are closed for 2026-03: received on 2026-04-02." in line.why
    with transaction() as tx:
        assert tx.scalar(select(payment.c.received_on)) == date(2026, 4, 2)


def test_debts_that_changed_since_the_book_was_read_are_seen(provider: Provider, anna: int):
    take(provider, row("INV-000001", "71.98", "Firma GmbH"))
    with transaction() as tx:
        ids = new_lines(tx)
        book = load_book(tx, "EUR", ids)
    provider.pay(anna, 3599)  # at the desk, in between
    with transaction() as tx:
        states = settle_lines(tx, provider.vault, business_of(provider, tx), book, ids, clock.now())
    assert states == ["queued"]  # it is no longer what is open, and the sender is unknown
    assert settle(provider) == {}


def test_people_decide_what_waits(provider: Provider, anna: int):
    bert = provider.subscriber("Bert Schulz")
    take(
        provider, row("INV-000001", "30.00"), row("Spende", "10.00"), row("Internet", "60.00", iban=IBAN),
        row("Irrtum", "7.00"),
    )  # fmt: skip
    assert settle(provider) == {"queued": 4}
    first, gift, both, last = (line.id for line in lines())
    with transaction() as tx:
        business = business_of(provider, tx)
        assert [each.id for each in list_lines(tx)] == [first, gift, both, last]
        accept(tx, provider.vault, business, "staff:2", first, clock.now())
        with pytest.raises(Refused, match="There is no candidate"):
            accept(tx, provider.vault, business, "staff:2", gift, clock.now())
        with pytest.raises(Refused, match="needs a reason"):
            ignore(tx, "staff:2", gift, " ", clock.now())
        ignore(tx, "staff:2", gift, "a gift to the club", clock.now())
        parts = [Part(anna, Money(4000, "EUR")), Part(bert, Money(2000, "EUR"))]
        with pytest.raises(Refused, match=r"come to 40.00, the line is 60.00"):
            assign(tx, provider.vault, business, "staff:2", both, parts[:1], clock.now())
        with pytest.raises(Refused, match="named twice"):
            assign(tx, provider.vault, business, "staff:2", both, [parts[1]] * 3, clock.now())
        theirs = open_invoices(tx, anna)[0].id
        with pytest.raises(Refused, match="somebody else's invoice"):
            assign(
                tx, provider.vault, business, "staff:2", last, [Part(bert, Money(700, "EUR"), (theirs,))], clock.now()
            )
        assign(tx, provider.vault, business, "staff:2", both, parts, clock.now())
        assign(tx, provider.vault, business, "staff:2", gift, [Part(bert, Money(1000, "EUR"))], clock.now())
        for decided in (first, both, gift):
            with pytest.raises(Refused, match="is reversed, not undone here"):
                ignore(tx, "staff:2", decided, "undo", clock.now())
        assert receipts_of(tx, load_line(tx, both)) == ["R-000002", "R-000003"]
        assert {(each.state, each.lines) for each in sums(tx, "EUR")} == {("matched", 3), ("queued", 1)}
        acts = tx.scalars(select(trail.c.act).where(trail.c.subject == "bank_line").order_by(trail.c.id)).all()
        assert acts == ["bank.line_accepted", "bank.line_ignored", "bank.line_assigned", "bank.line_assigned"]
        assert {each.subscriber_id for each in tx.execute(select(payer_account))} == {anna, bert}
    with transaction() as tx, pytest.raises(Refused, match="no bank line"):
        ignore(tx, "staff:2", 10**6, "x", clock.now())


def test_what_waits_is_looked_at_again_when_an_invoice_came(provider: Provider, anna: int):
    take(provider, row("INV-000003", name="Anna Müller", day="2026-04-02"))
    settle(provider)
    assert lines()[0].state == "queued"
    issue_due(provider.travel(noon(date(2026, 5, 1))))
    with transaction() as tx:
        assert look_again(tx, "staff:1") == 1
    assert settle(provider) == {"matched": 1}


def test_a_mapping_is_kept_once_it_reads_a_file_and_found_by_its_columns(provider: Provider):
    data = (HEADER + row("x")).encode()
    with transaction() as tx:
        with pytest.raises(Unreadable):
            save_mapping(tx, "staff:1", "bank", MAPPING, data.replace(b"2026-", b"26-"), "EUR", clock.now())
        assert find_mapping(tx, None, data) is None
        assert len(save_mapping(tx, "staff:1", "bank", MAPPING, data, "EUR", clock.now())) == 1
        save_mapping(tx, "staff:1", "bank", MAPPING, data, "EUR", clock.now())  # anew
        assert find_mapping(tx, None, data) == find_mapping(tx, "bank", b"") == MAPPING
        with pytest.raises(Refused, match="no mapping 'other'; there is bank"):
            find_mapping(tx, "other", data)
        save_mapping(tx, "staff:1", "twin", MAPPING, data, "EUR", clock.now())
        with pytest.raises(Refused, match="bank, twin"):
            find_mapping(tx, None, data)


def test_any_split_into_overlapping_files_is_the_whole(provider: Provider):
    """Files of whole days, in any order, with twins on a day: the same rows as from one file."""
    first = date(2026, 3, 1)

    @given(
        days=st.lists(st.lists(st.sampled_from(["a", "a", "b"]), max_size=3), min_size=1, max_size=8),
        cuts=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=6),
    )
    def check(days: list[list[str]], cuts: list[tuple[int, int]]) -> None:
        rows = [
            [row(text, "5.00", day=str(first + timedelta(days=at))) for text in texts] for at, texts in enumerate(days)
        ]

        def run(windows: list[tuple[int, int]]) -> list:
            with provider.engine.connect() as tx:
                business = load_business(tx, provider.vault)
                for begins, ends in windows:
                    some = "".join(each for day in rows[begins : ends + 1] for each in day)
                    if some:
                        take_file(tx, business, "staff:1", "x", (HEADER + some).encode(), MAPPING, clock.now())
                columns = (bank_line.c.day, bank_line.c.fingerprint, bank_line.c.state, bank_line.c.doubt)
                return sorted(tuple(each) for each in tx.execute(select(*columns)))

        # the windows overlap as they like, and the last ones see to it that every day is in one
        windows = [(min(cut), max(cut)) for cut in cuts] + [(at, at + 2) for at in range(0, len(days), 2)]
        assert run(windows) == run([(0, len(days))])

    provider.travel(noon(date(2026, 4, 2)))
    check()


def test_two_who_settle_at_once_and_one_who_was_stopped_make_one_payment_of_each_line(provider: Provider, anna: int):
    rows = [row(f"INV-000001 Nr {at}", f"{at}.00", name="Anna Müller") for at in range(1, 61)]
    take(provider, *rows)
    with transaction() as tx:  # one batch, and then somebody pulled the plug
        ids = new_lines(tx)
        book = load_book(tx, "EUR", ids)
        assert len(settle_lines(tx, provider.vault, business_of(provider, tx), book, ids[:5], clock.now())) == 5
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: settle_all(provider.vault, clock.now()), range(2)))
    assert all(each.total() <= 55 for each in both)
    assert {line.state for line in lines()} == {"matched"}
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(payment)) == 60
        assert tx.scalar(select(func.sum(payment.c.amount_minor))) == 100 * sum(range(1, 61))


def test_a_line_is_never_two_payments(provider: Provider, anna: int):
    take(provider, row("INV-000001", name="Anna Müller"))
    settle(provider)
    for values in ({"state": "queued"}, {"payment_ids": []}):
        with pytest.raises(IntegrityError), transaction() as tx:
            tx.execute(update(bank_line).values(**values))
