"""Importing from the console: what a person types, every fault as a sentence, and what becomes of the file."""

import re
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select

from base.tables import subscriber
from billing.importers.examples import EXAMPLES
from tests.billing.provider import noon
from tests.console.test_billing import rows, typed

PAGE = Path(__file__).parents[2] / "docs" / "importing.md"


@pytest.fixture
def moving(provider):
    provider.travel(noon(date(2026, 11, 24)))
    return provider


def test_check_then_commit_then_again(moving, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("Kundennummer;name;Farbe\n7;Jörg;rot\n\n8;Anna;blau\n", encoding="latin-1")
    refused = typed("import", "subscribers", str(file), fails=True)
    assert "line 1, Kundennummer, Farbe: Unknown columns: Kundennummer, Farbe. We know number, name, email" in refused
    assert "1 fault in people.csv; nothing is imported." in refused
    words = ("import", "subscribers", str(file), "--map", "Kundennummer=number", "--map", "Farbe=")
    said = typed(*words)
    assert "Read as latin-1, cells divided by ;, decimal sign ,: 2 rows." in said
    assert "new\t2\n" in said
    assert "They are:\n  7 · Jörg\n  8 · Anna\n" in said
    assert said.endswith("Nothing is written without --commit.\n")
    assert rows(moving, select(subscriber)) == []
    assert typed(*words, "--commit").endswith("2 subscribers are imported.\n")
    again = typed(*words, "--commit")
    assert "here already\t2\n" in again
    assert again.endswith("There is nothing to import.\n")
    assert [row.number for row in rows(moving, select(subscriber).order_by(subscriber.c.id))] == ["7", "8"]


def test_faults_are_listed_by_line_and_column(moving, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text('number,name,country\n7,"Anna,DE\n8,Bert,Germany\n9,Carla,DE,x\n')
    said = typed("import", "subscribers", str(file), "--commit", fails=True)
    assert "line 2: A quote that begins in this row never ends.\n" in said
    assert "line 3, country: 'GERMANY' is not a country's code of two letters such as DE.\n" in said
    assert "line 4: The row has 4 cells, the header has 3.\n" in said
    assert "3 faults in people.csv; nothing is imported." in said
    assert rows(moving, select(subscriber)) == []


def test_options_that_make_no_sense_are_sentences(moving, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("number\tname\n7\tAnna\n")
    assert "new\t1\n" in typed("import", "subscribers", str(file), "--delimiter", "TAB")
    assert "is not THEIRS=OURS" in typed("import", "subscribers", str(file), "--map", "number", fails=True)
    assert "There is no encoding 'x'" in typed("import", "subscribers", str(file), "--encoding", "x", fails=True)
    assert "a point or a comma" in typed("import", "subscribers", str(file), "--decimal", "x", fails=True)
    assert "0 to 366" in typed("import", "balances", str(file), "--quiet-days", "-1", fails=True)
    assert "there are subscribers, services" in typed("import", "example", "cats", fails=True)


def test_each_example_is_taken_and_stands_in_the_page(moving, tmp_path):
    typed("plan", "add", "Home 100", "29.99", "--down", "100", "--up", "20", "--tax", "19")
    typed("product", "add", "Static address", "5.00", "--kind", "addon")
    typed("product", "add", "Router", "3.00", "--kind", "rent")
    shown = re.findall(r"```csv\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown == list(EXAMPLES.values())
    for kind in EXAMPLES:
        file = tmp_path / f"{kind}.csv"
        file.write_text(typed("import", "example", kind))
        assert typed("import", kind, str(file), "--commit").endswith(f"3 {kind} are imported.\n")
    assert "The books are right." in typed("books", "check")
