"""What a row of each kind must be, as far as the row itself tells. Pure.

A check returns the row as a value, or None after it has noted at least one fault. Codes that only we know (plans,
subscribers, what is taken) are looked up by the module of the kind.
"""

import re
from dataclasses import dataclass
from datetime import date
from ipaddress import AddressValueError, IPv4Address

from base.i18n import is_country, is_currency, is_language
from base.money import Money
from billing.importers.cells import Cells
from billing.importers.reader import Column

DELIVERIES = ("mail", "paper", "both")
TREATMENTS = ("normal", "exempt", "reverse_charge")
METHODS = ("transfer", "cash")
_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")

SUBSCRIBERS = (
    Column("number"),
    Column("name", required=True),
    *map(Column, ("email", "phone", "address", "language", "country", "currency", "billing_day", "delivery")),
    *map(Column, ("tax_treatment", "tax_number", "exemption_reason", "note")),
)
SERVICES = (
    *(Column(name, required=True) for name in ("subscriber", "login", "password", "plan", "starts_on")),
    *map(Column, ("paid_until", "address", "price", "price_reason", "contract_until", "payer")),
)
PRODUCTS = (
    *(Column(name, required=True) for name in ("login", "product")),
    *map(Column, ("quantity", "from_on", "paid_until", "until_on", "price")),
)
BALANCES = (
    Column("subscriber", required=True),
    Column("amount", required=True),
    *map(Column, ("number", "issued_on", "due_on")),
)
PAYMENTS = (
    *map(Column, ("subscriber", "invoice")),
    Column("amount", required=True),
    Column("date", required=True),
    *map(Column, ("note", "reference", "method")),
)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One who pays."""

    line: int
    number: str
    "'': to be numbered."
    name: str
    email: str
    phone: str
    address: str
    language: str | None
    country: str
    currency: str
    billing_day: int | None
    delivery: str
    tax_treatment: str
    tax_number: str
    exemption_reason: str
    note: str


@dataclass(frozen=True, slots=True)
class Service:
    """One login; the price is still text, because its plan says in which currency."""

    line: int
    subscriber: str
    login: str
    password: str
    plan: str
    starts_on: date
    paid_until: date | None
    address: str | None
    price: str
    price_reason: str
    contract_until: date | None
    payer: str
    "'': the subscriber."


@dataclass(frozen=True, slots=True)
class Product:
    """An add-on or rented equipment of a service; the price is still text, as that of a service is."""

    line: int
    login: str
    product: str
    quantity: int
    from_on: date | None
    paid_until: date | None
    until_on: date | None
    price: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What somebody owed (an amount above zero) or had as credit (below) on the day of the move."""

    line: int
    subscriber: str
    amount: Money
    number: str
    issued_on: date | None
    due_on: date | None


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that came in."""

    line: int
    subscriber: str
    invoice: str
    amount: Money
    day: date
    note: str
    reference: str
    method: str


def check_subscriber(cells: Cells, currency: str) -> Subscriber | None:
    """A subscriber; `currency` is the provider's."""
    found = Subscriber(
        line=cells.line,
        number=cells.text("number", most=40),
        name=cells.text("name", required=True),
        email=cells.text("email"),
        phone=cells.text("phone", most=60),
        address=cells.text("address", most=1000, lines=True),
        language=cells.text("language", most=20) or None,
        country=cells.text("country", most=20).upper(),
        currency=cells.text("currency", most=20).upper() or currency,
        billing_day=cells.whole("billing_day", 1, 31),
        delivery=cells.choice("delivery", DELIVERIES, "mail"),
        tax_treatment=cells.choice("tax_treatment", TREATMENTS, "normal"),
        tax_number=cells.text("tax_number", most=40),
        exemption_reason=cells.text("exemption_reason", most=300),
        note=cells.text("note", most=5000, lines=True),
    )
    if found.email and not _EMAIL.fullmatch(found.email):
        cells.fault("email", f"{found.email!r} is not one mail address.")
    if found.language is not None and not is_language(found.language):
        cells.fault("language", f"{found.language!r} is not a language such as en or de_AT.")
    if found.country and not is_country(found.country):
        cells.fault("country", f"{found.country!r} is not a country's code of two letters such as DE.")
    if not is_currency(found.currency):
        cells.fault("currency", f"{found.currency!r} is not a currency's code such as EUR.")
    if found.tax_treatment == "exempt" and not found.exemption_reason:
        cells.fault("exemption_reason", "An exemption needs its reason: it is printed on the invoices.")
    if found.tax_treatment == "reverse_charge" and not (found.tax_number and found.country):
        cells.fault("tax_number", "Reverse charge needs the subscriber's tax number and its country.")
    return None if cells.faults else found


