"""`tollkeeper dunning` and `promise`: how debts are dunned, for whom, and who is waited for."""

from datetime import time
from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, Desk, desk_of_console, find_subscriber, find_tax_class

if TYPE_CHECKING:
    from billing.dunning.policy import Policy, Step


@click.group()
def dunning() -> None:
    """What an unpaid invoice leads to, step by step."""


@dunning.command("show")
@click.argument("name", required=False)
def dunning_show(name: str | None) -> None:
    """Say how every group is dunned, or the group NAME."""
    from billing.dunning.policies import list_holidays, load_policies

    with desk_of_console() as desk:
        policies = load_policies(desk.tx, desk.business)
        chosen = [policies.named(name)] if name else list(policies.by_id.values())
        for policy in sorted(chosen, key=lambda policy: policy.id):
            click.echo(f"{policy.name}{' (of all who are in no group)' if policy.id == policies.default.id else ''}")
            for line in _said(desk, policy):
                click.echo(f"  {line}")
        for row in list_holidays(desk.tx):
            click.echo(f"Nobody is cut off on {row.day} ({row.name}).")


@dunning.command("set")
@click.argument("name")
@click.option("--new", is_flag=True, help="Make a policy of this name, beginning with the default's.")
@click.option("--step", "steps", multiple=True, help="Such as '14 final_notice fee 5.00+10%'; all of them, in order.")
@click.option("--notice-days", type=int, help="Days that a notice arrives before its date.")
@click.option("--minimum", help="Who is overdue with less is left alone.")
@click.option("--not-on", help="Weekdays without cut-offs, 1 = Monday: '5,6,7'; 'none'.")
@click.option("--hours", help="Hours in which services are cut off: '09:00-16:00'; 'all'.")
@click.option("--fee-as", type=click.Choice(["document", "line"]), help="A late fee is its own invoice, or a line.")
@click.option("--fee-tax", help="Name of the tax class of fees (`tax list`).")
@click.option("--reconnection", multiple=True, help="Fee for coming back by cause: 'debt 10.00'; 'none'.")
@click.option("--reconnection-first/--reconnection-later", default=None, help="Paid before, or on the next invoice.")
@click.option("--promise-days", type=int, help="Days ahead that a subscriber may promise; 0: not at all.")
@click.option("--promises-a-year", type=int, help="Promises a year of a subscriber.")
@click.option("--commit", is_flag=True, help="Do it; without this the command only says whom it would hit.")
def dunning_set(name: str, new: bool, commit: bool, **given: Any) -> None:
    """Change how a group is dunned: first it says whom that would hit, and with --commit it does it."""
    from base import clock
    from billing.dunning.policies import load_policies, save_policy
    from billing.dunning.preview import compare

    with desk_of_console() as desk:
        policies = load_policies(desk.tx, desk.business)
        known = policies.default if new else policies.named(name)
        policy = _changed(desk, known, name, 0 if new else known.id, given)
        for line in _said(desk, policy):
            click.echo(line)
        found = compare(desk.tx, desk.business, policy, clock.now())
        if not new:
            click.echo(f"{found.looked_at} subscribers with open invoices are dunned by it.")
            click.echo(f"It makes a difference for {len(found.hits)}:" if found.hits else "Nothing changes for them.")
            for hit in found.hits:
                was, becomes = hit.level_before.name, hit.level_after.name
                comes = f"{hit.before or '-'} → {hit.after or '-'}"
                line = f"  {hit.number}  {hit.name:30}  {desk.shown(hit.open):>12}  {comes}"
                click.echo(line + ("" if was == becomes else f"  {was} → {becomes}"))
            for act, count in sorted(found.acts_today.items()):
                click.echo(f"Today it would send {count} × {act}.")
        if commit:
            save_policy(desk.tx, ACTOR, policy)
    click.echo("Saved." if commit else "Nothing was changed; add --commit to do it.")


@dunning.command("drop")
@click.argument("name")
def dunning_drop(name: str) -> None:
    """Remove a policy that nobody is dunned by."""
    from billing.dunning.policies import drop_policy, load_policies

    with desk_of_console() as desk:
        drop_policy(desk.tx, ACTOR, name, load_policies(desk.tx, desk.business))
    click.echo(f"There is no policy {name} any more.")


@dunning.command("group")
@click.argument("name")
@click.argument("numbers", nargs=-1, required=True)
def dunning_group(name: str, numbers: tuple[str, ...]) -> None:
    """Dun the subscribers with account NUMBERS by policy NAME; 'default' puts them back."""
    from billing.dunning.policies import assign, load_policies

    with desk_of_console() as desk:
        policy = None if name == "default" else load_policies(desk.tx, desk.business).named(name)
        assign(desk.tx, ACTOR, [find_subscriber(desk, number) for number in numbers], policy)
    click.echo(f"{', '.join(numbers)}: {name}.")


