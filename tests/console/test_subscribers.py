"""`tollkeeper subscriber`, `service add/show` and `payment`: from nobody to a paid line, typed."""

from datetime import date

import pytest
from click.testing import CliRunner

from console.cli import main
from tests.billing.provider import noon


def typed(*words: str, fails: bool = False) -> str:
    result = CliRunner().invoke(main, list(words))
    assert (result.exit_code != 0) == fails, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


@pytest.fixture
def march(provider):
    provider.travel(noon(date(2026, 3, 1)))
    return provider


def test_from_nobody_to_a_paid_line(march):
    typed("plan", "add", "Home", "31.00", "--down", "100", "--up", "20", "--tax", "20")
    assert typed("subscriber", "add", "Anna", "--billing-day", "15") == "Anna has the account number 00001.\n"
    typed("subscriber", "add", "Landlord")
    said = typed("service", "add", "00001", "anna", "Home").splitlines()
    assert said[0] == "anna is on Home from today on."
    assert said[1].startswith("Its password is ")
    typed("service", "add", "00001", "flat", "1", "--payer", "00002", "--password", "x")
    typed("bill", "run")
    # 14 of the 28 days from 15 February on
    assert "00001\tAnna\t\tbilling day 15, 1 services, owes €18.60" in typed("subscriber", "list", "ann")
    assert typed("payment", "00001", "20", "--by", "transfer", "--invoice", "INV-000001") == (
        "Receipt R-000001; 00001 has €1.40 of credit.\n"
    )
    assert "has no invoice INV-9" in typed("payment", "00001", "1", "--invoice", "INV-9", fails=True)
    assert "There is no plan 'Attic'" in typed("service", "add", "00001", "x", "Attic", fails=True)
    shown = typed("service", "show", "flat")
    assert "paid by\t00002 Landlord" in shown
    assert "plan\tHome from 2026-03-01 on, periods counted from 2026-03-01" in shown
    assert "access\tFULL" in shown


def test_staff_orders_and_the_billing_day(march):
    typed("plan", "add", "Home", "31.00", "--down", "100", "--up", "20")
    typed("subscriber", "add", "Anna")
    typed("service", "add", "00001", "anna", "Home", "--password", "x")
    typed("bill", "run")
    assert "Missing option" in typed("service", "suspend", "anna", fails=True)
    typed("service", "suspend", "anna", "--because", "abuse")
    assert "access\tWALLED A member of staff suspended this service" in typed("service", "show", "anna")
    typed("service", "restore", "anna")
    assert "access\tFULL" in typed("service", "show", "anna")
    said = typed("subscriber", "billing-day", "00001", "10").splitlines()
    assert said == [
        "anna: from 2026-04-01 on; what lies between that and its first such day is a part.",
        "00001 is billed on day 10.",
    ]
    assert "periods counted from 2026-04-10" in typed("service", "show", "anna")
    assert "not a whole number" in typed("subscriber", "billing-day", "00001", "x", fails=True)
    assert "31" in typed("subscriber", "billing-day", "00001", "32", fails=True)
