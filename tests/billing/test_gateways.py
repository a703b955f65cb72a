"""A way to be paid is one module and one line: shown by the bank transfer, and by one that only this test knows."""

import os
import subprocess
import sys
from datetime import date

from base.database import transaction
from base.money import Money
from billing.checkout import Wish
from billing.gateway.offers import GATEWAYS, ready
from billing.gateway.ways import Instructions
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.qr import transfer_text
from tests.billing.provider import Provider, noon

IBAN = "DE89370400440532013000"

THIRD = """
import sys
from types import SimpleNamespace
from billing.gateway import offers
from billing.gateway.ways import Method, Redirect, Resting

third = SimpleNamespace(
    name="pigeon", methods={"pigeon": Method("Pigeon post", "pigeons")}, charges_alone=False,
    resting=Resting("pigeons", "Pigeon clearing", "1369", "Under way."), is_ready=lambda business: True,
    offer=lambda vault, who, url, wish: Redirect(f"{url}/pigeon/{who}"),
)
offers.GATEWAYS["pigeon"] = third

from base import clock
from base.business import load_business
from base.crypto import open_vault
from base.database import transaction
from base.money import Money
from base.settings import settings
from billing.ledger import check_books
from billing.payments import record_payment
from billing.tables import posting
from sqlalchemy import select

vault = open_vault(settings().secret_keys)
print(offers.GATEWAYS["pigeon"].offer(vault, 1, "https://isp", None).url)
with transaction() as tx:
    record_payment(tx, vault, load_business(tx, vault), subscriber_id=int(sys.argv[1]), amount=Money(2500, "EUR"),
                   method="pigeon", author="pigeon", gateway_id="pg_1", now=clock.now())
    booked = select(posting.c.amount_minor).where(posting.c.account == "pigeons")
    print(check_books(tx), tx.execute(booked).scalars().all())
"""


def test_a_third_gateway_takes_money_without_touching_payments(provider: Provider):
    who = provider.subscriber()
    done = subprocess.run(
        [sys.executable, "-c", THIRD, str(who)], capture_output=True, text=True, env=os.environ, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["https://isp/pigeon/1", "[] [2500]"]


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
    with transaction() as tx:
        assert check_books(tx) == []
