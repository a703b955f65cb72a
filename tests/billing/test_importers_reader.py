"""Reading CSV: whatever wrote it, its rows come back; what is broken is named by its line, and hides nothing."""

import csv
from datetime import date
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Cycle
from base.money import Money
from billing.anchors import anchor_after, anchor_for, is_boundary
from billing.importers.cells import Cells, parse_amount
from billing.importers.examples import EXAMPLES
from billing.importers.reader import Column, Reading, Unreadable, decode, open_sheet, plain, read_rows
from billing.importers.rows import check_balance, check_payment, check_service, check_subscriber

KNOWN = (Column("number"), Column("name", required=True), Column("note"))
TODAY = date(2026, 11, 24)


def read(data, known=KNOWN, **said):
    """(rows as (line, cells), faults as (line, column, sentence))."""
    faults = []
    try:
        sheet = open_sheet(data if isinstance(data, bytes) else data.encode(), Reading(**said), known)
        rows = [(raw.line, dict(raw.cells)) for raw in read_rows(sheet, faults.append)]
    except Unreadable as unreadable:
        return [], [(fault.line, fault.column, fault.sentence) for fault in unreadable.faults]
    return rows, [(fault.line, fault.column, fault.sentence) for fault in faults]


TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"), whitelist_characters="\n"), max_size=12)


@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_any_program_writes_is_read_as_it_was(rows, delimiter, end, encoding):
    file = StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("number", "name", "note"), *rows])
    found, faults = read(file.getvalue().encode(encoding))
    expected = [
        {"number": plain(a), "name": plain(b), "note": plain(c)}
        for a, b, c in rows
        if a.strip() or b.strip() or c.strip()
    ]
    assert faults == []
    assert [cells for _, cells in found] == expected


@given(data=st.binary(max_size=300), header=st.booleans())
def test_any_bytes_give_rows_or_sentences_and_never_an_error(data, header):
    found, faults = read((b"number,name,note\n" if header else b"") + data)
    assert all(sentence.endswith((".", "?")) for _, _, sentence in faults)
    assert all(set(cells) <= {"number", "name", "note"} for _, cells in found)


@given(
    good=st.lists(st.booleans(), min_size=1, max_size=30),
    broken=st.sampled_from(['{},"Anna,x', '{},"An"na,x', "{},Anna", "{},Anna,x,y", '{},"Anna"x"",y']),
)
def test_a_broken_row_is_named_and_hides_no_other(good, broken):
    lines = [f"{index},Anna,x" if fine else broken.format(index) for index, fine in enumerate(good, start=2)]
    found, faults = read("\n".join(["number,name,note", *lines]))
    assert [line for line, _ in found] == [line for line, fine in enumerate(good, start=2) if fine]
    assert [line for line, _, _ in faults] == [line for line, fine in enumerate(good, start=2) if not fine]


def test_a_quote_that_never_ends_is_one_sentence():
    assert read('number,name,note\n1,"Anna,x\n2,Bert,y\n') == (
        [(3, {"number": "2", "name": "Bert", "note": "y"})],
        [(2, "", "A quote that begins in this row never ends.")],
    )


def test_lines_are_those_of_the_file_though_cells_have_several():
    found, faults = read('number,name,note\r\n1,Anna,"a\r\nb"\r\n\r\n ; ,,\r\n2,Bert\r\n')
    assert (found[0][0], found[1][0]) == (2, 5)
    assert faults == [(6, "", "The row has 2 cells, the header has 3.")]


def test_utf8_and_latin1_are_told_apart():
    assert decode("Müller".encode()) == ("Müller", "utf-8")
    assert decode(b"\xef\xbb\xbfM\xc3\xbcller") == ("Müller", "utf-8")
    assert decode("Müller €".encode("cp1252")) == ("Müller €", "latin-1")
    _, faults = read("number,name,note\n1,Müller,\n".encode() + "2,Jörg,\n".encode("latin-1"))
    assert faults == [(3, "", "Some bytes of the line are not UTF-8.")]
    _, faults = read(b"number,name\n1,M\xfcller\n", encoding="utf-8")
    assert faults == [(2, "", "Some bytes of the line are not UTF-8.")]
    assert "There is no encoding 'klingon'" in read(b"name\nx\n", encoding="klingon")[1][0][2]
    assert "There is no encoding 'base64'" in read(b"name\nx\n", encoding="base64")[1][0][2]
    assert "zero bytes" in read(b"PK\x03\x04\x00\x00name")[1][0][2]


def test_columns_are_named_mapped_and_missed():
    assert read("Number;NAME\n1;Anna\n")[0] == [(2, {"number": "1", "name": "Anna"})]
    assert read("sep=;\nnumber;name\n1;Anna\n")[0] == [(3, {"number": "1", "name": "Anna"})]
    mapped = {"Kundennummer": "number", "Bemerkung": ""}
    found, faults = read("Kundennummer,name,Bemerkung\n1,Anna,x\n", names=mapped)
    assert (found, faults) == ([(2, {"number": "1", "name": "Anna"})], [])
    _, faults = read("number,colour,number\n", names={"shoe": "size"})
    assert [sentence for _, _, sentence in faults] == [
        "We have no column 'size'; we know number, name, note.",
        "The file has no column 'shoe'; it has number, colour, number.",
        "The column number comes twice.",
        "Unknown columns: colour. We know number, name, note; `--map THEIRS=OURS` says which is which, "
        "`--map THEIRS=` leaves one out.",
        "Missing columns: name.",
    ]
    assert read("")[1] == [(1, "", "The file is empty: its first line names the columns.")]
    assert "one character" in read("name\nx\n", delimiter=";;")[1][0][2]


