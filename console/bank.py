"""`tollkeeper bank`: statements are taken in, most lines settle themselves, and people decide the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, Desk, desk_of_console, find_subscriber
from console.progress import progress_bar

if TYPE_CHECKING:  # every command imports this module, and few need these
    from collections import Counter

    from base.money import Money
    from billing.bank.intake import Taken
    from billing.bank.match import Part
    from billing.importers.reader import Unreadable


@click.group()
def bank() -> None:
    """Bank statements: import them, look at what waits, and say whose it is."""


@bank.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mapping", default=None, help="Of a CSV file; default: the one whose columns the file has.")
def import_(file: Path, mapping: str | None) -> None:
    """Take in a statement (CAMT.053, MT940 or CSV) and match its lines; the same file again adds nothing."""
    from base import clock
    from billing.bank.intake import take_file
    from billing.bank.mappings import find_mapping
    from billing.importers.reader import Unreadable

    data = file.read_bytes()
    with desk_of_console() as desk:
        found = find_mapping(desk.tx, mapping, data)
        try:
            taken = take_file(desk.tx, desk.business, ACTOR, file.name, data, found, clock.now())
        except Unreadable as unreadable:
            raise unreadable_file(file, unreadable, "nothing is imported") from None
        lines = _told(desk, taken)
    for line in lines:
        click.echo(line)
    _settle("Matching")


@bank.command("match")
def match_() -> None:
    """Look at all that waits anew: since then somebody may owe what was paid, or be known."""
    from billing.bank.queue import look_again

    with desk_of_console() as desk:
        count = look_again(desk.tx, ACTOR)
    click.echo(f"{_count(count, 'line')} looked at again.")
    _settle("Matching")


@bank.command("queue")
@click.option("--state", default="queued", help="Or ignored, payout, outgoing, matched.")
def queue(state: str) -> None:
    """The lines that wait for a decision, the oldest first, with whom they are probably from."""
    from billing.bank.queue import list_lines

    with desk_of_console() as desk:
        rows = list_lines(desk.tx, state)
        names = _names(desk, [row.candidates[0]["subscriber_id"] for row in rows if row.candidates])
        for row in rows:
            guess = ""
            if row.candidates and row.state == "queued":
                best = row.candidates[0]
                guess = f"\tperhaps {names[best['subscriber_id']]} ({best['confidence']:.0%})"
            click.echo(f"{row.id}\t{row.day}\t{_amount(desk, row)}\t{row.counterparty}\t{row.text[:60]}{guess}")
        if not rows:
            click.echo(f"No line is {state}.")


@bank.command("show")
@click.argument("line", type=int)
def show(line: int) -> None:
    """Everything about a line: what the bank said, what became of it and why, and who may be meant."""
    from base.money import Money
    from billing.bank.queue import load_line, receipts_of

    with desk_of_console() as desk:
        row = load_line(desk.tx, line)
        said = {
            "day": row.day,
            "amount": desk.shown(Money(row.amount_minor, row.currency)),
            "of it waits": "" if row.left_minor is None else _amount(desk, row),
            "from" if row.amount_minor > 0 else "to": row.counterparty,
            "account": row.iban,
            "text": row.text,
            "bank's reference": row.bank_reference,
            "file": f"{row.file_name}, line {row.at_line}",
            "state": row.state,
            "because": row.why,
            "confidence": "" if row.confidence is None else f"{row.confidence} %",
            "receipts": ", ".join(receipts_of(desk.tx, row)),
            "decided by": row.author,
        }
        for what, value in said.items():
            if value:
                click.echo(f"{what}\t{value}")
        names = _names(desk, [each["subscriber_id"] for each in row.candidates])
        for each in row.candidates if row.state in ("queued", "ignored") else ():
            click.echo(f"  {each['confidence']:.0%}\t{names[each['subscriber_id']]}: {each['why']}")


@bank.command("accept")
@click.argument("line", type=int)
def accept(line: int) -> None:
    """Take the first candidate of a line, as `bank show` names it."""
    from base import clock
    from billing.bank.queue import accept as accept_line

    with desk_of_console() as desk:
        ids = accept_line(desk.tx, desk.vault, desk.business, ACTOR, line, clock.now())
        lines = _receipts(desk, ids)
    for each in lines:
        click.echo(each)


@bank.command("assign")
@click.argument("line", type=int)
@click.argument("whose", nargs=-1, required=True)
def assign(line: int, whose: tuple[str, ...]) -> None:
    """Say whose a line is: account or invoice numbers, with NUMBER=AMOUNT where it is divided.

    `assign 12 00042` gives all of it to an account, `assign 12 INV-000042 INV-000043` to these invoices first,
    `assign 12 00042=29.99 INV-000107=24.99` divides it.
    """
    from base import clock
    from billing.bank.queue import assign as assign_line
    from billing.bank.queue import load_line

    with desk_of_console() as desk:
        row = load_line(desk.tx, line)
        parts = _parts(desk, row, whose)
        ids = assign_line(desk.tx, desk.vault, desk.business, ACTOR, line, parts, clock.now())
        lines = _receipts(desk, ids)
    for each in lines:
        click.echo(each)


@bank.command("ignore")
@click.argument("line", type=int)
@click.option("--because", required=True, help="Why it is no subscriber's money.")
def ignore(line: int, because: str) -> None:
    """Say that a line is no subscriber's money; it can still be assigned later."""
    from base import clock
    from billing.bank.queue import ignore as ignore_line

    with desk_of_console() as desk:
        ignore_line(desk.tx, ACTOR, line, because, clock.now())
    click.echo(f"Line {line} is ignored: {because}")


