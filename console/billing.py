"""`tollkeeper service`, `charge` and `invoice`: what an operator does with them without the portal."""

from typing import Any

import click

from console.desk import ACTOR, Desk, desk_of_console, find_plan, find_subscriber, one, whole
from console.services import ORDERS, service_add, service_show


@click.group()
def service() -> None:
    """What changes in the life of a service; services are named by their login."""


for _command in (service_add, service_show, *ORDERS):
    service.add_command(_command)


@service.command("change-plan")
@click.argument("login")
@click.argument("plan_name", metavar="PLAN")
@click.option("--at-boundary", is_flag=True, help="When the billed time is over, instead of now.")
@click.option("--try", "try_out", is_flag=True, help="Only say what it would cost; nothing is changed.")
def service_change_plan(login: str, plan_name: str, at_boundary: bool, try_out: bool) -> None:
    """Put a service on another PLAN (name or id), now with exact proration or at the next boundary."""
    from billing.changes import change_plan, preview_change

    with desk_of_console() as desk:
        service_id, plan_id = _service(desk, login), find_plan(desk, plan_name).id
        if try_out:
            found = preview_change(desk.tx, desk.vault, ACTOR, service_id, plan_id, at_boundary=at_boundary)
            click.echo(
                f"From {found.on}: {desk.shown(found.credited)} given back, {desk.shown(found.charged)} charged."
            )
            return
        day = change_plan(desk.tx, desk.vault, ACTOR, service_id, plan_id, at_boundary=at_boundary)
    click.echo(f"{login} has the plan from {day} on.")


@service.command("pause")
@click.argument("login")
@click.option("--from", "start", default=None, help="First day; default: today.")
@click.option("--until", "end", default=None, help="First day that is billed again; default: until `service resume`.")
@click.option("--note", default="", help="For the record.")
def service_pause(login: str, start: str | None, end: str | None, note: str) -> None:
    """Pause a service: it reaches only the portal, and the days are not billed."""
    from billing.changes import pause

    with desk_of_console() as desk:
        until = None if end is None else desk.day(end)
        pause(desk.tx, desk.vault, ACTOR, _service(desk, login), desk.day(start), until, note)
    click.echo(f"{login} is paused; what was billed for these days is given back.")


@service.command("resume")
@click.argument("login")
def service_resume(login: str) -> None:
    """End a pause."""
    from billing.changes import resume

    with desk_of_console() as desk:
        resume(desk.tx, desk.vault, ACTOR, _service(desk, login))
    click.echo(f"{login} is back.")


@service.command("cancel")
@click.argument("login")
@click.option("--on", "day", default=None, help="First day without it; default: today.")
@click.option("--because", "reason", required=True, help="For the reports: moved, price, non-payment ...")
@click.option("--waive", is_flag=True, help="Charge nothing for leaving before the term is over.")
def service_cancel(login: str, day: str | None, reason: str, waive: bool) -> None:
    """End a service; the final bill gives back unused days and deposits."""
    from billing.endings import cancel

    with desk_of_console() as desk:
        cancel(desk.tx, desk.vault, ACTOR, _service(desk, login), desk.day(day), reason, waive=waive)
    click.echo(f"{login} ends on {day or 'this day'}.")


@service.command("keep")
@click.argument("login")
def service_keep(login: str) -> None:
    """Take back a planned end."""
    from billing.endings import keep

    with desk_of_console() as desk:
        keep(desk.tx, desk.vault, ACTOR, _service(desk, login))
    click.echo(f"{login} stays.")


@service.command("price")
@click.argument("login")
@click.argument("price", required=False)
@click.option("--because", "reason", required=True, help="Somebody will ask.")
def service_price(login: str, price: str | None, reason: str) -> None:
    """Give a service a price of its own per period, or without PRICE its plan's again."""
    from billing.changes import set_price

    with desk_of_console() as desk:
        amount = None if price is None else desk.money(price)
        set_price(desk.tx, desk.vault, ACTOR, _service(desk, login), amount, reason)
    click.echo(f"{login} costs {price or 'what its plan costs'} from its next period on.")


@service.command("payer")
@click.argument("login")
@click.argument("number")
def service_payer(login: str, number: str) -> None:
    """Let the subscriber with account NUMBER pay for a service from its next bill on."""
    from billing.changes import set_payer

    with desk_of_console() as desk:
        set_payer(desk.tx, desk.vault, ACTOR, _service(desk, login), find_subscriber(desk, number))
    click.echo(f"{number} pays for {login}.")


