"""`tollkeeper clearing`, `cashier` and `worklist`: money between the payer and the bank, tills, what is to be done."""

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


@click.group()
def cashier() -> None:
    """Tills: each cashier's day, counted and closed."""


@cashier.command("list")
@click.option("--days", "back", type=int, default=31, show_default=True)
def cashier_list(back: int) -> None:
    """List each cashier's days with cash."""
    from datetime import timedelta

    from base.money import Money
    from billing.clearing.till import days

    with desk_of_console() as desk:
        for each in days(desk.tx, desk.today - timedelta(days=back)):
            state = "open"
            if each.closed is not None:
                counted = Money(each.closed.counted_minor, each.closed.currency)
                state = f"closed with {desk.shown(counted)}  {each.closed.note}".rstrip()
            click.echo(f"{each.day}  {each.cashier}  {each.payments} payments, {desk.shown(each.expected)}  {state}")


@cashier.command("close")
@click.argument("name")
@click.argument("counted")
@click.option("--on", "day", default=None, help="The day; default: today.")
@click.option("--currency", default=None)
@click.option("--note", default="", help="Why the till differs.")
@click.option("--reopen", default="", help="Open the day again instead, for this reason.")
def cashier_close(name: str, counted: str, day: str | None, currency: str | None, note: str, reopen: str) -> None:
    """Close the day of the cashier NAME (staff:3, console) with what was COUNTED in the till."""
    from billing.clearing.till import close_day, reopen_day

    with desk_of_console() as desk:
        on, amount = desk.day(day), desk.money(counted, currency)
        if reopen:
            reopen_day(desk.tx, name, on, amount.currency, author=ACTOR, because=reopen)
        else:
            close_day(desk.tx, desk.business, name, on, amount, author=ACTOR, note=note)
    click.echo(f"{on} of {name} is {'open again' if reopen else 'closed'}.")


@click.group()
def worklist() -> None:
    """What a person has to look at: failing payments, unknown outcomes, unmatched money, disputes, cards."""


@worklist.command("list")
@click.option("--owner", default="", help="Only what this one has taken.")
def worklist_list(owner: str) -> None:
    """List everything, what has a next date first."""
    from billing.clearing.worklist import worklist as items

    with desk_of_console() as desk:
        for each in items(desk.tx, desk.business, owner=owner):
            amount = "" if each.found.amount is None else desk.shown(each.found.amount)
            said = "  ".join(str(word) for word in (each.owner, each.next_on or "", each.note) if word)
            click.echo(f"{each.name}  {each.found.who}  {amount}  {each.found.what}  {said}".rstrip())


@worklist.command("take")
@click.argument("name")
def worklist_take(name: str) -> None:
    """Look after NAME (failing:7)."""
    from billing.clearing.worklist import take

    with desk_of_console() as desk:
        take(desk.tx, desk.business, ACTOR, name)
    click.echo("It is taken.")


@worklist.command("note")
@click.argument("name")
@click.argument("words")
@click.option("--next", "next_on", default=None, help="Day on which it is looked at next.")
def worklist_note(name: str, words: str, next_on: str | None) -> None:
    """Note something about NAME."""
    from billing.clearing.worklist import note

    with desk_of_console() as desk:
        note(desk.tx, desk.business, ACTOR, name, words, None if next_on is None else desk.day(next_on))
    click.echo("It is noted.")


@worklist.command("done")
@click.argument("name")
def worklist_done(name: str) -> None:
    """Take NAME off the list although its cause lasts."""
    from billing.clearing.worklist import done

    with desk_of_console() as desk:
        done(desk.tx, desk.business, ACTOR, name)
    click.echo("It is done.")


@worklist.command("today")
def worklist_today() -> None:
    """Show today's collection: what came in, what autopay tries today, what failed."""
    from datetime import datetime, time, timedelta

    from billing.clearing.worklist import todays_collection

    with desk_of_console() as desk:
        begins = datetime.combine(desk.today, time(), desk.business.zone)
        ends = datetime.combine(desk.today + timedelta(days=1), time(), desk.business.zone)
        found = todays_collection(desk.tx, desk.today, begins, ends)
        for method, amount, times in found.came_in:
            click.echo(f"came in by {method}: {desk.shown(amount)} ({times})")
        for amount, times in found.to_be_tried:
            click.echo(f"is tried today: {desk.shown(amount)} ({times})")
        for amount, times in found.failed:
            click.echo(f"failed: {desk.shown(amount)} ({times})")