@dunning.command("holiday")
@click.argument("day")
@click.argument("name", required=False)
def dunning_holiday(day: str, name: str | None) -> None:
    """Cut nobody off on DAY, a holiday called NAME; without NAME it is a day like any other again."""
    from billing.dunning.policies import add_holiday, drop_holiday

    with desk_of_console() as desk:
        if name is None:
            drop_holiday(desk.tx, ACTOR, desk.day(day))
        else:
            add_holiday(desk.tx, ACTOR, desk.day(day), name)
    click.echo(f"{day}: {name or 'no holiday'}.")


@dunning.command("who")
@click.argument("number", required=False)
def dunning_who(number: str | None) -> None:
    """List who is dunned, what was done and what comes next; or one subscriber by account NUMBER."""
    from sqlalchemy import select

    from base import clock
    from base.i18n import format_date
    from billing.dunning.cases import load_payers
    from billing.dunning.doubt import trouble
    from billing.dunning.rules import came, outlook
    from billing.tables import open_item

    with desk_of_console() as desk:
        late = select(open_item.c.subscriber_id).where(open_item.c.due_on <= desk.today).distinct()
        ids = [find_subscriber(desk, number)] if number else list(desk.tx.scalars(late))
        for payer in sorted(
            load_payers(desk.tx, desk.business, ids, clock.now()).values(), key=lambda each: each.number
        ):
            held = f", left alone until {payer.held_until}" if payer.held_until else ""
            click.echo(f"{payer.number} {payer.name} ({payer.policy.name}{held})")
            for case in payer.cases:
                done = ", ".join(f"{act} {day}" for day, act in came(case, desk.today)) or "nothing yet"
                comes = ", ".join(f"{act} {day}" for day, act in outlook(payer.policy, case, desk.today)) or "nothing"
                due = format_date(case.due_on, desk.business.language)
                click.echo(f"  {case.number}  due {due}  {desk.shown(case.open)}  done: {done}  next: {comes}")
        if silent := trouble(desk.tx):
            click.echo(f"{silent} No late fee is charged meanwhile, and who opened a payment page is not walled in.")


@dunning.command("exempt")
@click.argument("number")
@click.option("--until", required=True, help="First day on which they are dunned again.")
@click.option("--because", "reason", required=True, help="Somebody will ask.")
def dunning_exempt(number: str, until: str, reason: str) -> None:
    """Leave a subscriber alone for a while; what debt had taken is given back at once."""
    from base import clock
    from billing.dunning.exemptions import exempt

    with desk_of_console() as desk:
        who = find_subscriber(desk, number)
        exempt(desk.tx, desk.vault, desk.business, ACTOR, who, desk.day(until), reason, clock.now())
    click.echo(f"{number} is left alone until {until}.")


@dunning.command("resume")
@click.argument("number")
def dunning_resume(number: str) -> None:
    """End an exemption before its time."""
    from base import clock
    from billing.dunning.exemptions import end_exemption

    with desk_of_console() as desk:
        end_exemption(desk.tx, desk.vault, desk.business, ACTOR, find_subscriber(desk, number), clock.now())
    click.echo(f"{number} is dunned again.")


@dunning.command("fees")
@click.argument("number", required=False)
def dunning_fees(number: str | None) -> None:
    """List late fees and fees for coming back, the newest first; or those of the subscriber with account NUMBER."""
    from base.money import Money
    from billing.dunning.fees import list_fees

    with desk_of_console() as desk:
        found = list_fees(desk.tx, find_subscriber(desk, number) if number else None)
        for row in found:
            amount = Money(row.amount_minor, row.currency)
            given = Money(int(row.given_minor), row.currency)
            state = f"on {row.invoice}" if row.invoice else "waits for the next invoice"
            if row.dropped_at is not None or given == amount:
                state = "waived"
            elif given:
                state += f", {desk.shown(given)} given back"
            click.echo(
                f"{row.id:>6}  {row.number}  {row.name:30}  {row.on_day}  {desk.shown(amount):>10}  {row.text}: {state}"
            )
    if not found:
        click.echo("No fees.")


@dunning.command("waive")
@click.argument("charge_id", type=int)
def dunning_waive(charge_id: int) -> None:
    """Give back a late fee or a reconnection fee by its number (`dunning fees` names it)."""
    from base import clock
    from billing.dunning.fees import waive

    with desk_of_console() as desk:
        credited = waive(desk.tx, desk.vault, desk.business, ACTOR, charge_id, clock.now())
    click.echo("It was dropped before it was billed." if credited is None else "A credit note gives it back.")