@service.command("move")
@click.argument("login")
@click.argument("address")
@click.option("--on", "day", default=None, help="First day there; default: today.")
@click.option("--nas", "nas_name", default=None, help="Name of the NAS that serves the new address.")
@click.option("--port", default="", help="Port there, as the NAS names it.")
def service_move(login: str, address: str, day: str | None, nas_name: str | None, port: str) -> None:
    """Move a service to another ADDRESS; contract, plan and history stay."""
    from sqlalchemy import select

    from base.tables import nas
    from billing.moves import move

    with desk_of_console() as desk:
        nas_id = None
        if nas_name is not None:
            nas_id = one(desk, select(nas.c.id).where(nas.c.name == nas_name), f"There is no NAS {nas_name!r}.").id
        lines = address.replace("\\n", "\n")
        move(desk.tx, desk.vault, ACTOR, _service(desk, login), lines, desk.day(day), nas_id=nas_id, port=port)
    click.echo(f"{login} is at the new address from {day or 'today'} on.")


@service.command("hand-over")
@click.argument("login")
@click.argument("number")
def service_hand_over(login: str, number: str) -> None:
    """Give a line to the subscriber with account NUMBER today: final bill here, first bill there."""
    from billing.endings import hand_over

    with desk_of_console() as desk:
        hand_over(desk.tx, desk.vault, ACTOR, _service(desk, login), find_subscriber(desk, number))
    click.echo(f"{login} belongs to {number} from today on.")


@service.command("add-product")
@click.argument("login")
@click.argument("product")
@click.option("--quantity", type=int, default=1, help="How many (1).")
def service_add_product(login: str, product: str, quantity: int) -> None:
    """Give a service an add-on or rented equipment from today on, or charge a one-off or a deposit."""
    from billing.extras import sell_product

    with desk_of_console() as desk:
        sell_product(desk.tx, desk.vault, ACTOR, _service(desk, login), _product(desk, product), quantity=quantity)
    click.echo(f"{login} has {product}.")


@service.command("end-product")
@click.argument("login")
@click.argument("product")
def service_end_product(login: str, product: str) -> None:
    """End an add-on of a service today; days that were billed are given back."""
    from sqlalchemy import select

    from billing.extras import take_back_product
    from billing.tables import service_product

    with desk_of_console() as desk:
        of_service = service_product.c.service_id == _service(desk, login), service_product.c.until_on.is_(None)
        query = select(service_product.c.id).where(*of_service, service_product.c.product_id == _product(desk, product))
        row = one(desk, query.order_by(service_product.c.id).limit(1), f"{login} does not have {product}.")
        take_back_product(desk.tx, desk.vault, ACTOR, row.id)
    click.echo(f"{login} has {product} no longer.")


@service.command("discount")
@click.argument("login")
@click.argument("off", metavar="PERCENT%|AMOUNT")
@click.argument("text")
@click.option("--periods", type=int, default=None, help="For so many periods; default: for good.")
def service_discount(login: str, off: str, text: str, periods: int | None) -> None:
    """Make a service cheaper from its next period on: `service discount ann 10% "Loyal customer" --periods 6`."""
    from billing.extras import add_discount

    with desk_of_console() as desk:
        add_discount(
            desk.tx, desk.vault, ACTOR, _service(desk, login), text=text, cycles=periods,
            percent_off=off[:-1] if off.endswith("%") else None,
            amount_off=None if off.endswith("%") else desk.money(off),
        )  # fmt: skip
    click.echo(f"{login} has {off} off.")


@service.command("redeem")
@click.argument("login")
@click.argument("code")
def service_redeem(login: str, code: str) -> None:
    """Turn a coupon into a discount of a service."""
    from billing.extras import redeem_coupon

    with desk_of_console() as desk:
        redeem_coupon(desk.tx, desk.vault, ACTOR, _service(desk, login), code)
    click.echo(f"{code} is taken for {login}.")


@click.command()
@click.argument("number")
@click.argument("amount")
@click.argument("text")
@click.option("--kind", default="one_off", help="one_off, deposit, equipment, reconnection ... (one_off)")
@click.option("--tax", default="0", help="Percent (0).")
@click.option("--now", "at_once", is_flag=True, help="Worth an invoice of its own; else the next one takes it along.")
def charge(number: str, amount: str, text: str, kind: str, tax: str, at_once: bool) -> None:
    """Charge the subscriber with account NUMBER once: a net AMOUNT, and the TEXT that the invoice says."""
    from billing.charges import add_charge
    from billing.plans import class_of_percent

    with desk_of_console() as desk:
        add_charge(
            desk.tx,
            subscriber_id=find_subscriber(desk, number),
            kind=kind,
            text=text,
            amount=desk.money(amount),
            tax_class_id=class_of_percent(desk.tx, ACTOR, tax),
            on_day=desk.today,
            bill_on=desk.today if at_once else None,
            author=ACTOR,
        )
    when = "by an invoice of its own, with the next run" if at_once else "with the next invoice"
    click.echo(f"{number} is charged {amount} {when}.")


