"""Bank files as values: what banks write is read, and everything that cannot be is named by its line."""

from datetime import date

import pytest

from base.money import Money
from billing.bank.camt import read_camt
from billing.bank.intake import recognise
from billing.bank.mt940 import read_mt940
from billing.bank.statement import fingerprints, is_account, problems
from billing.bank.table import TableMapping, check_mapping, from_json, read_table, to_json
from billing.importers.reader import Unreadable
from billing.refused import Refused

OURS = "DE89370400440532013000"
TODAY = date(2026, 6, 15)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def camt(entries: str, opening: str = "100.00", closing: str = "100.00", version: str = "08", head: str = "") -> bytes:
    def balance(code, amount):
        return (
            f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{amount}</Amt>'
            "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-06-01</Dt></Dt></Bal>"
        )

    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>\n<Stmt><Acct><Id>'
        f"<IBAN>{OURS}</IBAN></Id><Ccy>EUR</Ccy></Acct>{balance('OPBD', opening)}{balance('CLBD', closing)}\n"
        f"{entries}\n</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def entry(
    amount: str = "29.99", side: str = "CRDT", day: str = "<BookgDt><Dt>2026-06-01</Dt></BookgDt>", **more
) -> str:
    status = more.get("status", "<Sts><Cd>BOOK</Cd></Sts>")
    details = more.get("details", "<RmtInf><Ustrd>INV-0000</Ustrd><Ustrd>42 Anna</Ustrd></RmtInf>")
    transactions = more.get("transactions", f"<TxDtls>{details}</TxDtls>")
    return (
        f'<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{status}{day}'
        f"<AcctSvcrRef>B1</AcctSvcrRef><NtryDtls>{transactions}</NtryDtls></Ntry>"
    )


def sentences(unreadable) -> str:
    return "\n".join(f"{fault.line}: {fault.sentence}" for fault in unreadable.value.faults)


@pytest.mark.parametrize("version", ["02", "04", "08", "13"])
def test_camt_of_all_versions(version):
    party = "<Nm>Anna</Nm>" if version < "08" else "<Pty><Nm>Anna</Nm></Pty>"
    status = "<Sts>BOOK</Sts>" if version < "08" else "<Sts><Cd>BOOK</Cd></Sts>"
    details = (
        f"<Refs><EndToEndId>E1</EndToEndId></Refs><RltdPties><Dbtr>{party}</Dbtr><DbtrAcct><Id>"
        f"<IBAN>{OURS}</IBAN></Id></DbtrAcct></RltdPties><RmtInf><Ustrd>INV-0000</Ustrd><Ustrd>42</Ustrd></RmtInf>"
    )
    (statement,) = read_camt(camt(entry(status=status, details=details), closing="129.99", version=version))
    (line,) = statement.lines
    assert (line.day, line.amount, line.name, line.iban) == (date(2026, 6, 1), eur(2999), "Anna", OURS)
    assert (line.text, line.end_to_end, line.bank_reference) == ("INV-000042", "E1", "B1")
    assert list(problems(statement, OURS, "EUR", TODAY)) == []


def test_a_batch_becomes_lines_of_their_own():
    def one(amount, text):
        return f'<TxDtls><Amt Ccy="EUR">{amount}</Amt><RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls>'

    both = one("10.00", "INV-000001") + one("19.99", "INV-000002")
    (statement,) = read_camt(camt(entry(transactions=both)))
    assert [(line.amount.minor, line.text) for line in statement.lines] == [(1000, "INV-000001"), (1999, "INV-000002")]
    with pytest.raises(Unreadable) as wrong:
        read_camt(camt(entry(transactions=both.replace("19.99", "19.98"))))
    assert "do not sum to its amount" in sentences(wrong)


def test_what_is_not_booked_is_no_line_and_what_came_back_is_marked():
    pending, info = entry(status="<Sts><Cd>PDNG</Cd></Sts>"), entry(status="<Sts>INFO</Sts>")
    returned = entry(details="<RtrInf/>")
    reversal = entry(status="<RvslInd>true</RvslInd><Sts>BOOK</Sts>")
    (statement,) = read_camt(camt(pending + info + returned + reversal))
    assert [line.returned for line in statement.lines] == [True, True]


