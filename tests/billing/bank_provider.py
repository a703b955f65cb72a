"""The little provider of the committed set in a real database, and the mapping of its bank's CSV."""

import csv
from datetime import date

from sqlalchemy import insert, select

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.bank.table import TableMapping
from billing.bank.tables import payer_account
from billing.invoices import issue_due
from billing.payments import record_payment
from billing.tables import invoice
from tests.billing.bank_500 import FOLDER, MONTHS, OURS
from tests.billing.provider import Provider, noon

MAPPING = TableMapping(
    day="Buchungstag", amount="Betrag (EUR)", text=("Verwendungszweck",), name="Auftraggeber", iban="IBAN",
    reference="Referenz", balance="Saldo", date_format="DD.MM.YYYY",
)  # fmt: skip
TODAY = date(2026, 6, 15)


def read_table(name: str) -> list[dict[str, str]]:
    """A committed table."""
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def build(provider: Provider) -> dict[str, int]:
    """Bill the subscribers of the set in March, April and May, and pay March; ids by account number."""
    provider.set(bank_iban=OURS)
    people = read_table("subscribers.csv")
    provider.travel(noon(date(2026, MONTHS[0], 1)))
    plans = {net: provider.plan(int(net)) for net in sorted({each["net"] for each in people})}
    ids = {}
    for each in people:
        ids[each["number"]] = provider.subscriber(each["name"])
        provider.service(ids[each["number"]], plans[each["net"]], date(2026, MONTHS[0], 1))
    for month in MONTHS:
        issue_due(provider.travel(noon(date(2026, month, 1))))
    with transaction() as tx:
        _expect(tx, people, ids)
        business = load_business(tx, provider.vault)
        now = provider.travel(noon(date(2026, MONTHS[0], 20)))
        for each in people:
            if each["paid_march"] != "1":
                continue
            payer = ids[each["number"]]
            record_payment(
                tx, provider.vault, business,
                subscriber_id=payer, amount=gross(each["net"]), method="transfer", author="staff:1", now=now,
            )  # fmt: skip
            if each["known"] == "1" and each["iban"]:
                row = {"iban": each["iban"], "subscriber_id": ids[each["number"]], "times": 1, "last_on": now.date()}
                tx.execute(insert(payer_account).values(**row))
    provider.travel(noon(TODAY))
    return ids


def gross(net: str) -> Money:
    """With 20 % tax."""
    return Money(int(net) + (int(net) * 20 + 50) // 100, "EUR")


def _expect(tx, people, ids) -> None:
    """The invoices have the numbers and sums that the set was made with."""
    found = {row.number: (row.subscriber_id, row.total_minor) for row in tx.execute(select(invoice))}
    wanted = {
        f"INV-{place * len(people) + at + 1:06d}": (ids[each["number"]], gross(each["net"]).minor)
        for place in range(len(MONTHS))
        for at, each in enumerate(people)
    }
    assert found == wanted