@click.group()
def invoice() -> None:
    """Give invoices back, or give them up; invoices are named by their number."""


@invoice.command("start-at")
@click.argument("number", type=int)
@click.option("--credit-notes", is_flag=True, help="The series of credit notes instead.")
def invoice_start_at(number: int, credit_notes: bool) -> None:
    """Number the first invoice NUMBER, where the old system stopped; only before there is one."""
    from billing.numbers import start_series

    kind = "credit_note" if credit_notes else "invoice"
    with desk_of_console() as desk:
        prefix = desk.business.credit_note_prefix if credit_notes else desk.business.invoice_prefix
        shown = start_series(desk.tx, ACTOR, kind, prefix, number, desk.today)
    click.echo(f"The next will be {shown}.")


@invoice.command("credit")
@click.argument("number")
@click.option("--because", "reason", required=True, help="What the subscriber reads.")
@click.option("--line", "lines", multiple=True, metavar="POSITION=AMOUNT", help="Only so much of a line, as priced.")
def invoice_credit(number: str, reason: str, lines: tuple[str, ...]) -> None:
    """Write a credit note over an invoice: all of it that is left, or amounts of its lines."""
    from base import clock
    from billing.credit_documents import load_credit_note
    from billing.credit_notes import credit_invoice

    with desk_of_console() as desk:
        invoice_id, currency = _invoice(desk, number)
        amounts = dict(_line(desk, invoice_id, currency, each) for each in lines) or None
        made = credit_invoice(desk.tx, desk.vault, desk.business, ACTOR, invoice_id, reason, clock.now(), amounts)
        note = None if made is None else load_credit_note(desk.tx, made)
        given = "" if note is None else f"{note.number} gives back {desk.shown(note.total)} of {number}."
    click.echo(given or f"Nothing of {number} is left to be given back.")


@invoice.command("write-off")
@click.argument("number")
@click.option("--because", "reason", required=True, help="For the books.")
def invoice_write_off(number: str, reason: str) -> None:
    """Give up what is open of an invoice: a loss, no longer a debt."""
    from base import clock
    from billing.credit_notes import write_off_invoice

    with desk_of_console() as desk:
        invoice_id, _ = _invoice(desk, number)
        amount = write_off_invoice(desk.tx, desk.vault, desk.business, ACTOR, invoice_id, reason, clock.now())
        click.echo(f"{desk.shown(amount)} of {number} are given up.")


@invoice.command("recover")
@click.argument("number")
@click.option("--because", "reason", required=True, help="For the books.")
def invoice_recover(number: str, reason: str) -> None:
    """Use a subscriber's unused credit for an invoice that was written off; record the payment first."""
    from base import clock
    from billing.write_offs import recover_invoice

    with desk_of_console() as desk:
        invoice_id, _ = _invoice(desk, number)
        amount = recover_invoice(desk.tx, desk.vault, desk.business, ACTOR, invoice_id, reason, clock.now())
        click.echo(f"{desk.shown(amount)} of {number} are recovered.")


def _service(desk: Desk, login: str) -> int:
    from sqlalchemy import select

    from base import tables

    query = select(tables.service.c.id).where(tables.service.c.login == login)
    return int(one(desk, query, f"There is no service with the login {login!r}.").id)


def _product(desk: Desk, name: str) -> int:
    from sqlalchemy import select

    from billing.tables import product

    return int(one(desk, select(product.c.id).where(product.c.name == name), f"There is no product {name!r}.").id)


def _invoice(desk: Desk, number: str) -> tuple[int, str]:
    from sqlalchemy import select

    from billing import tables

    query = select(tables.invoice.c.id, tables.invoice.c.currency).where(tables.invoice.c.number == number)
    row = one(desk, query, f"There is no invoice {number!r}.")
    return int(row.id), str(row.currency)


def _line(desk: Desk, invoice_id: int, currency: str, text: str) -> tuple[int, Any]:
    from sqlalchemy import select

    from billing.tables import invoice_line

    position, _, amount = text.partition("=")
    lines = invoice_line.c.invoice_id == invoice_id, invoice_line.c.position == whole(position)
    row = one(desk, select(invoice_line.c.id).where(*lines), f"The invoice has no line {position}.")
    return int(row.id), desk.money(amount, currency)
