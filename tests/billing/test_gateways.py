"""A way to be paid is one module and one line: shown by the bank transfer, and by one that only this test knows."""

import os
import subprocess
import sys
from datetime import date

import pytest

from base.database import transaction
from base.money import Money
from billing.checkout import Wish
from billing.gateway.offers import GATEWAYS, ready
from billing.gateway.ways import Instructions
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.qr import transfer_text
from billing.refused import Refused
from tests.billing.provider import Provider, noon

IBAN = "DE89370400440532013000"


def test_a_second_gateway_takes_money_and_gives_it_back_without_touching_payments(provider: Provider):
    """Hosted page, signed notices, refunds: one module and one line, in a process of its own that knows it from the
    start."""
    provider.service(provider.subscriber(), provider.plan(), date(2026, 3, 1))
    issue_due(provider.travel(noon(date(2026, 3, 1))))
    story = [sys.executable, "-m", "tests.billing.second_gateway"]
    done = subprocess.run(story, capture_output=True, text=True, env=os.environ, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "pigeons 1899 of 1899" in done.stdout


def test_the_bank_transfer_says_where_to_send_how_much(provider: Provider):
    with transaction() as tx:
        from base.business import load_business

        assert [each.name for each in ready(load_business(tx, provider.vault))] == []
    provider.set(bank_iban=IBAN, bank_name="Bank")
    who = provider.subscriber()
    provider.service(who, provider.plan(), date(2026, 3, 1))
    issue_due(provider.travel(noon(date(2026, 3, 1))))
    offered = GATEWAYS["transfer"].offer(provider.vault, who, "", Wish())
    assert isinstance(offered, Instructions)
    said = dict(offered.lines)
    assert said["IBAN"] == "DE89 3704 0044 0532 0130 00"
    assert said["Reference"] == offered.reference
    assert offered.qr == transfer_text(said["Account holder"], IBAN, "", Money(3599, "EUR"), offered.reference)
    abroad = provider.subscriber("Yuki", currency="JPY")
    with pytest.raises(Refused, match="Our account is in EUR"):
        GATEWAYS["transfer"].offer(provider.vault, abroad, "", Wish(amount=Money(100, "JPY")))
    many = provider.subscriber("Max")
    in_advance = GATEWAYS["transfer"].offer(provider.vault, many, "", Wish(amount=Money(100, "EUR")))
    assert in_advance.reference == "00003"
    with transaction() as tx:
        assert check_books(tx) == []
