"""What the mails say, in plain words. Pure: values in, words out, amounts and dates in the provider's language."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from base.business import Business
from base.calendar import Period
from base.i18n import format_date, format_money
from base.money import Money
from billing.tax import TaxGroup, percent_text


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's words."""

    subject: str
    body: str


def invoice_letter(
    business: Business,
    *,
    name: str,
    number: str,
    issued_on: date,
    due_on: date,
    lines: Sequence[tuple[str, Period | None, Money]],
    taxes: Sequence[TaxGroup],
    total: Money,
    open: Money,
    link: str,
) -> Letter:
    """A new invoice: what it is for, how much, until when, where to pay; `open` is what credit has not settled."""
    money, day = _formats(business)
    rows = [f"  {text}{_span(period, business)}: {money(net)}" for text, period, net in lines]
    rows += [f"  Tax {percent_text(group.percent)} %: {money(group.tax)}" for group in taxes if group.tax]
    if not open:
        ask = "Your credit has settled it in full; there is nothing to pay."
    elif open < total:
        ask = f"Your credit has settled {money(total - open)} of it. Please pay {money(open)} by {day(due_on)}."
    else:
        ask = f"Please pay it by {day(due_on)}."
    return _letter(
        business,
        f"Invoice {number} from {business.company_name}: {money(total)}",
        name,
        f"Your invoice {number} of {day(issued_on)} comes to {money(total)}.\n" + "\n".join(rows),
        ask,
        f"See it{' and pay' if open else ''} here: {link}",
    )


def reminder_letter(
    business: Business,
    *,
    name: str,
    number: str,
    due_on: date,
    open: Money,
    owed: Money,
    wall_on: date | None,
    today: date,
    link: str,
) -> Letter:
    """An invoice is overdue: how much, since when, and what happens to the services on which date.

    `owed` is open on all the subscriber's invoices together; `wall_on` is None when no service is at stake.
    """
    money, day = _formats(business)
    facts = f"Invoice {number} was due on {day(due_on)}, and {money(open)} of it has not reached us yet."
    if open < owed:
        facts += f"\nTogether with your other open invoices you owe {money(owed)}."
    if wall_on is None:
        consequence = ""
    elif today < wall_on:
        consequence = (
            f"Please pay by {day(wall_on - timedelta(days=1))}. If what is overdue is not paid by then, "
            f"from {day(wall_on)} on your connection will reach only the pages where you can pay."
        )
    else:
        consequence = (
            f"Since {day(wall_on)} your connection reaches only the pages where you can pay. "
            "As soon as what is overdue is paid you are back online at full speed, by itself."
        )
    return _letter(
        business,
        f"Reminder: invoice {number} from {business.company_name} is overdue",
        name,
        facts,
        consequence,
        f"Pay here: {link}",
        "If you have paid in the last days, thank you; there is nothing more to do.",
    )


def receipt_letter(
    business: Business,
    *,
    name: str,
    receipt_number: str,
    received_on: date,
    amount: Money,
    settled: Sequence[tuple[str, Money]],
    owed: Money,
) -> Letter:
    """Money has arrived: what it settled, as (invoice number, amount), and what is owed now (negative: credit)."""
    money, day = _formats(business)
    rows = [f"  Invoice {number}: {money(part)}" for number, part in settled]
    nothing = Money(0, amount.currency)
    if nothing < owed:
        rest = f"You still owe {money(owed)}."
    elif owed < nothing:
        rest = f"{money(-owed)} stay as your credit; the next invoice uses it."
    else:
        rest = "Everything is paid."
    return _letter(
        business,
        f"Receipt {receipt_number} from {business.company_name}: {money(amount)}",
        name,
        "\n".join([f"Thank you: we received {money(amount)} on {day(received_on)} (receipt {receipt_number}).", *rows]),
        rest,
    )


def _formats(business: Business) -> tuple[Callable[[Money], str], Callable[[date], str]]:
    language = business.language
    return (lambda amount: format_money(amount, language)), (lambda day: format_date(day, language))


def _span(period: Period | None, business: Business) -> str:
    if period is None:
        return ""
    return f", {format_date(period.start, business.language)} to {format_date(period.last_day, business.language)}"


def _letter(business: Business, subject: str, name: str, *paragraphs: str) -> Letter:
    sender = "\n".join(part for part in (business.company_name, business.support_contact) if part)
    body = "\n\n".join(part for part in (f"Dear {name},", *paragraphs, sender) if part)
    return Letter(" ".join(subject.split()), body + "\n")