def check_service(cells: Cells, today: date) -> Service | None:
    """A service; one that is older than today says from when on it is to be billed."""
    starts_on = cells.day("starts_on", required=True)
    paid_until = cells.day("paid_until")
    address = cells.text("address") or None
    login, password = cells.text("login", most=253, required=True), cells.text("password", most=128, required=True)
    price, reason = cells.text("price"), cells.text("price_reason")
    if len(login.encode()) > 253:
        cells.fault("login", "A login has at most 253 bytes.")
    if len(password.encode()) > 128:
        cells.fault("password", "A password has at most 128 bytes.")
    if address is not None and not _is_ipv4(address):
        cells.fault("address", f"{address!r} is not an IPv4 address.")
    if price and not reason:
        cells.fault("price_reason", "Another price needs a reason: somebody will ask.")
    if reason and not price:
        cells.fault("price", "There is a reason for another price, but no price.")
    if starts_on is not None and "paid_until" not in {fault.column for fault in cells.faults}:
        if paid_until is None and starts_on < today:
            sentence = "The service began before today: name the first day that the old system has not billed."
            cells.fault("paid_until", sentence)
        if paid_until is not None and paid_until < starts_on:
            cells.fault("paid_until", f"It is billed until {paid_until}, but begins on {starts_on}.")
    found = {
        "subscriber": cells.text("subscriber", most=40, required=True),
        "plan": cells.text("plan", required=True),
        "contract_until": cells.day("contract_until"),
        "payer": cells.text("payer", most=40),
    }
    if cells.faults or starts_on is None:
        return None
    return Service(
        line=cells.line, login=login, password=password, starts_on=starts_on, paid_until=paid_until,
        address=address, price=price, price_reason=reason, **found,  # type: ignore[arg-type]
    )  # fmt: skip


def check_product(cells: Cells) -> Product | None:
    """An add-on; what is empty of its days is as the service says."""
    found = Product(
        line=cells.line,
        login=cells.text("login", most=253, required=True),
        product=cells.text("product", required=True),
        quantity=cells.whole("quantity", 1, 10_000) or 1,
        from_on=cells.day("from_on"),
        paid_until=cells.day("paid_until"),
        until_on=cells.day("until_on"),
        price=cells.text("price"),
    )
    return None if cells.faults else found


def check_balance(cells: Cells, currency: str, today: date) -> Balance | None:
    """A debt or a credit; a debt has the day on which it was invoiced, and is due that day if no other is named."""
    number, subscriber = cells.text("number", most=60), cells.text("subscriber", most=40, required=True)
    amount = cells.money("amount", currency, required=True)
    issued_on, due_on = cells.day("issued_on"), cells.day("due_on")
    wrong = {fault.column for fault in cells.faults}
    if amount is not None and amount.minor > 0 and issued_on is None and "issued_on" not in wrong:
        cells.fault("issued_on", "A debt needs the day on which it was invoiced.")
    if issued_on is not None and issued_on > today:
        cells.fault("issued_on", f"{issued_on} has not come yet.")
    if issued_on is not None and due_on is not None and due_on < issued_on:
        cells.fault("due_on", f"It is due on {due_on}, before it was invoiced on {issued_on}.")
    if cells.faults or amount is None:
        return None
    return Balance(cells.line, subscriber, amount, number, issued_on, due_on or issued_on)


def check_payment(cells: Cells, currency: str, today: date) -> Payment | None:
    """Money received on a day that has come, from somebody who is named by their number or by an invoice."""
    subscriber, invoice = cells.text("subscriber", most=40), cells.text("invoice", most=60)
    amount, day = cells.money("amount", currency, required=True), cells.day("date", required=True)
    method = cells.choice("method", METHODS, "transfer")
    note, reference = cells.text("note", most=1000, lines=True), cells.text("reference")
    if not subscriber and not invoice:
        cells.fault("subscriber", "Whose is it? Name the subscriber's number or the number of an invoice.")
    if amount is not None and amount.minor <= 0:
        cells.fault("amount", "A payment is more than nothing; money that went out is not imported.")
    if day is not None and day > today:
        cells.fault("date", f"{day} has not come yet.")
    if cells.faults or amount is None or day is None:
        return None
    return Payment(cells.line, subscriber, invoice, amount, day, note, reference, method)


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
