"""Matching rules one by one, and the law behind them: never by itself where two are as good as each other."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.money import Money
from billing.bank.book import Book, Owed, Paid, Payer
from billing.bank.match import Match, Unsure, match
from billing.bank.names import FAMILY, FULL, NOT, agreement, one_edit, words
from billing.bank.references import BARE, EXACT, NEAR, SHORT, Named, Numbers, mentions, split_number
from billing.bank.statement import Line

ANNA, BERT, CARL = 1, 2, 3
A_IBAN, B_IBAN = "DE89370400440532013000", "NL91ABNA0417164300"
PEOPLE = {ANNA: ("Anna Müller", 2999), BERT: ("Bert Schulz", 2999), CARL: ("Carl Schulz", 4990)}


def owed(number: int, minor: int, month: int = 5) -> Owed:
    return Owed(number, f"INV-{number:06d}", date(2026, month, 15), Money(minor, "EUR"))


@pytest.fixture
def book() -> Book:
    """Anna owes INV-000101 and -000201, Bert -000102, Carl -000777; Bert has paid from his account before."""
    book = Book("EUR")
    invoices = {ANNA: (owed(101, 2999, 4), owed(201, 2999)), BERT: (owed(102, 2999),), CARL: (owed(777, 4990),)}
    for each, (name, _) in PEOPLE.items():
        book.put(Payer(each, f"{each + 40:05d}", name, invoices[each]))
    book.put_paid([Paid(55, "INV-000055", CARL, Money(2500, "EUR"))])
    book.learn(B_IBAN, BERT)
    return book


def line(text: str, minor: int = 2999, name: str = "", iban: str = "", **more) -> Line:
    return Line(1, date(2026, 6, 1), Money(minor, "EUR"), name, iban, text, **more)


def whose(found: Match | Unsure) -> list[int]:
    return [part.subscriber_id for part in found.parts] if isinstance(found, Match) else []


@pytest.mark.parametrize(
    ("sent", "payers", "invoices"),
    [
        (line("INV-000777", 4990), [CARL], (777,)),  # nobody else can be meant
        (line("inv 777 danke", 4990, "C. Schulz"), [CARL], (777,)),
        (line("Rechnung INV-0007 77 vom 01.05.2026", 4990), [CARL], (777,)),
        (line("000101", name="MUELLER, ANNA"), [ANNA], (101,)),
        (line("INV-000101 und INV-000201", 5998, "Anna Mueller"), [ANNA], (101, 201)),
        (line("INV-000101, 201", 5998, "Anna Mueller"), [ANNA], (101, 201)),
        (line("INV-000102, INV-000777", 7989, "Bert Schulz"), [BERT, CARL], (102,)),
        (line("Kundennr. 00041", 5998, "Anna Müller"), [ANNA], (101, 201)),
        (line("INV-000102", 2000, "Bert Schulz"), [BERT], (102,)),  # too little
        (line("INV-000102", 5000, iban=B_IBAN), [BERT], (102,)),  # too much
        (line("INV-000055", 2500, "CARL SCHULZ"), [CARL], ()),  # paid twice
        (line("Internet", iban=B_IBAN), [BERT], (102,)),  # known account, all that is owed
        (line("INV-000778", 4990, "Carl Schulz"), [CARL], (777,)),  # a slip, the name and the amount
        (line("INV-000101 Anna Müller", name="Firma Eins GmbH"), [ANNA], (101,)),
        (line("INV-000777", 4990, "Bert Schulz", B_IBAN), [CARL], (777,)),  # the reference wins, as the amount fits
    ],
)
def test_safe_matches(book, sent, payers, invoices):
    found = match(sent, book)
    assert whose(found) == payers, found
    assert found.parts[0].invoice_ids == invoices
    assert sum(part.amount.minor for part in found.parts) == sent.amount.minor
    assert 0.8 < found.confidence <= 1


@pytest.mark.parametrize(
    ("sent", "first"),
    [
        (line("Internet Mai", 4990), CARL),  # an amount alone
        (line("Internet Mai", 4990, "Carl Schulz"), CARL),  # a name and an amount
        (line("INV-000101", name="Firma Eins GmbH"), ANNA),  # one slip away Bert owes the same
        (line("INV-000101", name="Bert Schulz", iban=B_IBAN), None),  # Bert's slip, or Anna's landlord
        (line("INV-000777", 2999, iban=B_IBAN), None),  # names Carl, the account and the amount say Bert
        (line("INV-000778", 4990), CARL),  # a slip and nothing else
        (line("INV-000101 INV-000777", 2999), None),
        (line("Kd 00042, INV-000101"), None),  # Bert's account number, Anna's invoice
        (line("INV-000777", 4990, "Carl Schulz", returned=True), CARL),
        (line("INV-000102", 2000, "Immobilien GmbH"), BERT),  # too little, from somebody unknown
        (line("Internet", 3500, iban=B_IBAN), BERT),
        (line("INV-000777 102", 4990, "Bert Schulz", B_IBAN), None),
    ],
)
def test_what_is_unsure_waits_with_its_candidates(book, sent, first):
    found = match(sent, book)
    assert isinstance(found, Unsure), found
    assert found.why
    if first is not None:
        assert found.candidates[0].subscriber_id == first
    assert [each.confidence for each in found.candidates] == sorted(
        (each.confidence for each in found.candidates), reverse=True
    )


@given(
    numbers=st.tuples(st.integers(1, 999_999), st.integers(1, 999_999)).filter(lambda pair: pair[0] != pair[1]),
    form=st.sampled_from(
        ["INV-{0:06d} INV-{1:06d}", "{0:06d}, {1:06d}", "Rechnung {0} {1}", "Internet", "{0} und {1}"]
    ),
    names=st.sampled_from([("Anna Müller", "Anna Müller"), ("Anna Müller", "Bert Schulz")]),
    sender=st.sampled_from(["", "Anna Müller", "Firma GmbH"]),
    known=st.booleans(),
    minor=st.integers(1, 10_000),
)
def test_two_who_are_as_good_as_each_other_are_never_matched(numbers, form, names, sender, known, minor):
    if names[0] != names[1] and sender == "Anna Müller":
        sender = "Anna Müller u. Bert Schulz"
    book = Book("EUR")
    for at, (number, name) in enumerate(zip(numbers, names, strict=True), start=1):
        book.put(Payer(at, f"K{at}", name, (owed(number, minor),)))
        if known:
            book.learn(A_IBAN, at)
    for text in (form.format(*numbers), form.format(*reversed(numbers))):
        assert isinstance(match(line(text, minor, sender, A_IBAN), book), Unsure)


@given(
    number=st.integers(100_000, 999_999),
    slips=st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9)).filter(lambda each: each[1] != each[2]),
    sender=st.sampled_from(["", "Firma GmbH", "Anna Müller"]),
    amounts=st.tuples(st.integers(1, 10_000), st.booleans()),
)
def test_a_slip_that_is_as_near_to_two_is_never_matched(number, slips, sender, amounts):
    """Whatever was typed, two who bear a number one digit away, the same name and the same debt stay equal."""
    at, one, two = slips
    digits = str(number)
    both = {digits[:at] + str((int(digits[at]) + by) % 10) + digits[at + 1 :] for by in (one, two)}
    book = Book("EUR")
    for place, each in enumerate(sorted(both), start=1):
        book.put(Payer(place, f"K{place}", "Anna Müller", (owed(int(each), amounts[0]),)))
    sent = line(f"INV-{digits}", amounts[0] + (100 if amounts[1] else 0), sender)
    assert isinstance(match(sent, book), Unsure)


@given(text=st.text(alphabet="abcdefgh .,-/", max_size=60), at=st.integers(1, 3))
def test_never_on_an_amount_alone(text, at):
    book = Book("EUR")
    for each, (name, minor) in PEOPLE.items():
        book.put(Payer(each, f"{each + 40:05d}", name, (owed(each + 100, minor),)))
    assert isinstance(match(line(text, PEOPLE[at][1]), book), Unsure)


@given(text=st.text(max_size=200), name=st.text(max_size=40), minor=st.integers(1, 10**9))
def test_any_text_can_be_looked_at(text, name, minor):
    book = Book("EUR")
    book.put(Payer(ANNA, "00041", "Anna Müller", (owed(101, 2999),)))
    found = match(line(text, minor, name), book)
    assert isinstance(found, Unsure) or whose(found) == [ANNA]


@pytest.mark.parametrize(
    ("text", "quality"),
    [
        ("INV-000042", EXACT), ("inv000042", EXACT), ("I NV-000042", EXACT), ("INV 42", EXACT), ("INV-0000 42", EXACT),
        ("RECHNUNGINV-000042", EXACT), ("000042", BARE), ("Rechnung 42", BARE), ("Rechnung 000042", EXACT),
        ("42", SHORT), ("INV-000024", NEAR), ("INV-00042", NEAR), ("INV-0000442", NEAR), ("INV-000O42", SHORT),
        ("vom 27.04.42", None), ("Kunde 42", None), ("42,00 EUR", None), ("", None), ("INV-", None),
    ],
)  # fmt: skip
def test_how_clearly_an_invoice_is_named(text, quality):
    numbers = Numbers()
    numbers.add(Named("INV-000042", 1, 42))
    assert [each.quality for each in mentions(text, numbers)] == ([] if quality is None else [quality])


def test_an_account_that_has_paid_for_two_proves_neither(book):
    sent = line("Internet", 5998, iban=B_IBAN)
    assert isinstance(match(sent, book), Unsure)  # what Anna owes, from Bert's account
    book.learn(B_IBAN, ANNA)
    assert isinstance(match(sent, book), Unsure)
    assert isinstance(match(line("Internet", iban=B_IBAN), book), Unsure)
    assert whose(match(line("INV-000101", iban=B_IBAN, name="Firma GmbH Anna Müller"), book)) == [ANNA]


def test_numbers_with_years_and_letters():
    numbers = Numbers()
    for number in ("2026-000042", "RE2025/17", "K-10023"):
        numbers.add(Named(number, 1, 1))
    for text in ("2026-000042", "2026 000042", "2026000042", "re 2025 17", "K10023"):
        assert max(each.quality for each in mentions(text, numbers)) == EXACT, text
    assert split_number("INV-000042") == ("INV", "000042")
    assert split_number("ABC") == ("ABC", "")


@pytest.mark.parametrize(
    ("name", "said", "how"),
    [
        ("Hans Müller", "MUELLER, HANS", FULL), ("Hans Müller", "hans muller", FULL),
        ("Hans Müller", "Hans Maier", NOT),
        ("Hans Müller", "Hans MÃ¼ller", FULL), ("Hans Müller", "Hans M?ller", FULL), ("Anna", "Anna", FAMILY),
        ("Hans Müller", "Hans Muler", FULL), ("Hans Müller", "H. Müller", FAMILY), ("", "Anna", NOT),
        ("Bäckerei Huber GmbH", "Baeckerei Huber", FULL), ("Dr. Anna Groß", "Anna Gross", FULL),
        ("Anna Maria Schmidt", "Anna Schmidt", FULL),
    ],
)  # fmt: skip
def test_names_as_banks_mangle_them(name, said, how):
    assert agreement(name, words(said)) == how


@given(st.text("ABC", min_size=1, max_size=6), st.text("ABC", min_size=1, max_size=6))
def test_one_edit_is_symmetric(one, other):
    assert one_edit(one, other) == one_edit(other, one)
