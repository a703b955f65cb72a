"""Twelve subscribers over four months, small enough to be reckoned by hand; every deed is one of the product.

Billed on the first of the month, due 14 days later; VAT 20 % but for the yearly and the village plan (10 %).

    Home     30.00 a month plus 20 %            36.00      Year      240.00 a year plus 10 %         264.00
    Pro      60.00 a month plus 20 %            72.00      Village    33.00 a month, 10 % in it, so 30.00 net
    Quarter  90.00 a quarter plus 20 %         108.00      Static address 5.00 a month, deposit 50.00 without tax

    Ada   Home      pays each 36.00 on the 10th
    Ben   Home      January on 25 Jan, February on 7 Mar, of March 16.00 on 30 Mar, nothing after that
    Cem   Pro       January on 15 Jan, February as 40.00 on 10 Feb and 32.00 on 20 Feb, March on 12 Mar, not April
    Dora  Home      pays on the 10th; on 16 Apr changes to Pro: credit note 15.00 + 3.00, invoice 30.00 + 6.00 (due
                    30 Apr), of which the credit pays 18.00
    Eve   Home      pays on the 10th; on 10 Feb pauses 15 to 28 Feb: credit note 15.00 + 3.00, the rest on 14 Feb
    Finn  Home      never pays; ends for non-payment on 1 Mar; January is written off on 20 Mar
    Gil   Quarter   January to March on 12 Jan; April to June not
    Hana  Year      264.00 on 14 Jan; on 5 Feb charged 50.00 + 10.00 by mistake, credited on 6 Feb
    Ivo   Village   January on 20 Jan, then on the 12th
    Jo    Home      10 % off for good: 27.00 + 5.40; pays on the 10th
    Kim   Home      from February at a price of her own, 20.00 + 4.00; pays on the 10th; moves, ends on 1 Apr
    Lea   Home      from February, with a static address and a deposit: 92.00 on 12 Feb, then 42.00; pays March on
                    12 Mar and 50.00 on 10 Apr, of which 8.00 are left as credit
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import select

import base.database
from base import clock
from base.business import load_business
from base.calendar import Cycle
from base.crypto import open_vault
from base.database import connect, transaction
from base.money import Money
from base.settings import settings
from billing import changes, endings, extras
from billing.charges import add_charge
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.plans import add_plan, class_of_percent
from billing.tables import invoice
from billing.tick import run
from console.schema import migrate
from tests.billing.provider import Provider, noon

NAMES = ("Ada", "Ben", "Cem", "Dora", "Eve", "Finn", "Gil", "Hana", "Ivo", "Jo", "Kim", "Lea")
ON_THE_TENTH = {1: "Ada Dora Eve Jo Kim", 2: "Ada Dora Jo Kim", 3: "Ada Dora Eve Jo Kim", 4: "Ada Dora Eve Jo"}
EACH = {"Jo": 3240, "Kim": 2400}
"What they pay on the tenth; the others 36.00."
OTHERS = {
    (1, 12): {"Gil": 10800}, (1, 14): {"Hana": 26400}, (1, 15): {"Cem": 7200}, (1, 20): {"Ivo": 3300},
    (1, 25): {"Ben": 3600}, (2, 10): {"Cem": 4000}, (2, 12): {"Ivo": 3300, "Lea": 9200}, (2, 14): {"Eve": 1800},
    (2, 20): {"Cem": 3200}, (3, 7): {"Ben": 3600}, (3, 12): {"Cem": 7200, "Ivo": 3300, "Lea": 4200},
    (3, 30): {"Ben": 1600}, (4, 10): {"Lea": 5000}, (4, 12): {"Ivo": 3300},
}  # fmt: skip


class Book:
    """The provider, and who is who in it."""

    def __init__(self, provider: Provider) -> None:
        """Nobody yet."""
        self.provider = provider
        self.payers: dict[str, int] = {}
        self.lines: dict[str, int] = {}
        self.plans: dict[str, int] = {}

    def do(self, deed: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """One deed of staff in a transaction of its own."""
        with transaction() as tx:
            return deed(tx, self.provider.vault, "staff:1", *args, **more)

    def open(self) -> None:
        """What is sold, and who buys it from 1 January on."""
        self.provider.set(issue_days_before=0, due_days=14)
        self.provider.travel(noon(date(2026, 1, 1)))
        for name, price, tax, months, inclusive in (
            ("Home", 3000, "20", 1, False),
            ("Pro", 6000, "20", 1, False),
            ("Quarter", 9000, "20", 3, False),
            ("Year", 24000, "10", 12, False),
            ("Village", 3300, "10", 1, True),
        ):
            with transaction() as tx:
                self.plans[name] = add_plan(
                    tx, "staff:1", name=name, price=Money(price, "EUR"), cycle=Cycle("month", months),
                    tax_percent=tax, price_inclusive=inclusive, rate_down=0, rate_up=0,
                )  # fmt: skip
        bought = {"Cem": "Pro", "Gil": "Quarter", "Hana": "Year", "Ivo": "Village"}
        for name in NAMES:
            self.payers[name] = self.provider.subscriber(name, f"{name.lower()}@example.net")
            if name != "Lea":
                self.begin(name, bought.get(name, "Home"), date(2026, 1, 1))
        self.do(extras.add_discount, self.lines["Jo"], text="Loyal", percent_off="10")

    def begin(self, name: str, plan: str, day: date) -> None:
        """A line from a day on."""
        self.lines[name] = self.provider.service(self.payers[name], self.plans[plan], day)

    def live(self) -> None:
        """January to April, day by day as far as something happens."""
        deeds: dict[tuple[int, int], list[Callable[[], None]]] = defaultdict(list)
        for month in (1, 2, 3, 4):
            deeds[month, 1] = []
            for name in ON_THE_TENTH[month].split():
                minor = 3600 if (name, month) == ("Kim", 1) else EACH.get(name, 3600)
                deeds[month, 10].append(self.pays(name, minor))
        for when, paid in OTHERS.items():
            deeds[when] += [self.pays(name, minor) for name, minor in paid.items()]
        deeds[1, 5].append(self.kim_haggles)
        deeds[2, 1].append(self.lea_comes)
        deeds[2, 5].append(self.hana_is_charged)
        deeds[2, 6].append(self.hana_is_credited)
        deeds[2, 10].append(self.eve_pauses)
        deeds[2, 27].append(self.finn_is_ended)
        deeds[3, 20].append(self.finn_is_written_off)
        deeds[3, 25].append(self.kim_leaves)
        deeds[4, 16].append(self.dora_changes)
        for month, day in sorted(deeds):
            now = self.provider.travel(noon(date(2026, month, day)))
            run(now)
            for deed in deeds[month, day]:
                deed()
            run(now)

    def pays(self, name: str, minor: int) -> Callable[[], None]:
        """Cash."""
        return lambda: self.provider.pay(self.payers[name], minor)

    def kim_haggles(self) -> None:
        """From the first day that is not billed: 1 February."""
        self.do(changes.set_price, self.lines["Kim"], Money(2000, "EUR"), "A neighbour pays that")

    def lea_comes(self) -> None:
        """With a static address and a deposit."""
        self.begin("Lea", "Home", date(2026, 2, 1))
        with transaction() as tx:
            taxed, free = class_of_percent(tx, "staff:1", "20"), class_of_percent(tx, "staff:1", "0")
            sold = [
                extras.add_product(tx, "staff:1", name=name, kind=kind, price=Money(price, "EUR"), tax_class_id=tax)
                for name, kind, price, tax in (
                    ("Static address", "addon", 500, taxed),
                    ("Router deposit", "deposit", 5000, free),
                )
            ]
        for product_id in sold:
            self.do(extras.sell_product, self.lines["Lea"], product_id)

    def hana_is_charged(self) -> None:
        """By mistake, with an invoice of its own."""
        with transaction() as tx:
            add_charge(
                tx, subscriber_id=self.payers["Hana"], kind="one_off", text="Visit", amount=Money(5000, "EUR"),
                tax_class_id=class_of_percent(tx, "staff:1", "20"), on_day=date(2026, 2, 5), author="staff:1",
                bill_on=date(2026, 2, 5),
            )  # fmt: skip

    def hana_is_credited(self) -> None:
        """All of it."""
        self.correct(credit_invoice, "Hana", date(2026, 2, 5), "Not ordered")

    def eve_pauses(self) -> None:
        """14 of February's 28 days."""
        self.do(changes.pause, self.lines["Eve"], date(2026, 2, 15), date(2026, 3, 1))

    def finn_is_ended(self) -> None:
        """28 February is his last day."""
        self.do(endings.cancel, self.lines["Finn"], date(2026, 3, 1), "non-payment")

    def finn_is_written_off(self) -> None:
        """January only."""
        self.correct(write_off_invoice, "Finn", date(2026, 1, 1), "Moved abroad")

    def kim_leaves(self) -> None:
        """31 March is her last day."""
        self.do(endings.cancel, self.lines["Kim"], date(2026, 4, 1), "moved")

    def dora_changes(self) -> None:
        """15 of April's 30 days on each plan."""
        self.do(changes.change_plan, self.lines["Dora"], self.plans["Pro"])

    def correct(self, deed: Callable[..., Any], name: str, issued_on: date, reason: str) -> None:
        """Credit or write off the invoice of a day."""
        with transaction() as tx:
            theirs = invoice.c.subscriber_id == self.payers[name], invoice.c.issued_on == issued_on
            invoice_id = tx.scalars(select(invoice.c.id).where(*theirs)).one()
            business = load_business(tx, self.provider.vault)
            deed(tx, self.provider.vault, business, "staff:1", invoice_id, reason, clock.now())


def write_book(url: str) -> None:
    """Fill an empty database with the book; done once per test run, tests get copies."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        engine = connect(url)
        migrate(engine)
        engine.dispose()
        patch.setenv("TOLLKEEPER_DATABASE_URL", url.replace("postgresql+psycopg://", "postgresql://"))
        patch.setenv("TOLLKEEPER_KEYS_FILE", f"{folder}/keys")
        patch.setenv("TOLLKEEPER_DATA_DIR", folder)
        _forget()
        book = Book(Provider(base.database.engine(), open_vault(Path(folder) / "keys")))
        book.open()
        book.live()
        base.database.engine().dispose()
        clock.travel_to_offset(timedelta())
    _forget()


def _forget() -> None:
    settings.cache_clear()
    base.database.engine.cache_clear()
