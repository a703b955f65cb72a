"""`tollkeeper plan profile`: what a plan says beyond price and rates, and what each kind of NAS is sent for it."""

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, Desk, desk_of_console
from console.progress import progress_bar

if TYPE_CHECKING:
    from sqlalchemy import Row

_RATE = {"": 1_000_000, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_SIZE = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_EXTRA = re.compile(r"([^=]+)=(.*?)(?:@(full|reduced|walled|always)(?::([a-z,]+))?)?", re.DOTALL)


def _scaled(units: dict[str, int], example: str) -> Any:
    """A callback that reads a number with a unit, such as the example; 'none' takes the value away."""

    def read(_context: Any, _option: Any, text: str | None) -> int | str | None:
        if text is None or text == "none":
            return text
        found = _NUMBER.fullmatch(text)
        if found is None or found[2].lower() not in units:
            raise click.BadParameter(f"{text!r} is not a value such as {example}, or none.")
        try:
            value = Decimal(found[1]) * units[found[2].lower()]
        except InvalidOperation:
            raise click.BadParameter(f"{text!r} has too many digits.") from None
        if value != int(value):
            raise click.BadParameter(f"{text!r} is not a whole number of bits or bytes.")
        return int(value)

    return read


_rate = _scaled(_RATE, "20, 1.5, 512k or 1M (Mbit/s without a letter)")
_size = _scaled(_SIZE, "500GB or 1.5TB")
_seconds = _scaled({"": 1, "s": 1}, "10")


@click.command("profile")
@click.argument("which", metavar="NAME|ID")
@click.option("--burst-down", "burst_rate_down", callback=_rate, help="Rate for a moment, Mbit/s; or none.")
@click.option("--burst-up", "burst_rate_up", callback=_rate, help="The same, from the subscriber.")
@click.option("--burst-threshold-down", callback=_rate, help="Average below which it bursts; none: the rate.")
@click.option("--burst-threshold-up", callback=_rate, help="The same, from the subscriber.")
@click.option("--burst-time-down", "burst_seconds_down", callback=_seconds, help="Seconds of the average; none: 1.")
@click.option("--burst-time-up", "burst_seconds_up", callback=_seconds, help="The same, from the subscriber.")
@click.option("--reduced-down", "reduced_rate_down", callback=_rate, help="Slowed to; none: as the business settings.")
@click.option("--reduced-up", "reduced_rate_up", callback=_rate, help="The same, from the subscriber.")
@click.option("--walled-down", "walled_rate_down", callback=_rate, help="Walled; none: as the business settings.")
@click.option("--walled-up", "walled_rate_up", callback=_rate, help="The same, from the subscriber.")
@click.option("--walled-pool", help="Address pool while walled; none: as the business settings.")
@click.option("--walled-list", "walled_address_list", help="Address list or filter while walled; none: the same.")
@click.option("--cap", "cap_octets", callback=_size, help="Data per period, such as 500GB; or none.")
@click.option("--cap-counts", type=click.Choice(["total", "down", "up"]), help="What counts (total).")
@click.option("--after-cap", "cap_action", type=click.Choice(["none", "reduce", "wall"]), help="What follows (none).")
@click.option(
    "--extra", "extras", multiple=True, metavar="NAME=VALUE[@WHEN[:KIND,KIND]]",
    help="Send this attribute too, full, reduced, walled or always (always), to these kinds of NAS (all); all of them "
    "anew, and none takes them away.",
)  # fmt: skip
def plan_profile(which: str, extras: tuple[str, ...], **given: Any) -> None:
    """Say what a plan is beyond price and rates, change it, and show what each kind of NAS is sent.

    A change reaches every service that has the plan, and the sessions that are open.
    """
    from base import clock
    from billing.profiles import refresh_plan, set_profile
    from billing.sweep import Unfinished

    values = {name: None if value == "none" else value for name, value in given.items() if value is not None}
    if given["cap_action"]:
        values["cap_action"] = given["cap_action"]  # whose "none" is a word of its own
    if values.get("cap_octets", 0) is None:
        values.setdefault("cap_action", "none")
    if extras:
        values["extra_attributes"] = [] if extras == ("none",) else [_extra(each) for each in extras]
    services: list[int] = []
    with desk_of_console() as desk:
        plan_id, now = _find(desk, which).id, clock.now()
        if values:
            services = set_profile(desk.tx, ACTOR, plan_id, values, now)
        row = _find(desk, str(plan_id))
        _show(desk, row)
    if not services:
        return
    try:
        with progress_bar("Services") as tell:
            changed = refresh_plan(plan_id, services, now, tell)
    except Unfinished as unfinished:
        raise click.ClickException(
            f"{unfinished}. Their access stays as it was; the log has an alarm for each."
        ) from None
    click.echo(f"{len(services)} services have {row.name}; for {len(changed)} of them something changed.")


def _extra(text: str) -> dict[str, Any]:
    found = _EXTRA.fullmatch(text)
    if found is None:
        raise click.ClickException(
            f"{text!r} is not written as NAME=VALUE, NAME=VALUE@walled or NAME=VALUE@full:cisco."
        )
    name, value, when, kinds = found.groups()
    return {
        "name": name.strip(),
        "value": value,
        "when": when or "always",
        "kinds": kinds.split(",") if kinds else [],
    }


def _find(desk: Desk, which: str) -> "Row[Any]":
    """The plan of this name, or of this id."""
    from sqlalchemy import select

    from base import offers

    row = desk.tx.execute(select(offers.plan).where(offers.plan.c.name == which)).one_or_none()
    if row is None and which.isdecimal():
        row = desk.tx.execute(select(offers.plan).where(offers.plan.c.id == int(which))).one_or_none()
    if row is None:
        raise click.ClickException(f"There is no plan {which!r}; `tollkeeper plan list` shows them.")
    return row


def _show(desk: Desk, row: "Row[Any]") -> None:
    """What was set, and what a NAS of each kind is sent at each level."""
    from base.access import AccessLevel, AccessPolicy, Decision, read_obeyed
    from base.i18n import format_octets
    from billing.facts import profile_of
    from billing.profiles import NAMES, RATES, SECONDS
    from billing.terms import Line, build_obeyed
    from radius.dialects import DIALECTS, render

    click.echo(f"{row.id}\t{row.name}")
    for name in (*RATES, *SECONDS, *NAMES):
        if (value := getattr(row, name)) is not None:
            unit = " bit/s" if name in RATES else " s" if name in SECONDS else ""
            click.echo(f"{name}\t{value}{unit}")
    if row.cap_octets is not None:
        click.echo(f"cap\t{format_octets(row.cap_octets)} {row.cap_counts} per period, then {row.cap_action}")
    line = Line(0, row.rate_down, row.rate_up, row.pool, None, profile_of(row))
    for level in (AccessLevel.FULL, AccessLevel.REDUCED, AccessLevel.WALLED):
        obeyed = build_obeyed(line, Decision(level, (), None), desk.business)
        policy = AccessPolicy(service_id=0, version=0, login="", password=None, **read_obeyed(obeyed))
        for kind in DIALECTS:
            sent = (f"{name} = {value}" for name, value in render(kind, policy) if name != "Class")
            click.echo(f"{level.name.lower()}\t{kind}\t{', '.join(sent)}")
