"""Billing from the console: what a person types, and the sentences that come back."""

from datetime import date

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from base import clock
from base.offers import plan
from base.tables import service, subscriber
from billing.tables import credit_note, invoice
from billing.tick import run
from console.cli import main
from tests.billing.provider import noon


def typed(*words, fails=False):
    result = CliRunner().invoke(main, list(words))
    assert (result.exit_code != 0) == fails, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def rows(provider, query):
    with provider.engine.connect() as tx:
        return tx.execute(query).all()


def test_from_plan_to_final_bill(provider):
    typed("tax", "add", "standard", "VAT=20")
    assert "standard\tVAT 20 % (S)" in typed("tax", "list")
    home = ("plan", "add", "Home", "31.00", "--down", "100", "--up", "20", "--tax-class", "standard")
    assert "Plan 1 is added: Home." in typed(*home, "--setup-fee", "10")
    typed("plan", "add", "Pro", "62.00", "--down", "300", "--up", "50", "--tax-class", "standard", "--every", "30")
    assert "62.00 every 30 days in advance, plus standard" in typed("plan", "list")
    today = clock.now().date()
    anna, bert = provider.subscriber(), provider.subscriber("Bert")
    provider.service(anna, 1, today)
    run(clock.now())
    tried = typed("service", "change-plan", "line1", "2", "--try")
    assert "€37.20 given back, €74.40 charged" in tried
    typed("service", "change-plan", "line1", "2")
    typed("service", "price", "line1", "40.00", "--because", "loyal")
    typed("charge", "00001", "5.00", "Cable", "--tax", "20", "--now")
    run(clock.now())
    typed("product", "add", "Router", "3.00", "--kind", "rent", "--tax-class", "standard")
    assert "Router\trent\t€3.00" in typed("product", "list")
    typed("service", "add-product", "line1", "Router")
    typed("service", "end-product", "line1", "Router")
    assert "does not have Router" in typed("service", "end-product", "line1", "Router", fails=True)
    typed("service", "discount", "line1", "10%", "Loyal", "--periods", "2")
    typed("coupon", "SPRING", "5.00", "Spring", "--until", "2035-01-01", "--most", "3")
    typed("service", "redeem", "line1", "spring")
    assert "not valid" in typed("service", "redeem", "line1", "autumn", fails=True)
    typed("service", "pause", "line1", "--note", "holiday")
    typed("service", "resume", "line1")
    typed("service", "payer", "line1", "00002")
    typed("invoice", "credit", "INV-000001", "--because", "Outage", "--line", "2=5.00")
    assert "given up" in typed("invoice", "write-off", "INV-000001", "--because", "small")
    typed("service", "hand-over", "line1", "00002")
    typed("service", "cancel", "line1", "--because", "moved")
    typed("tax", "treat", "00002", "exempt", "--because", "school")
    typed("tax", "treat", "00001", "exempt", fails=True)
    typed("plan", "price", "1", "35.00", "--from", "2030-01-01")
    typed("plan", "retire", "1")
    assert len(rows(provider, select(invoice))) == 2
    assert len(rows(provider, select(credit_note))) >= 3
    assert [row.subscriber_id for row in rows(provider, select(service).order_by(service.c.id))] == [anna, bert]
    assert rows(provider, select(plan.c.retired_on).where(plan.c.id == 1))[0].retired_on == today
    assert len(rows(provider, select(subscriber))) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("plan", "add", "X", "-1", "--down", "1", "--up", "1"), "No such option"),
        (("plan", "add", "X", "abc", "--down", "1", "--up", "1"), "is not an amount"),
        (("plan", "add", "X", "1", "--down", "1", "--up", "1", "--every", "fortnight"), "is not a whole number"),
        (("plan", "add", "X", "1", "--down", "1", "--up", "1", "--tax-class", "none"), "no tax class 'none'"),
        (("plan", "price", "9", "1"), "There is no plan '9'"),
        (("plan", "retire", "9"), "There is no plan '9'"),
        (("service", "pause", "nobody"), "no service with the login 'nobody'"),
        (("service", "pause", "nobody", "--from", "yesterday"), "no service with the login 'nobody'"),
        (("charge", "99999", "1", "Cable"), "no subscriber with the account number '99999'"),
        (("invoice", "credit", "INV-9", "--because", "x"), "There is no invoice 'INV-9'."),
        (("tax", "add", "odd", "VAT=x"), "x"),
        (("tax", "change", "odd", "VAT=20", "--from", "2030-01-01"), "no tax class 'odd'"),
    ],
)
def test_what_cannot_be_is_a_sentence(provider, words, sentence):
    said = typed(*words, fails=True)
    assert sentence in said
    assert "Traceback" not in said


def test_a_day_that_is_none(provider):
    provider.travel(noon(date(2026, 3, 1)))
    provider.service(provider.subscriber(), provider.plan(), date(2026, 3, 1))
    said = typed("service", "cancel", "line2", "--because", "x", "--on", "soon", fails=True)
    assert "'soon' is not a date such as 2026-03-31." in said
