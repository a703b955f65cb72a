"""`tollkeeper worklist`: what a person has to look at about money, and today's collection."""

from collections.abc import Sequence

import click

from console.desk import ACTOR, desk_of_console


@click.group()
def worklist() -> None:
    """What a person has to look at: failing payments, unknown outcomes, unmatched money, disputes, cards."""


@worklist.command("list")
@click.option("--owner", default="", help="Only what this one has taken (staff:3, console).")
@click.option("--kind", default="", help="Only these: failing, unknown, refund, dispute, bank, payout, suspense, card.")
@click.option("--due", is_flag=True, help="Only what has no next date, or one that has come.")
def worklist_list(owner: str, kind: str, due: bool) -> None:
    """List everything, what has a next date first."""
    from billing.clearing.worklist import worklist as items

    with desk_of_console() as desk:
        found = items(desk.tx, desk.business, owner=owner, by=desk.today if due else None)
        rows = [
            (
                each.name,
                each.found.who,
                "" if each.found.amount is None else desk.shown(each.found.amount),
                each.found.what,
                str(each.found.due or ""),
                each.owner,
                str(each.next_on or ""),
                each.note,
            )
            for each in found
            if kind in ("", each.kind)
        ]
    _table(("name", "who", "amount", "what", "by itself on", "owner", "next", "note"), rows, "Nothing waits.")


@worklist.command("sums")
def worklist_sums() -> None:
    """How much waits of each kind, failing payments by their next step."""
    from base.money import Money
    from billing.clearing.worklist import sums
    from billing.clearing.worklist import worklist as items

    with desk_of_console() as desk:
        rows = [
            (kind, step, str(count), desk.shown(Money(minor, code)) if code else "")
            for kind, step, code, minor, count in sums(items(desk.tx, desk.business))
        ]
    _table(("kind", "next step", "how many", "sum"), rows, "Nothing waits.")


@worklist.command("take")
@click.argument("name")
@click.option("--for", "owner", default="", help="Who looks after it (staff:3); default: this console.")
def worklist_take(name: str, owner: str) -> None:
    """Look after NAME (failing:7)."""
    from billing.clearing.worklist import take

    with desk_of_console() as desk:
        take(desk.tx, desk.business, ACTOR, name, owner)
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
@click.option("--note", "words", default="", help="Why it is done.")
def worklist_done(name: str, words: str) -> None:
    """Take NAME off the list although its cause lasts."""
    from billing.clearing.worklist import done

    with desk_of_console() as desk:
        done(desk.tx, desk.business, ACTOR, name, words)
    click.echo("It is done.")


@worklist.command("today")
@click.option("--on", "on", default=None, help="Another day.")
def worklist_today(on: str | None) -> None:
    """Show a day's collection: what came in, what autopay tries, what is under way, what failed and went back."""
    from datetime import timedelta

    from base.calendar import local_midnight
    from billing.clearing.worklist import todays_collection

    with desk_of_console() as desk:
        day, zone = desk.day(on), desk.business.zone
        ends = local_midnight(day + timedelta(days=1), zone)
        found = todays_collection(desk.tx, day, local_midnight(day, zone), ends)
        told = [(f"came in by {method}", amount, times) for method, amount, times in found.came_in]
        told += [("is tried by autopay", *each) for each in found.to_be_tried]
        told += [("is under way or unknown", *each) for each in found.under_way]
        told += [("was refused by cards", *each) for each in found.failed]
        told += [(f"went back: {kind}", amount, times) for kind, amount, times in found.went_back]
        rows = [(what, str(times), desk.shown(amount)) for what, amount, times in told]
    _table(("what", "how many", "sum"), rows, "Nothing was collected.")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """Columns under their heads, those that are empty left out."""
    if not rows:
        click.echo(nothing)
        return
    used = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    widths = {at: max(len(heads[at]), *(len(row[at]) for row in rows)) for at in used}
    for row in (heads, *rows):
        click.echo("  ".join(row[at].ljust(widths[at]) for at in used).rstrip())
