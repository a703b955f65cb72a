"""What the mails say: the facts of each kind, handed to its template. Pure: values in, words out."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from base.access import Reason
from base.business import Business
from base.calendar import Period
from base.money import Money
from billing.mail_words import Letter, Sources, write
from billing.tax import TaxGroup


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
    charge: tuple[str, date] | None = None,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """A new invoice: what it is for, how much, until when, where to pay; `open` is what credit has not settled.

    `charge`: which card is charged with it on which day, where that happens by itself.
    """
    return write(
        "invoice",
        business,
        language=language,
        sources=sources,
        name=name,
        number=number,
        issued_on=issued_on,
        due_on=due_on,
        lines=[{"text": text, "period": period, "net": net} for text, period, net in lines],
        taxes=taxes,
        total=total,
        open=open,
        link=link,
        charge=None if charge is None else {"card": charge[0], "on": charge[1]},
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
    kind: str = "reminder_1",
    reduce_on: date | None = None,
    end_on: date | None = None,
    fee: Money | None = None,
    fee_ahead: Money | None = None,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """An invoice is due or overdue: how much, since when, and what happens to the services on which date.

    `kind` is due_notice, reminder_1, reminder_2 or final_notice; `owed` is open on all the subscriber's invoices
    together; `reduce_on`, `wall_on` and `end_on` are the days on which the line gets slower, reaches only the payment
    pages, and ends, where this message names them; `fee` was added with it, `fee_ahead` comes with the next message.
    """
    return write(
        kind,
        business,
        language=language,
        sources=sources,
        name=name,
        number=number,
        due_on=due_on,
        open=open,
        owed=owed,
        reduce_on=reduce_on,
        wall_on=wall_on,
        end_on=end_on,
        pay_by=None if wall_on is None else wall_on - timedelta(days=1),
        walled=wall_on is not None and today >= wall_on,
        fee=fee,
        fee_ahead=fee_ahead,
        link=link,
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
    counts_on: date | None = None,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """Money has arrived: what it settled, as (invoice number, amount), and what is owed now (negative: credit).

    `counts_on`: it is a cheque that settles nothing before that day.
    """
    return write(
        "receipt",
        business,
        language=language,
        sources=sources,
        name=name,
        receipt_number=receipt_number,
        received_on=received_on,
        amount=amount,
        settled=[{"number": number, "amount": part} for number, part in settled],
        counts_on=counts_on,
        owed=owed,
        nothing=Money(0, amount.currency),
    )


def credit_note_letter(
    business: Business,
    *,
    name: str,
    number: str,
    issued_on: date,
    invoice_number: str,
    reason: str,
    lines: Sequence[tuple[str, Period | None, Money]],
    taxes: Sequence[TaxGroup],
    total: Money,
    owed: Money,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """Something of an invoice is given back: how much, why, and what is owed now (negative: credit)."""
    return write(
        "credit_note",
        business,
        language=language,
        sources=sources,
        name=name,
        number=number,
        issued_on=issued_on,
        invoice_number=invoice_number,
        reason=reason,
        lines=[{"text": text, "period": period, "net": net} for text, period, net in lines],
        taxes=taxes,
        total=total,
        owed=owed,
        nothing=Money(0, total.currency),
    )


def statement_letter(
    business: Business,
    *,
    name: str,
    number: str,
    period: Period,
    closing: Money,
    link: str,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """A statement of account was asked for: `closing` is what was owed at the end of the period (negative: credit)."""
    return write(
        "statement",
        business,
        language=language,
        sources=sources,
        name=name,
        number=number,
        period=period,
        closing=closing,
        nothing=Money(0, closing.currency),
        link=link,
    )


def welcome_letter(
    business: Business,
    *,
    name: str,
    number: str,
    plan: str,
    login: str,
    starts_on: date,
    link: str,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """A subscriber's first service: account number, plan and login; never the password."""
    return write(
        "welcome",
        business,
        language=language,
        sources=sources,
        name=name,
        number=number,
        plan=plan,
        login=login,
        starts_on=starts_on,
        link=link,
    )


def access_letter(
    business: Business,
    kind: str,
    *,
    name: str,
    login: str,
    at: datetime,
    reasons: Sequence[Reason],
    owed: Money,
    link: str,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """A service was 'suspended' (walled in) or 'restored'; the reasons are those that hold now."""
    return write(
        kind,
        business,
        language=language,
        sources=sources,
        name=name,
        login=login,
        at=at,
        reasons=[reason.for_subscriber for reason in reasons],
        owed=owed,
        nothing=Money(0, owed.currency),
        link=link,
    )


def promise_letter(
    business: Business,
    *,
    name: str,
    amount: Money,
    until: date,
    link: str,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """A promise to pay was accepted: how much, until when."""
    return write(
        "promise_accepted",
        business,
        language=language,
        sources=sources,
        name=name,
        amount=amount,
        until=until,
        link=link,
    )


def usage_letter(
    business: Business,
    kind: str,
    *,
    name: str,
    login: str,
    used: int,
    cap: int,
    renews_on: date,
    link: str,
    language: str | None = None,
    sources: Sources | None = None,
) -> Letter:
    """'usage_80' or 'usage_100': so many octets of the cap are used, and on which day the count starts anew."""
    return write(
        kind,
        business,
        language=language,
        sources=sources,
        name=name,
        login=login,
        used=used,
        cap=cap,
        percent=used * 100 // cap,
        renews_on=renews_on,
        link=link,
    )