def test_a_wrong_total_is_named_with_its_difference():
    (statement,) = read_camt(camt(entry(), closing="120.00"))
    (fault,) = problems(statement, OURS, "EUR", TODAY)
    assert "wrong by -9.99 EUR" in fault.sentence
    assert "come to 129.99, but the file says 120.00" in fault.sentence


def test_every_fault_of_a_camt_file_is_named_by_line():
    entries = "\n".join((entry(day=""), entry("1,00"), entry(side=""), entry("1.001")))
    with pytest.raises(Unreadable) as wrong:
        read_camt(camt(entries))
    assert [fault.line for fault in wrong.value.faults] == [4, 5, 6, 7]
    assert "no day of booking" in sentences(wrong)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (camt(entry())[:-40], "cut off"),
        (camt(entry()).replace(b"camt.053", b"camt.052"), "camt.052"),
        (camt(entry(), version="14"), "to .13"),
        (camt("&a;", head='<!DOCTYPE a [<!ENTITY a "x">]>'), "DOCTYPE"),
        (camt("", head='<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "DOCTYPE"),
        (b"<html/>", "This is html"),
        (b"<", "cut off"),
    ],
)
def test_what_is_no_statement_is_refused(data, said):
    with pytest.raises(Unreadable) as wrong:
        read_camt(data)
    assert said in sentences(wrong)


def test_another_account_currency_or_day_is_refused():
    (statement,) = read_camt(camt(entry(day="<BookgDt><Dt>2027-01-01</Dt></BookgDt>"), closing="129.99"))
    found = " ".join(fault.sentence for fault in problems(statement, "NL91ABNA0417164300", "CHF", TODAY))
    assert "ours is NL91ABNA0417164300" in found
    assert "we do business in CHF" in found
    assert "cannot be the day" in found


MT940 = """:20:STARTUMSE
:25:37040044/532013000
:28C:00001/001
:60F:C260531EUR100,00
:61:2606010601CR29,99NTRFNONREF//BANK1
:86:166?00GUTSCHRIFT?20EREF+NOTPROVIDED?21SVWZ+Rechnung INV-0000?2242 vom
 01.06.?31DE89370400440532013000?32Anna Huber
:61:260601D5,00NMSC//REF2
:86:Some free text that goes on and is wrapped at sixty-five charact
ers
:61:2606010601RC7,50NTRFX
:86:/TRTP/SEPA/IBAN/NL91ABNA0417164300/NAME/J DOE/REMI/INV-000043/EREF/E2
:62F:C260601EUR117,49
-
"""


def test_mt940_with_structured_free_and_coded_details():
    (statement,) = read_mt940(MT940.encode())
    one, two, three = statement.lines
    assert (one.amount, one.text, one.name) == (eur(2999), "Rechnung INV-000042 vom 01.06.", "Anna Huber")
    assert (one.iban, one.bank_reference, one.at) == (OURS, "BANK1", 5)
    assert (two.amount, two.text) == (eur(-500), "Some free text that goes on and is wrapped at sixty-five characters")
    assert (three.iban, three.name, three.text) == ("NL91ABNA0417164300", "J DOE", "INV-000043")
    assert (three.amount, three.returned, three.end_to_end) == (eur(-750), True, "E2")
    assert list(problems(statement, OURS, "EUR", TODAY)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":62F:C260601EUR117,49\n", "", "no closing balance"),
        (":60F:C260531EUR100,00\n", "", "no opening balance"),
        (":61:260601D5,00NMSC//REF2", ":61:D5,00NMSC//REF2", "8: This cannot be read"),
        (":61:2606010601CR", ":61:2613310601CR", "1: This cannot be read"),
        ("NTRFNONREF//BANK1", "", "can be read"),
        (":20:STARTUMSE\n", "", "cut"),
    ],
)
def test_a_broken_mt940_is_refused(old, new, said):
    with pytest.raises(Unreadable) as wrong:
        read_mt940(MT940.replace(old, new).encode())
    assert said in sentences(wrong)


def test_a_wrong_total_in_mt940():
    (statement,) = read_mt940(MT940.replace("117,49", "117,48").encode())
    (fault,) = problems(statement, OURS, "EUR", TODAY)
    assert "wrong by -0.01 EUR" in fault.sentence


