"""`tollkeeper payment`: money that came in by hand, and cheques that do not count yet."""

from typing import Any

import click

from console.desk import ACTOR, desk_of_console, find_subscriber, one
from console.subscribers import balance_words


class _RecordByDefault(click.Group):
    """`payment 00001 29.99` records one, as `payment record` does: what is no command is its account number."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named, else `record`."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["record", *args])


@click.group(cls=_RecordByDefault, context_settings={"ignore_unknown_options": True})
def payment() -> None:
    """Record money: `payment NUMBER AMOUNT`; and say which cheques are good."""


@payment.command("record")
@click.argument("number")
@click.argument("amount")
@click.option("--by", "method", default="cash", show_default=True, help="cash, transfer or cheque.")
@click.option("--on", "day", default=None, help="Day on which it came in; default: today.")
@click.option("--invoice", "invoices", multiple=True, help="Number of an invoice that it settles first.")
@click.option("--note", default="")
def payment_record(
    number: str, amount: str, method: str, day: str | None, invoices: tuple[str, ...], note: str
) -> None:
    """Record money from the subscriber with account NUMBER: a receipt, what it settles, and access follow at once.

    A cheque counts after `cheque_days`.
    """
    from sqlalchemy import select

    from base import clock
    from base.tables import subscriber as table
    from billing.cheques.waiting import waiting_of
    from billing.ledger import receivable
    from billing.payments import record_payment
    from billing.tables import invoice
    from billing.tables import payment as payments

    if method not in ("cash", "transfer", "cheque"):
        raise click.ClickException("A payment is recorded by cash, transfer or cheque; cards record themselves.")
    with desk_of_console() as desk:
        who = find_subscriber(desk, number)
        currency = desk.tx.scalar(select(table.c.currency).where(table.c.id == who))
        ids = []
        for each in invoices:
            theirs = select(invoice.c.id).where(invoice.c.number == each, invoice.c.subscriber_id == who)
            ids.append(one(desk, theirs, f"{number} has no invoice {each}.").id)
        done = record_payment(
            desk.tx, desk.vault, desk.business, subscriber_id=who, amount=desk.money(amount, currency), method=method,
            author=ACTOR, invoice_ids=ids, note=note, now=clock.now(), received_on=desk.day(day),
        )  # fmt: skip
        receipt = desk.tx.scalar(select(payments.c.receipt_number).where(payments.c.id == done.payment_id))
        balance = balance_words(desk, receivable(desk.tx, who))
        late = [each for each in waiting_of(desk.tx, [who]).get(who, []) if each.payment_id == done.payment_id]
    counts = f" It counts on {late[0].counts_on}, or when you say `payment clear {receipt}`." if late else ""
    click.echo(f"Receipt {receipt}; {number} {balance}.{counts}")


@payment.command("clear")
@click.argument("receipt")
def payment_clear(receipt: str) -> None:
    """Say that the bank has paid the cheque with this RECEIPT: it counts from now on."""
    from base import clock
    from billing.cheques.clear import clear_cheque

    with desk_of_console() as desk:
        clear_cheque(desk.tx, desk.vault, desk.business, ACTOR, find_payment(desk, receipt).id, clock.now())
    click.echo(f"{receipt} counts.")


@payment.command("waiting")
def payment_waiting() -> None:
    """List the cheques that do not count yet; `reverse` is for those that bounce."""
    from base.money import Money
    from billing.cheques.waiting import list_waiting

    with desk_of_console() as desk:
        found = list_waiting(desk.tx)
        for row in found:
            shown = desk.shown(Money(row.amount_minor, row.currency))
            since = f"received {row.received_on}, counts on {row.counts_on}"
            click.echo(f"{row.receipt_number}  {row.number}  {row.name}  {shown}  {since}")
    if not found:
        click.echo("No cheque is under way.")


def find_payment(desk: Any, receipt: str) -> Any:
    """The row of a payment by its receipt number; else a sentence."""
    from sqlalchemy import select

    from billing.tables import payment as payments

    query = select(payments).where(payments.c.receipt_number == receipt)
    return one(desk, query, f"There is no payment with the receipt {receipt!r}.")
