"""`tollkeeper refund`, `reverse` and `dispute`: money that goes back. Payments are named by their receipt number."""

import click

from console.desk import ACTOR, desk_of_console, find_subscriber
from console.payments import find_payment


@click.group()
def refund() -> None:
    """Give money back: a payment, or a subscriber's credit."""


@refund.command("payment")
@click.argument("receipt")
@click.option("--amount", help="Default: all that is left of it.")
@click.option("--by", "way", type=click.Choice(["card", "cash", "transfer"]), default="card", show_default=True)
@click.option("--because", "reason", required=True)
def refund_payment(receipt: str, amount: str | None, way: str, reason: str) -> None:
    """Give back a payment or part of it; what it had settled is open again and dunned anew from today."""
    from base import clock
    from billing.money_back.card import refund_to_card
    from billing.money_back.refunds import refund_by_hand

    with desk_of_console() as desk:
        paid = find_payment(desk, receipt)
        wanted = None if amount is None else desk.money(amount, paid.currency)
        if way == "card":
            refund_to_card(desk.tx, desk.business, desk.vault, ACTOR, paid.id, wanted, reason, clock.now())
        else:
            refund_by_hand(desk.tx, desk.vault, desk.business, ACTOR, paid.id, wanted, way, reason, clock.now())
    click.echo("It is sent to the card; `refund list` says what became of it." if way == "card" else "It is booked.")


@refund.command("credit")
@click.argument("account")
@click.option("--amount", help="Default: all of it.")
@click.option("--by", "way", type=click.Choice(["cash", "transfer"]), default="transfer", show_default=True)
@click.option("--because", "reason", required=True)
def refund_credit(account: str, amount: str | None, way: str, reason: str) -> None:
    """Pay out the credit that a subscriber has."""
    from sqlalchemy import select

    from base import clock
    from base.tables import subscriber
    from billing.money_back.refunds import pay_out_credit

    with desk_of_console() as desk:
        who = find_subscriber(desk, account)
        currency = desk.tx.execute(select(subscriber.c.currency).where(subscriber.c.id == who)).scalar_one()
        wanted = None if amount is None else desk.money(amount, currency)
        pay_out_credit(desk.tx, desk.vault, desk.business, ACTOR, who, wanted, way, reason, clock.now())
    click.echo("It is booked.")


@refund.command("list")
@click.argument("account")
def refund_list(account: str) -> None:
    """Show what went back of a subscriber's money, and what is disputed."""
    from base.money import Money
    from billing.money_back.refunds import gone_of

    with desk_of_console() as desk:
        for row in gone_of(desk.tx, find_subscriber(desk, account)):
            shown = desk.shown(Money(row.amount_minor, row.currency))
            note = f" ({row.note})" if row.note else ""
            click.echo(f"{row.on_day}  {row.kind} of {row.number}  {shown}  {row.way}  {row.state}{note}  {row.reason}")


@click.command()
@click.argument("receipt")
@click.option("--because", "reason", required=True, help="Bounced, returned, wrong subscriber ...")
@click.option("--fee", help="Net; charged to who had paid.")
@click.option("--move-to", "account", help="Account number of the subscriber whose money it was.")
def reverse(receipt: str, reason: str, fee: str | None, account: str | None) -> None:
    """Take a recorded payment back, or move it to another subscriber in the same act."""
    from base import clock
    from billing.money_back.reversals import reverse_payment

    with desk_of_console() as desk:
        paid = find_payment(desk, receipt)
        reverse_payment(
            desk.tx,
            desk.vault,
            desk.business,
            ACTOR,
            paid.id,
            reason,
            clock.now(),
            fee=None if fee is None else desk.money(fee, paid.currency),
            move_to=None if account is None else find_subscriber(desk, account),
        )
    click.echo(f"{receipt} is reversed.")


@click.group()
def dispute() -> None:
    """Card payments that their cardholder denies."""


@dispute.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are decided too.")
def dispute_list(everything: bool) -> None:
    """Show disputes under way; they are answered on Stripe's pages."""
    from base.money import Money
    from billing.money_back.disputes import list_disputes

    with desk_of_console() as desk:
        for row in list_disputes(desk.tx, everything=everything):
            shown = desk.shown(Money(row.amount_minor, row.currency))
            click.echo(f"{row.gateway_id}  {row.account} {row.name}  {row.number}  {shown}  {row.state}  {row.reason}")
