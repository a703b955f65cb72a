"""`tollkeeper clearing`: money between the payer and the bank."""

import csv
import sys

import click

from console.desk import ACTOR, desk_of_console, find_subscriber


@click.group()
def clearing() -> None:
    """Stripe's side of the books: balance, payouts, suspense."""


@clearing.command("show")
def clearing_show() -> None:
    """Compare Stripe's balance, as last read, with our books; exits 1 when a difference has no known reason."""
    from billing.clearing.old_accounts import in_words, left_behind
    from billing.clearing.reconcile import WORDS, reconcile

    with desk_of_console() as desk:
        found = reconcile(desk.tx)
        for side in found.sides:
            lies = f"{desk.shown(side.available)} available, {desk.shown(side.pending)} pending"
            click.echo(f"{side.booked.currency}  Stripe: {lies}; our books: {desk.shown(side.booked)}")
            click.echo(f"     on the way to the bank: {desk.shown(side.on_the_way)}; in suspense: ", nl=False)
            click.echo(desk.shown(side.suspense))
            for each in side.items:
                click.echo(
                    f"     {desk.shown(each.amount)}  {WORDS[each.why]}  {each.reference} {each.day or ''}".rstrip()
                )
            if side.unexplained:
                click.echo(f"     {desk.shown(side.unexplained)}  unexplained")
        for left in left_behind(desk.tx, desk.business):
            click.echo(in_words(left, desk.business))
    if not found.explained:
        sys.exit(1)
    click.echo("They agree." if found.agrees else "Every difference has its reason.")


@clearing.command("fetch")
def clearing_fetch() -> None:
    """Fetch now what moved at Stripe; workers do it every hour."""
    from billing.clearing.fetch import fetch
    from billing.gateway.words import GatewayError

    with desk_of_console() as desk:
        vault = desk.vault
    try:
        click.echo(f"{fetch(vault)} movements are new.")
    except GatewayError as error:
        raise click.ClickException(str(error)) from None


@clearing.command("payouts")
@click.argument("payout_id", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="The contents as CSV.")
def clearing_payouts(payout_id: str | None, as_csv: bool) -> None:
    """List the last payouts, or what PAYOUT_ID (po_…) paid out: payments, refunds, fees."""
    from base.i18n import decimal_text
    from base.money import Money
    from billing.clearing.payouts import contents, last_payouts

    with desk_of_console() as desk:
        if payout_id is None:
            for row in last_payouts(desk.tx):
                bank = f"at the bank since {row.banked_on}" if row.banked_on else f"expected on {row.arrives_on}"
                back = f", sent back on {row.returned_on}" if row.returned_on else ""
                amount = desk.shown(Money(row.amount_minor, row.currency))
                click.echo(f"{row.payout_id}  {amount}  {row.state}  {bank}{back}  {row.failure}".rstrip())
            return
        found = contents(desk.tx, payout_id)
        if as_csv:
            out = csv.writer(sys.stdout, lineterminator="\n")
            out.writerow(("transaction", "type", "amount", "fee", "currency", "reference", "receipt"))
            for each in found:
                sums = (decimal_text(each.amount), decimal_text(each.fee), each.amount.currency)
                out.writerow((each.txn_id, each.type, *sums, each.reference, each.receipt))
            return
        for each in found:
            click.echo(
                f"{each.type}  {desk.shown(each.amount)}  fee {desk.shown(each.fee)}  {each.reference}  {each.receipt}"
            )
    if not found:
        raise click.ClickException(f"Nothing is known of a payout {payout_id}.")


@clearing.command("suspense")
def clearing_suspense() -> None:
    """List what other business moved on the account, until it is assigned or left."""
    from base.money import Money
    from billing.clearing.suspense import in_suspense

    with desk_of_console() as desk:
        for row in in_suspense(desk.tx):
            amount = desk.shown(Money(row.amount_minor, row.currency))
            click.echo(f"{row.txn_id}  {row.made_at:%Y-%m-%d}  {row.type}  {amount}  {row.description}")


@clearing.command("assign")
@click.argument("txn_id")
@click.argument("account")
def clearing_assign(txn_id: str, account: str) -> None:
    """Record a charge in suspense (txn_…) as a payment of the subscriber with this account number."""
    from billing.clearing.suspense import assign

    with desk_of_console() as desk:
        try:
            assign(desk.tx, desk.vault, desk.business, ACTOR, txn_id, find_subscriber(desk, account))
        except LookupError as error:
            raise click.ClickException(str(error)) from None
    click.echo("It is recorded.")


@clearing.command("leave")
@click.argument("txn_id")
@click.option("--because", required=True)
def clearing_leave(txn_id: str, because: str) -> None:
    """Say that a movement in suspense is none of ours."""
    from billing.clearing.suspense import leave

    with desk_of_console() as desk:
        try:
            leave(desk.tx, ACTOR, txn_id, because)
        except LookupError as error:
            raise click.ClickException(str(error)) from None
    click.echo("It is left in suspense.")


@clearing.command("banked")
@click.argument("payout_id")
@click.option("--line", type=int, default=None, help="The bank's line that it is (bank queue --state payout).")
@click.option("--on", "day", default=None, help="The day, where there is no line; default: today.")
@click.option("--back", is_flag=True, help="The bank took it out again; of a line its sign says so.")
def clearing_banked(payout_id: str, line: int | None, day: str | None, back: bool) -> None:
    """Say that PAYOUT_ID (po_...) is at the bank, where it was not matched by itself."""
    from base import clock
    from billing.bank.payouts import name_line
    from billing.clearing.payouts import match_by_hand

    with desk_of_console() as desk:
        try:
            if line is None:
                match_by_hand(desk.tx, ACTOR, payout_id, desk.day(day), back=back)
            else:
                name_line(desk.tx, ACTOR, payout_id, line, clock.now())
        except LookupError as error:
            raise click.ClickException(str(error)) from None
    click.echo("It is booked.")


@clearing.command("book-out")
@click.argument("account")
@click.option("--kept", default=None, help="What Stripe kept of it; the rest is on its way to the bank.")
@click.option("--currency", default=None, help="Of what Stripe kept.")
def clearing_book_out(account: str, kept: str | None, currency: str | None) -> None:
    """Say that Stripe paid out all that lay at ACCOUNT (acct_...), which the key no longer opens."""
    from billing.clearing.old_accounts import book_out

    with desk_of_console() as desk:
        fee = None if kept is None else desk.money(kept, currency)
        names = book_out(desk.tx, desk.business, ACTOR, account, fee)
    click.echo("It is booked out." + "".join(f" The bank's line of {each} is matched when it comes." for each in names))
