"""The bill run and outages from the console: what a person types, and the sentences that come back."""

import csv
from datetime import date

import pytest
from sqlalchemy import select, update

from base.database import transaction
from base.money import Money
from base.offers import plan
from billing.changes import set_price
from billing.tables import credit_note, invoice
from tests.billing.provider import noon
from tests.console.test_billing import rows, typed

MARCH = date(2026, 3, 1)


def test_preview_run_and_report(provider, tmp_path):
    provider.travel(noon(MARCH))
    home = provider.plan(3000)
    for name in ("Anna", "Bert"):
        provider.service(provider.subscriber(name), home, MARCH)
    file = tmp_path / "bills.csv"
    said = typed("bill", "preview", "--csv", str(file))
    assert "2 invoices, 2 services: net €60.00, tax €12.00, total €72.00" in said
    assert "By what is sold\tHome 1\t2\tnet €60.00" in said
    assert "By tax\tVAT 20 %\t2\tnet €60.00\ttax €12.00" in said
    assert f"2 bills are in {file}." in said
    assert rows(provider, select(invoice)) == []
    with file.open() as lines:
        found = list(csv.DictReader(lines))
    assert [(row["account"], row["total"], row["odd"]) for row in found] == [
        ("00001", "36.00", ""),
        ("00002", "36.00", ""),
    ]
    assert "none had anything to do" in typed("bill", "report")
    assert "2 invoices issued." in typed("bill", "run")
    assert "Nothing is due to be billed." in typed("bill")
    said = typed("bill", "report")
    assert "2 invoices from 12:00:0" in said
    assert "issued\t2\tnet €60.00, tax €12.00, total €72.00" in said
    assert "under way\t2" in said
    assert "would issue:\nnothing" in typed("bill", "preview")
    assert "'soon' is not a date" in typed("bill", "preview", "--on", "soon", fails=True)


def test_bills_that_are_held_and_released(provider):
    provider.travel(noon(MARCH))
    line = provider.service(provider.subscriber(), provider.plan(3000), MARCH)
    typed("bill", "run")
    with transaction() as tx:
        set_price(tx, provider.vault, "staff:1", line, Money(30000, "EUR"), "typed wrong")
    typed("business", "set", "bill_run_hold", "anomalies")
    assert "No bill is held back." in typed("bill", "held")
    said = typed("bill", "preview", "--on", "2026-03-31")
    assert "1 bills would be held back: 00001" in said
    assert "severe\tjump\t00001\t€270.00\tHome 1 (line2) costs €300.00" in said
    provider.travel(noon(date(2026, 3, 31)))
    typed("bill", "run")
    assert "00001\tAnna\t€360.00\theld since 2026-03-31\tHome 1" in typed("bill", "held")
    assert "held back\t00001\tAnna\tHome 1" in typed("bill", "report")
    typed("bill", "release", "00001")
    assert "released by console" in typed("bill", "held")
    assert "1 invoices issued." in typed("bill", "run")
    assert "severe\tjump\t00001" in typed("bill", "report")
    assert "No bill of this subscriber is held back." in typed("bill", "release", "00001", fails=True)


def test_who_cannot_be_billed_is_named(provider):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(3000), MARCH)
    provider.service(provider.subscriber("Bert"), provider.plan(3000), MARCH)
    with provider.engine.begin() as tx:
        tx.execute(update(plan).where(plan.c.id == 2).values(currency="USD"))
    assert "cannot be billed\t00002\tEUR and USD cannot be mixed" in typed("bill", "preview")
    said = typed("bill", "run", fails=True)
    assert "1 invoices issued." in said
    assert "bill: 1 failed" in said
    assert "failed\t00002\tBert\tEUR and USD cannot be mixed" in typed("bill", "report")


def test_an_outage_is_previewed_and_committed(provider, tmp_path):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(3100), MARCH)
    typed("bill", "run")
    words = ("outage", "--days", "3", "--from", "2026-03-10", "--plan", "Home 1")
    said = typed(*words)
    assert "line2\tcredit €3.60\toff the next bill €0.00" in said
    assert "In all: credit €3.60 (tax included), off the next bills €0.00 (as priced)" in said
    assert "1 of 1 services; nothing is written without --commit." in said
    assert rows(provider, select(credit_note)) == []
    assert "1 services were given money back." in typed(*words, "--commit")
    assert "0 services were given money back; 1 had it already" in typed(*words, "--commit")
    assert [row.reason for row in rows(provider, select(credit_note))] == ["Outage from 2026-03-10 to 2026-03-12"]
    logins = tmp_path / "logins"
    logins.write_text("line2\nnobody\n")
    again = ("outage", "--days", "3", "--from", "2026-03-20")
    assert "Nobody has these logins: nobody." in typed(*again, "--logins", str(logins), fails=True)
    logins.write_text("line2\n\n")
    assert "1 services were given" in typed(*again, "--logins", str(logins), "--text", "Storm", "--commit")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "exactly one of --nas, --plan and --logins"),
        (("--nas", "a", "--plan", "b"), "exactly one of --nas, --plan and --logins"),
        (("--nas", "edge9"), "There is no NAS called 'edge9'."),
        (("--plan", "None"), "There is no plan called 'None'."),
    ],
)
def test_an_outage_that_cannot_be_is_a_sentence(provider, words, sentence):
    assert sentence in typed("outage", "--days", "3", "--from", "2026-03-10", *words, fails=True)
    assert "1 to 92 days" in typed("outage", "--days", "0", "--from", "2026-03-10", "--plan", "x", fails=True)