@click.command()
@click.argument("number")
@click.argument("until")
def promise(number: str, until: str) -> None:
    """Wait for the money of the subscriber with account NUMBER until the end of day UNTIL."""
    from base import clock
    from billing.dunning.promises import make_promise

    with desk_of_console() as desk:
        who = find_subscriber(desk, number)
        make_promise(desk.tx, desk.vault, desk.business, ACTOR, who, desk.day(until), clock.now())
    click.echo(f"{number} has until the end of {until}.")


def _said(desk: Desk, policy: "Policy") -> list[str]:
    """A policy in lines."""
    from base.money import Money
    from billing.tax import percent_text

    def money(minor: int) -> str:
        return desk.shown(Money(minor, policy.currency))

    lines = []
    for step in policy.steps:
        fee = ""
        if step.fee is not None:
            parts = [money(step.fee.flat)] if step.fee.flat else []
            parts += [f"{percent_text(step.fee.percent)} %"] if step.fee.percent else []
            fee = f", with a late fee of {' or '.join(parts)}{', the greater' if len(parts) > 1 else ''}"
        lines.append(f"+{step.days:<3} {step.act}{fee}")
    lines.append(f"a notice arrives {policy.notice_days} days before its date")
    if policy.minimum:
        lines.append(f"who is overdue with less than {money(policy.minimum)} is left alone")
    window = policy.window
    if window.weekdays_off:
        lines.append(f"no cut-offs on weekdays {', '.join(map(str, sorted(window.weekdays_off)))} (1 = Monday)")
    if window.opens != time.min or window.closes is not None:
        lines.append(f"cut-offs between {window.opens:%H:%M} and {window.closes or time.max:%H:%M}")
    if policy.reconnection:
        fees = ", ".join(f"{cause} {money(minor)}" for cause, minor in policy.reconnection.items())
        lines.append(f"coming back costs {fees}, {'first' if policy.reconnection_first else 'on the next invoice'}")
    lines.append(f"promises reach {policy.promise_days} days ahead, {policy.promises_a_year} a year")
    return lines


def _changed(desk: Desk, known: "Policy", name: str, policy_id: int, given: dict[str, Any]) -> "Policy":
    """The policy with what was given on the command line."""
    from dataclasses import replace

    changes: dict[str, Any] = {"id": policy_id, "name": name}
    if given["steps"]:
        changes["steps"] = tuple(_step(desk, text, known.currency) for text in given["steps"])
    for option in ("notice_days", "fee_as", "reconnection_first", "promise_days", "promises_a_year"):
        if given[option] is not None:
            changes[option] = given[option]
    if given["minimum"] is not None:
        changes["minimum"] = desk.money(given["minimum"], known.currency).minor
    if given["fee_tax"] is not None:
        changes["fee_tax_class_id"] = find_tax_class(desk, given["fee_tax"])
    if given["reconnection"]:
        pairs = [each.split() for each in given["reconnection"] if each != "none"]
        if any(len(pair) != 2 for pair in pairs):
            raise click.ClickException("A reconnection fee is a cause and an amount, such as 'debt 10.00'.")
        changes["reconnection"] = {cause: desk.money(amount, known.currency).minor for cause, amount in pairs}
    window = known.window
    if given["not_on"] is not None:
        days = [] if given["not_on"] == "none" else given["not_on"].split(",")
        if not all(day.strip().isdigit() for day in days):
            raise click.ClickException("Weekdays are numbers, such as '6,7'; 'none' for none.")
        window = replace(window, weekdays_off=frozenset(int(day) for day in days))
    if given["hours"] is not None:
        window = replace(window, **_hours(given["hours"]))
    return replace(known, window=window, **changes)


def _hours(text: str) -> dict[str, Any]:
    if text == "all":
        return {"opens": time.min, "closes": None}
    try:
        opens, closes = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError:
        raise click.ClickException(f"{text!r} are no hours such as '09:00-16:00'.") from None
    return {"opens": opens, "closes": closes}


def _step(desk: Desk, text: str, currency: str) -> "Step":
    """'14 final_notice', '14 final_notice fee 5.00', '… fee 10%', '… fee 5.00+10%' (the greater of the two)."""
    from decimal import Decimal, InvalidOperation

    from billing.dunning.policy import Fee, Step

    words = text.split()
    if len(words) not in (2, 4) or not words[0].isdigit() or (len(words) == 4 and words[2] != "fee"):
        raise click.ClickException(
            f"{text!r} is not a step such as '14 final_notice' or '14 final_notice fee 5.00+10%'."
        )
    if len(words) == 2:
        return Step(int(words[0]), words[1])
    flat, percent = 0, Decimal(0)
    for part in words[3].split("+"):
        if part.endswith("%"):
            try:
                percent = Decimal(part[:-1])
            except InvalidOperation:
                raise click.ClickException(f"{part!r} is not a percentage such as 10%.") from None
        else:
            flat = desk.money(part, currency).minor
    return Step(int(words[0]), words[1], Fee(flat, percent))
