"""`tollkeeper stripe`: whether the account is set up as it has to be, and what it told us."""

import click

from console.desk import ACTOR, desk_of_console


@click.group()
def stripe() -> None:
    """The Stripe account: whether it is set up, and its events."""


@stripe.command("check")
def stripe_check() -> None:
    """Look at key, account, permissions and webhook endpoint, and say what is wrong."""
    from base.i18n import format_instant
    from billing.stripe_check import check
    from billing.stripe_poll import last_signed

    with desk_of_console() as desk:
        vault, business = desk.vault, desk.business
    found = check(vault)
    for each in found:
        click.echo(f"{'ok  ' if each.ok else 'FIX '} {each.sentence}")
    heard = last_signed()
    when = "never" if heard is None else f"last at {format_instant(heard, business.zone, business.language)}"
    click.echo(f"Signed events came in: {when}.")
    if not all(each.ok for each in found):
        raise SystemExit(1)


@stripe.command("setup")
def stripe_setup() -> None:
    """Have Stripe send its events to this installation, and keep the secret that signs them."""
    from billing.gateway.words import GatewayError
    from billing.refused import Refused
    from billing.stripe_check import set_up

    with desk_of_console() as desk:
        vault = desk.vault
    try:
        made = set_up(vault, ACTOR)
    except (GatewayError, Refused) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Stripe sends {len(made.events)} kinds of events to {made.url} ({made.id}).")


@stripe.command("events")
@click.option("--failed", is_flag=True, help="Only those that are not understood yet.")
def stripe_events(failed: bool) -> None:
    """Show the newest events, and what became of each."""
    from sqlalchemy import select

    from base.tables import inbox

    with desk_of_console() as desk:
        query = select(inbox).where(inbox.c.source == "stripe").order_by(inbox.c.id.desc()).limit(50)
        if failed:
            query = query.where(inbox.c.processed_at.is_(None))
        for row in desk.tx.execute(query):
            how = " (found by asking)" if row.polled_at is not None else ""
            became = row.outcome if row.processed_at is not None else "not understood yet"
            click.echo(f"{row.received_at:%Y-%m-%d %H:%M:%S} UTC  {row.event_id}  {row.kind}{how}  {became}")


@stripe.command("replay")
@click.argument("event_id")
def stripe_replay(event_id: str) -> None:
    """Understand an event anew: harmless, because what it tells of is read from Stripe."""
    from secrets import token_hex

    from base import inbox, trail

    with desk_of_console() as desk:
        if not inbox.replay(desk.tx, "stripe", event_id, token_hex(4)):
            raise click.ClickException(f"There is no event {event_id}; `stripe events` shows them.")
        trail.record(desk.tx, ACTOR, "event.replayed", subject="event", detail={"event": event_id})
    click.echo("It is being understood anew.")


@stripe.command("poll")
def stripe_poll() -> None:
    """Ask Stripe for events that no webhook has brought; it is done every five minutes anyway."""
    from billing.stripe_poll import poll

    with desk_of_console() as desk:
        vault = desk.vault
    click.echo(f"{poll(vault)} events had not been brought.")