@pytest.mark.parametrize(
    ("cell", "meant"),
    [("'+49 30", "+49 30"), ("'=1+1", "=1+1"), ("'t Hooft", "'t Hooft"), ('="00123"', "00123"), ("'00123", "00123")],
)
def test_what_guards_a_cell_in_a_spreadsheet_is_taken_off(cell, meant):
    assert plain(f" {cell} ") == meant


@given(minor=st.integers(-(10**12), 10**12), decimal=st.sampled_from(".,"), grouped=st.booleans())
def test_amounts_come_back_from_either_sign(minor, decimal, grouped):
    whole, cents = divmod(abs(minor), 100)
    text = f"{whole:,}" if grouped else str(whole)
    text = f"{'-' if minor < 0 else ''}{text}.{cents:02d}"
    if decimal == ",":
        text = text.translate(str.maketrans(".,", ",."))
    assert parse_amount(text, decimal, "EUR") == Money(minor, "EUR")


@pytest.mark.parametrize(
    ("text", "decimal", "said"),
    [
        ("29,99", ".", "has a comma, but the decimal sign of this file is the point"),
        ("1.234", ",", "has a point, but the decimal sign of this file is the comma"),
        ("1,23,456.00", ".", "is not an amount such as 29.99"),
        ("29.999", ".", "is not an amount of EUR"),
        ("29.99 €", ".", "is not an amount such as 29.99"),
        ("1e3", ".", "is not an amount"),
        ("NaN", ".", "is not an amount"),
        ("٣", ".", "is not an amount"),
    ],
)
def test_amounts_that_are_not_clear_are_refused(text, decimal, said):
    with pytest.raises(ValueError, match=said):
        parse_amount(text, decimal, "EUR")


def faults_of(check, cells, *more, decimal="."):
    examined = Cells(7, cells, decimal)
    row = check(examined, *more)
    assert (row is None) == bool(examined.faults)
    return {fault.column: fault.sentence for fault in examined.faults}


def test_every_wrong_cell_of_a_row_is_named():
    wrong = {
        "number": "1" * 41, "name": "", "email": "anna@", "phone": "1\x07", "language": "klingon", "country": "XX",
        "currency": "EURO", "billing_day": "32", "delivery": "pigeon", "tax_treatment": "exempt",
    }  # fmt: skip
    assert set(faults_of(check_subscriber, wrong, "EUR")) == {*wrong, "exemption_reason"} - {"tax_treatment"}
    wrong = {
        "login": "ü" * 127,
        "password": "",
        "plan": "",
        "starts_on": "17/03/2023",
        "address": "1.2.3",
        "price": "1",
    }
    found = faults_of(check_service, wrong, TODAY)
    assert set(found) == {"subscriber", "login", "password", "plan", "starts_on", "address", "price_reason"}
    assert found["starts_on"] == "'17/03/2023' is not a date such as 2026-03-31 or 31.03.2026."
    wrong = {"subscriber": "1", "amount": "5", "issued_on": "2026-11-25", "due_on": "01.01.2026"}
    assert set(faults_of(check_balance, wrong, "EUR", TODAY)) == {"issued_on", "due_on"}
    wrong = {"amount": "-5", "date": "2026-11-25", "method": "card"}
    assert set(faults_of(check_payment, wrong, "EUR", TODAY)) == {"subscriber", "amount", "date", "method"}


def test_an_old_service_says_from_when_on_it_is_billed():
    row = {"subscriber": "1", "login": "a", "password": "b", "plan": "c", "starts_on": "2023-03-17"}
    assert "first day that the old system has not billed" in faults_of(check_service, row, TODAY)["paid_until"]
    assert "paid_until" in faults_of(check_service, {**row, "paid_until": "2023-03-16"}, TODAY)
    assert faults_of(check_service, {**row, "paid_until": "2026-12-01"}, TODAY) == {}


DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31))


@given(start=DAYS, ahead=st.integers(0, 900), day=st.none() | st.integers(1, 31), months=st.sampled_from([1, 3, 6, 12]))
def test_periods_begin_where_the_old_system_stopped(start, ahead, day, months):
    cycle = Cycle("month", months)
    paid_until = date.fromordinal(start.toordinal() + ahead)
    anchor = anchor_after(start, paid_until, day, cycle)
    if day is None or paid_until.day == day:
        assert is_boundary(anchor, cycle, paid_until)
    if day is not None and months == 1:
        assert anchor.day == day
    assert anchor_after(start, None, day, cycle) == anchor_for(day, start)


def test_the_31st_stays_the_31st():
    assert anchor_after(date(2024, 5, 10), date(2026, 2, 28), 31, Cycle("month", 1)).day == 31
    assert anchor_after(date(2024, 1, 31), date(2026, 2, 28), None, Cycle("month", 1)) == date(2024, 1, 31)


def test_examples_are_right_in_themselves():
    from billing.importers.run import KINDS

    for kind, example in EXAMPLES.items():
        found, faults = read(example, KINDS[kind].COLUMNS)
        assert faults == []
        assert len(found) == 3