CSV = """Konto;DE89370400440532013000

Tag;Wer;Zweck;Betrag;Saldo
02.06.2026;Anna;INV-000002;"1.010,00";"1.115,00"
01.06.2026;Bert;"INV-000001
zweite";-5,00;105,00
01.06.2026;Bert;INV-000001;10,00;110,00
"""
MAPPING = TableMapping(
    day="tag", amount="Betrag", text=("Zweck",), name="Wer", balance="Saldo", date_format="DD.MM.YYYY"
)


def test_a_csv_by_its_mapping_newest_first_with_lines_above():
    statement = read_table(CSV.encode(), MAPPING, "EUR")
    assert [(line.at, line.amount.minor, line.text) for line in statement.lines] == [
        (4, 101_000, "INV-000002"), (5, -500, "INV-000001 zweite"), (7, 1000, "INV-000001"),
    ]  # fmt: skip
    assert (statement.opening, statement.closing) == (eur(10_000), eur(111_500))
    assert list(problems(statement, OURS, "EUR", TODAY)) == []
    assert from_json(to_json(MAPPING)) == MAPPING


def test_a_csv_whose_balance_breaks_names_the_line_and_the_difference():
    with pytest.raises(Unreadable) as wrong:
        read_table(CSV.replace("105,00", "104,00").encode(), MAPPING, "EUR")
    assert "The balance is wrong by" in sentences(wrong)


def test_every_fault_of_a_csv_is_named_by_line():
    broken = CSV.replace("02.06.2026", "31.06.2026").replace("-5,00", "-5.00").replace("Bert;INV-000001;10", "Bert;10")
    with pytest.raises(Unreadable) as wrong:
        read_table(broken.encode(), MAPPING, "EUR")
    assert [fault.line for fault in wrong.value.faults] == [4, 5, 7]
    with pytest.raises(Unreadable) as wrong:
        read_table(b"a;b\n1;2\n", MAPPING, "EUR")
    assert "names all columns" in sentences(wrong)


def test_amounts_in_two_columns_or_with_a_column_of_signs():
    two = TableMapping(day="d", credit="in", debit="out", text=("t",), date_format="YYYY-MM-DD")
    lines = read_table(b"d,in,out,t\n2026-06-01,5.00,,x\n2026-06-01,,2.00,y\n", two, "EUR").lines
    assert [line.amount.minor for line in lines] == [500, -200]
    with pytest.raises(Unreadable):
        read_table(b"d,in,out,t\n2026-06-01,5.00,2.00,x\n", two, "EUR")
    signed = TableMapping(day="d", amount="a", sign="s", debit_words=("S",), text=("t",), date_format="YYYY-MM-DD")
    lines = read_table(b"d,a,s,t\n2026-06-01,5.00,H,x\n2026-06-01,2.00,s,y\n", signed, "EUR").lines
    assert [line.amount.minor for line in lines] == [500, -200]


@pytest.mark.parametrize(
    "values", [{"amount": ""}, {"text": ()}, {"date_format": "odd"}, {"name": "Betrag"}, {"sign": "S/H"}, {"day": ""}]
)
def test_a_mapping_that_cannot_work_is_refused(values):
    kept = {"day": "Tag", "amount": "Betrag", "text": ("Zweck",), "date_format": "DD.MM.YYYY"}
    with pytest.raises(Refused):
        check_mapping(TableMapping(**{**kept, **values}))


def test_formats_are_recognised_by_what_is_in_them():
    assert recognise(b"\xef\xbb\xbf\n<?xml") == "camt.053"
    assert recognise(b"{1:F01}{4:\r\n:20:X\r\n:25:Y") == "mt940"
    assert recognise(b"Tag;Betrag\n") == "csv"


@pytest.mark.parametrize(
    ("said", "same"),
    [
        (OURS, True), ("de89 3704 0044 0532 0130 00", True), (OURS + "EUR", True), ("37040044/532013000", True),
        ("37040044/0532013000EUR", True), ("37040044/532013001", False), ("NL91ABNA0417164300", False), ("/", False),
    ],
)  # fmt: skip
def test_an_account_is_ours_in_any_writing(said, same):
    assert is_account(said, OURS) == same


def test_twins_in_a_file_are_two_lines():
    (statement,) = read_camt(camt(entry() + entry()))
    assert len(set(fingerprints(OURS, statement.lines))) == 2