def _settle(label: str) -> None:
    """Match what is new, with a bar, and say what became of it and what waits now."""
    from base import clock
    from billing.bank.queue import sums
    from billing.bank.settling import settle_all

    with desk_of_console() as desk:
        vault = desk.vault
    with progress_bar(label) as tell:
        done = settle_all(vault, clock.now(), tell)
    with desk_of_console() as desk:
        for each in _settled(done):
            click.echo(each)
        waiting = [each for each in sums(desk.tx, desk.business.currency) if each.state == "queued"]
        for row in waiting:
            words = "is in the queue" if row.lines == 1 else "are in the queue"
            click.echo(f"{_count(row.lines, 'line')} of {desk.shown(row.amount)} {words}: `tollkeeper bank queue`.")


def _settled(done: "Counter[str]") -> list[str]:
    return [f"{state}\t{done[state]:,}" for state in ("matched", "queued") if done[state]]


def _told(desk: Desk, taken: "Taken") -> list[str]:
    """What a file held."""
    if taken.again:
        return [f"This very file was taken before; its {_count(taken.lines, 'line')} are here. Nothing is added."]
    days = f", {taken.first} to {taken.last}" if taken.first else ""
    sums = "the sum is right" if taken.checked else "it says no balances, so its sum could not be checked"
    return [
        f"{taken.format}: {_count(taken.lines, 'line')}{days}; {sums}.",
        f"came in\t{desk.shown(taken.incoming)}",
        f"left\t{desk.shown(taken.outgoing)}",
        f"new\t{taken.new:,}",
        *([f"here already\t{taken.lines - taken.new:,}"] if taken.lines > taken.new else []),
        *(f"{state}\t{count:,}" for state, count in taken.aside.items()),
    ]


def unreadable_file(file: Path, unreadable: "Unreadable", so: str) -> click.ClickException:
    """Every fault on a line of its own, and the sentence that ends the command."""
    for fault in unreadable.faults:
        where = f"line {fault.line}" if fault.line else "the file"
        column = f", {fault.column}" if fault.column else ""
        click.echo(f"{where}{column}: {fault.sentence}")
    count = _count(len(unreadable.faults), "fault")
    return click.ClickException(f"{count} in {file.name}; {so}.")


def _parts(desk: Desk, row: Any, whose: tuple[str, ...]) -> "list[Part]":
    """NUMBER or NUMBER=AMOUNT, of accounts or invoices, as parts by subscriber."""
    from sqlalchemy import select

    from billing.bank.match import Part
    from billing.bank.queue import left_of
    from billing.tables import invoice

    invoices: dict[int, tuple[int, ...]] = {}
    amounts: dict[int, Money | None] = {}
    for each in whose:
        number, sign, amount = each.partition("=")
        found = desk.tx.execute(select(invoice).where(invoice.c.number == number)).one_or_none()
        payer = find_subscriber(desk, number) if found is None else int(found.subscriber_id)
        invoices[payer] = (*invoices.get(payer, ()), *((found.id,) if found is not None else ()))
        before = amounts.setdefault(payer, None)
        if sign:
            more = desk.money(amount, row.currency)
            amounts[payer] = more if before is None else before + more
    if len(amounts) == 1 and None in amounts.values():
        amounts = dict.fromkeys(amounts, left_of(row))
    if None in amounts.values():
        raise click.ClickException("Several subscribers are named: say NUMBER=AMOUNT for each.")
    return [Part(payer, amount, invoices[payer]) for payer, amount in amounts.items() if amount is not None]


def _receipts(desk: Desk, payment_ids: list[int]) -> list[str]:
    """A sentence for each payment."""
    from sqlalchemy import func, select

    from base.money import Money
    from billing.tables import payment

    query = select(payment).where(payment.c.id == func.any(payment_ids)).order_by(payment.c.id)
    rows = desk.tx.execute(query).all()
    names = _names(desk, [row.subscriber_id for row in rows])
    return [
        f"{row.receipt_number}: {desk.shown(Money(row.amount_minor, row.currency))} from {names[row.subscriber_id]}."
        for row in rows
    ]


def _names(desk: Desk, subscriber_ids: list[int]) -> dict[int, str]:
    from sqlalchemy import func, select

    from base.tables import subscriber

    query = select(subscriber).where(subscriber.c.id == func.any(subscriber_ids))
    return {row.id: f"{row.number} {row.name}" for row in desk.tx.execute(query)}


def _amount(desk: Desk, row: Any) -> str:
    """How much is decided about."""
    from billing.bank.queue import left_of

    return desk.shown(left_of(row))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
