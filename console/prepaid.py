"""`tollkeeper prepaid` and `voucher`: time that the balance pays for, and the cards that fill it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, Desk, desk_of_console, one

if TYPE_CHECKING:  # every command imports this module, and few need these
    from base.business import Business
    from billing.account_documents import Voucher


@click.group()
def prepaid() -> None:
    """Prepaid services; they are named by their login."""


@prepaid.command("show")
@click.argument("login")
def prepaid_show(login: str) -> None:
    """Say until when a service is paid, what its next period costs, and what the balance is."""
    from base import clock
    from base.i18n import format_instant
    from billing.prepaid.renewal import balance_of, offer_of

    with desk_of_console() as desk:
        row = _service(desk, login)
        offer = offer_of(desk.tx, desk.business, row.id, clock.now())
        if offer is None:
            raise click.ClickException("No prepaid period follows for this service.")
        zone, language = desk.business.zone, desk.business.language
        paid = None if row.paid_until is None else format_instant(row.paid_until, zone, language)
        until = "not paid yet" if paid is None else f"paid until {paid}"
        how = "renews itself" if row.auto_renew else "does not renew itself"
        balance = desk.shown(balance_of(desk.tx, row.payer_id))
        price = desk.shown(offer.price)
        click.echo(f"{login}: {until}, {how}; the next period costs {price}, the balance is {balance}.")


@prepaid.command("renew")
@click.argument("login")
def prepaid_renew(login: str) -> None:
    """Begin the next period now, from the balance, where the paid time is over."""
    from base.i18n import format_instant
    from billing.prepaid.deeds import renew_now

    with desk_of_console() as desk:
        until = renew_now(desk.tx, desk.vault, ACTOR, _service(desk, login).id)
        shown = format_instant(until, desk.business.zone, desk.business.language)
    click.echo(f"{login} is paid until {shown}.")


@prepaid.command("auto-renew")
@click.argument("login")
@click.argument("switch", type=click.Choice(["on", "off"]))
def prepaid_auto_renew(login: str, switch: str) -> None:
    """Have a service renew itself from the balance, or end with the time that is paid for."""
    from billing.prepaid.deeds import set_auto_renew

    with desk_of_console() as desk:
        set_auto_renew(desk.tx, desk.vault, ACTOR, _service(desk, login).id, switch == "on")
    how = "renews itself from the balance" if switch == "on" else "ends with the time that is paid for"
    click.echo(f"{login} {how}.")


@click.group()
def voucher() -> None:
    """Vouchers: made in batches, printed once, redeemed once."""


@voucher.group()
def batch() -> None:
    """Batches of vouchers, which are named by their name."""


@batch.command("add")
@click.argument("name")
@click.argument("value")
@click.argument("count", type=int)
@click.option("--valid-until", default=None, help="Last day on which they are taken; not given: they stay valid.")
def batch_add(name: str, value: str, count: int, valid_until: str | None) -> None:
    """Make COUNT vouchers worth VALUE each; `voucher batch print` brings out their codes."""
    from base import clock
    from billing.prepaid.vouchers import add_batch

    with desk_of_console() as desk:
        last = None if valid_until is None else desk.day(valid_until)
        add_batch(
            desk.tx, desk.vault, ACTOR, name=name, value=desk.money(value), count=count, valid_until=last,
            today=desk.today, now=clock.now(),
        )  # fmt: skip
    click.echo(f"{count} vouchers are made; print them with: voucher batch print {name!r} -o vouchers.pdf")


@batch.command("print")
@click.argument("name")
@click.option("-o", "--out", required=True, multiple=True, type=click.Path(dir_okay=False, path_type=Path))
def batch_print(name: str, out: tuple[Path, ...]) -> None:
    """Write the cards of a batch to FILE.pdf, or their codes to FILE.csv for a print shop; -o may be given for both.

    It is done once: afterwards nobody can read the codes from the database.
    """
    from base import clock
    from billing.prepaid.vouchers import find_batch, take_codes

    for path in out:
        if path.suffix not in (".pdf", ".csv"):
            raise click.ClickException(f"{path.name} is neither a .pdf nor a .csv.")
    with desk_of_console() as desk:
        from base.money import Money

        row = find_batch(desk.tx, name)
        words = desk.shown(Money(row.value_minor, row.currency))
        cards = take_codes(desk.tx, desk.vault, ACTOR, name, words, clock.now())
        for path in out:
            _keep(path, _csv(cards) if path.suffix == ".csv" else _sheet(desk, desk.business, cards))
    click.echo(f"{len(cards)} cards are in {', '.join(str(path) for path in out)}; the codes are kept nowhere else.")


@batch.command("sell")
@click.argument("name")
@click.option("--for", "amount", default=None, help="For all together; default: what they are worth.")
@click.option("--by", "method", default="cash", show_default=True, help="cash or transfer.")
def batch_sell(name: str, amount: str | None, method: str) -> None:
    """Book that a whole batch was sold: a liability until the vouchers are redeemed."""
    from billing.prepaid.vouchers import sell_batch

    with desk_of_console() as desk:
        money = None if amount is None else desk.money(amount)
        sell_batch(desk.tx, ACTOR, name, method=method, amount=money, today=desk.today)
    click.echo(f"{name} is booked as sold.")


@batch.command("void")
@click.argument("name")
@click.option("--because", "reason", required=True, help="For the record.")
@click.option("--paid-back", default=None, help="What whoever bought them gets back; default: nothing.")
@click.option("--by", "method", default="cash", show_default=True, help="cash or transfer.")
def batch_void(name: str, reason: str, paid_back: str | None, method: str) -> None:
    """Take the vouchers of a batch no longer; what was redeemed stays, what was sold is booked out."""
    from base import clock
    from billing.prepaid.vouchers import void_batch

    with desk_of_console() as desk:
        back = None if paid_back is None else desk.money(paid_back)
        left = void_batch(desk.tx, ACTOR, name, reason, clock.now(), today=desk.today, paid_back=back, method=method)
    click.echo(f"{left} vouchers are void.")


@voucher.command("list")
def voucher_list() -> None:
    """List the batches: value, how many were redeemed, sold, printed, void."""
    from billing.prepaid.vouchers import list_batches

    with desk_of_console() as desk:
        for each in list_batches(desk.tx):
            parts = [f"{each.redeemed} of {each.size} redeemed"]
            parts += [] if each.valid_until is None else [f"valid until {each.valid_until}"]
            sold = None if each.sold_for is None else f"sold for {desk.shown(each.sold_for)} on {each.sold_on}"
            parts += [sold or "not sold"]
            parts += ["not printed" if each.printed_at is None else "printed"] + ["void"] * (each.voided_at is not None)
            click.echo(f"{each.name}\t{desk.shown(each.value)}\t{', '.join(parts)}")


@voucher.command("redeem")
@click.argument("who")
@click.argument("code")
def voucher_redeem(who: str, code: str) -> None:
    """Put a voucher on the balance of WHO: an account number, or the login of a service that they pay for."""
    from sqlalchemy import or_, select

    from base import clock
    from base.tables import service, subscriber
    from billing.prepaid.redemption import redeem

    with desk_of_console() as desk:
        payer = select(service.c.payer_id).where(service.c.login == who).scalar_subquery()
        query = select(subscriber.c.id).where(or_(subscriber.c.number == who, subscriber.c.id == payer))
        # an account number before a login that looks like one
        query = query.order_by(subscriber.c.number != who).limit(1)
        found = one(desk, query, f"There is no subscriber and no service {who!r}.")
        done = redeem(desk.tx, desk.vault, found.id, code, clock.now(), ACTOR)
    if done.amount is None:  # after the commit: a wrong code is remembered
        raise click.ClickException(done.sentence)
    click.echo(done.sentence)


def _service(desk: Desk, login: str) -> Any:
    from sqlalchemy import select

    from base.tables import service

    return one(desk, select(service).where(service.c.login == login), f"There is no service with the login {login!r}.")


def _csv(cards: "list[Voucher]") -> bytes:
    """One card a line, with a heading."""
    import csv
    from io import StringIO

    text = StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["code", "value", "valid_until"])
    rows.writerows([card.code, card.value, card.valid_until or ""] for card in cards)
    return text.getvalue().encode()


def _sheet(desk: Desk, business: "Business", cards: "list[Voucher]") -> bytes:
    from billing.documents import render_pdf, vouchers_html

    return render_pdf(vouchers_html(desk.tx, business, cards))


def _keep(path: Path, content: bytes) -> None:
    """Write a new file that only its owner reads, and have it on disk before the codes are erased."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None
