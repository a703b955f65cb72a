"""`tollkeeper books`: what the accountant types, and what comes back."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.tick import run
from tests.billing.provider import noon
from tests.console.test_billing import typed


def test_a_month_from_its_bills_to_its_journal(provider, tmp_path: Path):
    provider.travel(noon(date(2026, 3, 11)))
    provider.service(provider.subscriber(), provider.plan(price=3100), date(2026, 3, 11))
    run(noon(date(2026, 3, 11)))
    provider.pay(1, 1000)
    assert "1400\treceivable\tReceivables\tasset, debit, by subscriber" in typed("books", "accounts")
    typed("books", "code", "revenue", "4420", "--tax-class", "20 %")
    assert "4420\trevenue\tRevenue, 20 %" in typed("books", "accounts")
    assert "no tax class 'x'" in typed("books", "code", "revenue", "1", "--tax-class", "x", fails=True)
    assert "An account is one of" in typed("books", "code", "purse", "1", fails=True)
    assert "2026-03 is not over: today is 2026-03-11." in typed("books", "close", "2026-03", fails=True)
    assert "not a month such as" in typed("books", "close", "March", fails=True)
    provider.travel(noon(date(2026, 4, 2)))
    typed("invoice", "write-off", "INV-000001", "--because", "moved away")
    assert "record the payment first" in typed("invoice", "recover", "INV-000001", "--because", "paid", fails=True)
    provider.pay(1, 500)
    assert "€5.00 of INV-000001 are recovered." in typed("invoice", "recover", "INV-000001", "--because", "paid")
    assert typed("books", "close", "2026-03") == "2026-03 is closed.\n"
    assert "2026-03\tclosed by console, 2026-04-02" in typed("books", "months")
    assert "4420\tRevenue, 20 %\tEUR\t0.00\t10.00\t31.00\t-21.00" in typed("books", "trial", "--to", "2026-03-31")
    shown = typed("books", "earned", "--to", "2026-03-31")
    assert shown.splitlines() == ["earned\t20 %\t€21.00", "unearned\t20 %\t€10.00"]
    assert typed("books", "check") == "The books are right.\n"
    out = tmp_path / "journal.csv"
    typed("books", "export", "--from", "2026-03-01", "--to", "2026-03-31", "-o", str(out))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["code"] for row in rows if row["account"] == "revenue"} == {"4420"}
    assert typed("books", "export", "--format", "hledger", "--to", "2026-03-31").startswith("commodity 0.00 EUR\n")
    assert "Only the last" not in typed("books", "reopen", "2026-03", "--because", "forgot one")
    assert "No month is closed." in typed("books", "reopen", "2026-03", "--because", "again", fails=True)


@pytest.mark.parametrize("damage", [None, "UPDATE posting SET amount_minor = 2 * amount_minor"])
def test_prove_and_check_say_it_and_fail(provider, damage: str | None):
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    provider.travel(now)
    provider.service(provider.subscriber(), provider.plan(), date(2026, 3, 1))
    while "; 0 wait for a seal" not in typed("books", "prove") or "0 rows" in typed("books", "prove"):
        run(now)
    if damage is not None:
        with provider.engine.begin() as tx:
            tx.execute(text("SET LOCAL session_replication_role = replica"))
            tx.execute(text(damage))
    proven = typed("books", "prove", fails=damage is not None)
    assert ("entry 1 (Invoice INV-000001) is not what it was" in proven) == (damage is not None)
    assert ("2 rows under" in proven) == (damage is None)
    checked = typed("books", "check", fails=damage is not None)
    assert ("is not booked as it stands" in checked) == (damage is not None)
