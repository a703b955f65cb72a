"""Bank statements from the console: a mapping, a file, the queue, and what a person decides."""

from datetime import timedelta

from sqlalchemy import func, select

from base import clock
from billing.invoices import issue_due
from billing.tables import payment
from tests.billing.test_bank_formats import camt, entry
from tests.console.test_billing import rows, typed

OURS = "DE89370400440532013000"


def test_from_a_mapping_to_an_empty_queue(provider, tmp_path):
    provider.set(bank_iban=OURS)
    today = clock.now().date()
    provider.service(provider.subscriber("Anna Müller"), provider.plan(), today)
    provider.subscriber("Bert Schulz")
    issue_due(clock.now())
    file = tmp_path / "giro.csv"
    file.write_text(
        "My bank\n\nTag;Wer;Zweck;Betrag;Saldo\n"
        f"{today:%d.%m.%Y};MUELLER ANNA;Rechnung INV-0000 01;35,99;1035,99\n"
        f"{today:%d.%m.%Y};Bert Schulz;Danke;20,00;1055,99\n"
        f"{today:%d.%m.%Y};Onkel;Für alle;30,00;1085,99\n"
        f"{today:%d.%m.%Y};Zins;;0,50;1086,49\n"
        f"{today:%d.%m.%Y};Strom;Abschlag;-86,49;1000,00\n"
    )
    assert "needs a mapping" in typed("bank", "import", str(file), fails=True)
    assert "no mapping yet" in typed("bank", "mapping", "list")
    save = ("bank", "mapping", "save", "giro", str(file), "--day", "Tag", "--amount", "Betrag", "--text", "Zweck")
    more = ("--name", "Wer", "--balance", "Saldo")
    odd = typed(*save, *more, "--dates", "YYYY-MM-DD", fails=True)
    assert "line 4, Tag:" in odd
    assert "5 faults in giro.csv; the mapping is not kept." in odd
    assert "names all columns" in typed(*save, *more, "--iban", "IBAN", fails=True)
    assert "5 lines can be read; the mapping is kept as giro." in typed(*save, *more)
    assert "giro\tday=Tag, amount=Betrag" in typed("bank", "mapping", "list")

    imported = typed("bank", "import", str(file))
    assert "csv: 5 lines" in imported
    assert "the sum is right" in imported
    assert "came in\t€86.49" in imported
    for count in ("new\t5", "outgoing\t1", "matched\t1", "queued\t3", "3 lines of €50.50 are in the queue"):
        assert count in imported
    assert "This very file was taken before" in typed("bank", "import", str(file))
    assert "matched\t1" not in typed("bank", "import", str(file))

    shown = typed("bank", "show", "1")
    assert "INV-000001 is named" in shown
    assert "confidence\t99 %" in shown
    assert "receipts\tR-000001" in shown
    assert "file\tgiro.csv, line 4" in shown
    queue = typed("bank", "queue")
    assert "2\t" in queue
    assert "perhaps 00002 Bert Schulz" in queue
    assert "00002 Bert Schulz: No number is named; nothing is open; the name is theirs." in typed("bank", "show", "2")
    assert "R-000002: €20.00 from 00002 Bert Schulz." in typed("bank", "accept", "2")
    assert "say NUMBER=AMOUNT for each" in typed("bank", "assign", "3", "00001", "00002", fails=True)
    assert "no subscriber" in typed("bank", "assign", "3", "nobody", fails=True)
    divided = typed("bank", "assign", "3", "INV-000001=10.00", "00002=20.00")
    assert "R-000003: €10.00 from 00001 Anna Müller." in divided
    assert "R-000004: €20.00 from 00002 Bert Schulz." in divided
    assert "Line 4 is ignored: interest" in typed("bank", "ignore", "4", "--because", "interest")
    assert "No line is queued." in typed("bank", "queue")
    assert "Strom" in typed("bank", "queue", "--state", "outgoing")
    assert "is reversed, not undone here" in typed("bank", "ignore", "3", "--because", "x", fails=True)
    assert "R-000005" in typed("bank", "assign", "4", "00002")
    assert "0 lines looked at again." in typed("bank", "match")
    assert rows(provider, select(func.sum(payment.c.amount_minor)))[0][0] == 8649

    assert "R-000004 is reversed." in typed("reverse", "R-000004", "--because", "not Bert's")
    assert "3\t" in typed("bank", "queue")
    shown = typed("bank", "show", "3")
    assert "amount\t€30.00\nof it waits\t€20.00" in shown
    assert "because\tR-000004 was reversed: not Bert's" in shown
    assert "0 lines looked at again." in typed("bank", "match")
    assert "R-000006: €20.00 from 00001 Anna Müller." in typed("bank", "assign", "3", "00001")
    assert "of it waits" not in typed("bank", "show", "3")


def test_a_file_with_a_wrong_total_is_refused_in_a_sentence(provider, tmp_path):
    provider.set(bank_iban=OURS)
    day = clock.now().date() - timedelta(days=1)
    file = tmp_path / "bank.xml"
    data = camt(entry(day=f"<BookgDt><Dt>{day}</Dt></BookgDt>"), closing="130.00")
    file.write_bytes(data)
    refused = typed("bank", "import", str(file), fails=True)
    assert "The sum is wrong by 0.01 EUR: 100.00 and lines of 29.99 come to 129.99" in refused
    assert "1 fault in bank.xml; nothing is imported." in refused
    assert rows(provider, select(func.count()).select_from(payment))[0][0] == 0
    file.write_bytes(data.replace(b"130.00", b"129.99"))
    assert "camt.053: 1 line" in typed("bank", "import", str(file))
