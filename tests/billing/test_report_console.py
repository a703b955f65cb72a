"""`tollkeeper report`: tables that a person reads, CSV that a spreadsheet takes."""

import csv
from datetime import date
from fractions import Fraction
from io import StringIO

import pytest
from click.testing import CliRunner

from base.calendar import Period
from billing.reports.catalogue import REPORTS
from billing.reports.shape import Column, Report, Row, Unit, Window
from console.cli import main
from console.report_csv import raw, safe, write_csv
from console.report_text import sparkline


def typed(*words, fails=False):
    result = CliRunner().invoke(main, ["report", *words])
    assert (result.exit_code != 0) == fails, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def figures(text):
    return {(row["table"], row["label"], row["measure"]): row for row in csv.DictReader(StringIO(text))}


@pytest.fixture
def german(book):
    book.set(language="de")
    return book


def test_the_list_names_every_report(book):
    listed = typed()
    assert [line.split()[0] for line in listed.splitlines()] == list(REPORTS)


def test_a_table_is_aligned_and_says_what_it_is_about(book):
    assert typed("ageing", "--month", "2026-04", "--months", "3").splitlines() == [
        "Outstanding and ageing",
        "at the end of Apr 30, 2026, EUR",
        "",
        "                share     open  by month",
        "────────────  ───────  ───────  ────────",
        "current         6.2 %   €18.00       ▁▁█",
        "1-30 days      74.5 %  €216.00       ▃▂█",
        "31-60 days      6.9 %   €20.00       ██▅",
        "61-90 days     12.4 %   €36.00       ▁▁█",
        "over 90 days    0.0 %    €0.00       ▁▁▁",
        "────────────  ───────  ───────  ────────",
        "outstanding   100.0 %  €290.00       ▄▂█",
        "",
        "          outstanding  overdue  overdue share  over 90 days",
        "────────  ───────────  ───────  ─────────────  ────────────  ────────────",
        "Feb 2026      €108.00  €108.00        100.0 %         €0.00  ████",
        "Mar 2026       €56.00   €56.00        100.0 %         €0.00  ██",
        "Apr 2026      €290.00  €272.00         93.8 %         €0.00  ████████████",
    ]


def test_targets_are_marked(book):
    shown = typed("collection")
    assert "Target: cohort rate at least 95.0 %: ✗ missed." in shown
    assert "May 2025" not in shown  # nothing had happened yet
    assert [line.split("  ")[-1].strip() for line in shown.splitlines()[-4:]] == [
        "✓ met", "✗ missed", "✗ missed", "… too early",
    ]  # fmt: skip
    assert "Target: simple at most 30.0 days: ✓ met." in typed("dso")
    book.set(report_target_dso_days=20)
    assert "Target: simple at most 20.0 days: ✗ missed." in typed("dso")


def test_nobody_enrolled_is_not_nought_per_cent(book):
    shown = typed("autopay", "--months", "1")
    assert "accounts         -        10     -" in shown
    assert "nobody can enrol" in shown
    assert " 0.0 %" not in shown


def test_amounts_and_dates_in_the_providers_language(german):
    shown = typed("mrr", "--month", "2026-01")
    assert "347,00" in shown
    assert "31. Jan. 2026" in shown or "31.01.2026" in shown


def test_any_past_day_and_any_period(book):
    assert "€36.00" in typed("ageing", "--on", "2026-01-31")
    assert "at the end of Feb 28, 2026" in typed("ageing", "--month", "2026-02")
    quarter = typed("revenue", "--from", "2026-01-01", "--to", "2026-03-31", "--months", "1")
    assert "Jan 1, 2026 to Mar 31, 2026, as of Apr 30, 2026" in quarter
    assert "€1,226.00" in quarter  # 627 + 307 + 292


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("profit",), "There is no report 'profit'"),
        (("late", "--month", "2026-13"), "is not a month such as 2026-11"),
        (("late", "--from", "2026-01-01"), "--from and --to together"),
        (("late", "--from", "2026-02-01", "--to", "2026-01-01"), "before it begins"),
        (("late", "--on", "2026-05-01"), "is still to come"),
        (("late", "--month", "2026-06"), "begins on 2026-06-01"),
        (("late", "--on", "yesterday"), "is not a date"),
        (("late", "--csv", "/nowhere/at/all.csv"), "No such file"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(book, words, sentence):
    assert sentence in typed(*words, fails=True)


def test_csv_has_raw_numbers_and_iso_dates(book, tmp_path):
    typed("collection", "--csv", str(tmp_path / "c.csv"))
    found = figures((tmp_path / "c.csv").read_text(encoding="utf-8"))
    cohort = found["rows", "cohort: of the invoices issued in the period", "collected"]
    assert (cohort["from"], cohort["to"], cohort["on"]) == ("2026-04-01", "2026-04-30", "2026-04-30")
    assert (cohort["unit"], cohort["value"]) == ("EUR", "215.40")
    rate = found["trend", "2026-01", "cohort rate"]
    assert (rate["unit"], rate["value"]) == ("percent", "95.0372")
    assert found["trend", "2025-05", "cohort rate"]["value"] == ""


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_a_table_and_a_csv_in_which_each_figure_has_one_name(book, name):
    assert typed(name).count("\n") > 5
    text = typed(name, "--csv", "-")
    lines = list(csv.DictReader(StringIO(text)))
    assert len(figures(text)) == len(lines) > 12


def test_another_currency_is_named(book):
    book.subscriber("Wu", currency="USD")
    assert "Subscribers who pay in USD are not in it: --currency USD." in typed("mrr")
    assert "EUR are not in it" in typed("mrr", "--currency", "USD")


def test_no_label_is_a_formula_to_a_spreadsheet():
    for text in ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "\rx"):
        assert safe(text) == f"'{text}"
    assert safe("Home 100") == "Home 100"
    window = Window(Period(date(2026, 4, 1), date(2026, 5, 1)), date(2026, 4, 30), "EUR", 1)
    money = (Column("open", Unit.MONEY),)
    file = StringIO()
    write_csv(Report("x", "X", window, money, (Row("=1+1", (-500,)),), None, None, money, ()), file)
    assert file.getvalue().splitlines()[1] == "x,2026-04-01,2026-04-30,2026-04-30,rows,'=1+1,open,EUR,-5.00"


def test_raw_numbers():
    assert raw(None, Unit.SHARE, "EUR") == ""
    assert raw(Fraction(1, 3), Unit.SHARE, "EUR") == "33.3333"
    assert raw(Fraction(100), Unit.DAYS, "EUR") == "100"
    assert raw(1234, Unit.MONEY, "JPY") == "1234"
    assert raw(0, Unit.COUNT, "EUR") == "0"


def test_sparklines():
    assert sparkline([0, None, 1, 50, 100]) == "▁ ▂▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([None]) == " "
