"""`tollkeeper card` and `collect`: cards on file, and what is collected from them."""

from typing import Any

import click

from console.desk import ACTOR, desk_of_console, find_subscriber


@click.group()
def card() -> None:
    """Cards that subscribers left with Stripe; subscribers are named by their account number."""


@card.command("list")
@click.argument("account")
def card_list(account: str) -> None:
    """Show a subscriber's cards, and whether they are charged without asking."""
    from sqlalchemy import select

    from billing.collect.cards import has_autopay
    from billing.collect.shown import shown
    from billing.collect.tables import card as cards

    with desk_of_console() as desk:
        who = find_subscriber(desk, account)
        query = select(cards).where(cards.c.subscriber_id == who, cards.c.state != "removed").order_by(cards.c.id)
        for row in desk.tx.execute(query):
            default = ", the default" if row.is_default else ""
            click.echo(f"{row.id}  {shown(row)}  until {row.exp_month:02d}/{row.exp_year}  {row.state}{default}")
        click.echo(f"Autopay is {'on' if has_autopay(desk.tx, who) else 'off'}.")


@card.command("add")
@click.argument("account")
def card_add(account: str) -> None:
    """Print the address of Stripe's page on which the subscriber leaves a card; it works for a day."""
    from base.settings import settings
    from billing.checkout import start_saving

    with _stripe(account) as (vault, who):
        click.echo(start_saving(vault, who, settings().public_url))


@card.command("remove")
@click.argument("account")
@click.argument("card_id", type=int)
def card_remove(account: str, card_id: int) -> None:
    """Take a card away, at Stripe too."""
    from billing.collect.cards import remove_card

    with _stripe(account) as (vault, who):
        remove_card(vault, ACTOR, who, card_id)
    click.echo("The card is gone.")


@card.command("default")
@click.argument("account")
@click.argument("card_id", type=int)
def card_default(account: str, card_id: int) -> None:
    """Have this card charged from now on; what waits for its owner is tried at once."""
    from billing.collect.cards import choose_default

    with desk_of_console() as desk:
        choose_default(desk.tx, desk.business, ACTOR, find_subscriber(desk, account), card_id)
    click.echo("It is the default now.")


@card.command("autopay")
@click.argument("account")
@click.argument("switch", type=click.Choice(["on", "off"]))
def card_autopay(account: str, switch: str) -> None:
    """Charge invoices without asking, or no longer; the subscriber has to have agreed."""
    from billing.collect.cards import set_autopay

    with desk_of_console() as desk:
        set_autopay(desk.tx, desk.business, ACTOR, find_subscriber(desk, account), switch == "on")
    click.echo(f"Autopay is {switch}.")


@click.group()
def collect() -> None:
    """What is collected from cards: when it is tried next, and why then."""


@collect.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was paid or ended otherwise.")
def collect_list(everything: bool) -> None:
    """Show every collection, the next to be tried at the front."""
    from base.i18n import format_instant
    from billing.collect.worklist import WORDS, cases

    with desk_of_console() as desk:
        found = cases(desk.tx, everything=everything)
        for each in found:
            at = each.next_try_at
            when = "" if at is None else f" until {format_instant(at, desk.business.zone, desk.business.language)}"
            click.echo(
                f"{each.id}  {each.account} {each.name}  {', '.join(each.invoices)}  {desk.shown(each.owed)}  "
                f"{WORDS[each.state]}{when}; tries: {each.tries}. {each.reason}"
            )
    if not found:
        click.echo("Nothing is being collected.")


@collect.command("show")
@click.argument("collection_id", type=int)
def collect_show(collection_id: int) -> None:
    """Show every try of one collection, with the codes of its refusals."""
    from sqlalchemy import select

    from base.i18n import format_instant
    from base.money import Money
    from billing.collect.shown import shown
    from billing.collect.tables import attempt, collection
    from billing.collect.tables import card as cards

    with desk_of_console() as desk:
        query = (
            select(attempt, cards.c.brand, cards.c.last4)
            .join(cards, cards.c.id == attempt.c.card_id)
            .where(attempt.c.collection_id == collection_id)
            .order_by(attempt.c.id)
        )
        for row in desk.tx.execute(query):
            codes = ", ".join(code for code in (row.code, row.decline_code, row.advice_code, row.network_code) if code)
            at = format_instant(row.at, desk.business.zone, desk.business.language)
            amount = desk.shown(Money(row.amount_minor, row.currency))
            click.echo(f"{at}  {amount}  {shown(row)}  {row.state}  {codes}  {row.note}".rstrip())
        case = desk.tx.execute(select(collection).where(collection.c.id == collection_id)).one_or_none()
        if case is None:
            raise click.ClickException(f"There is no collection {collection_id}; `collect list` shows them.")
        click.echo(f"{case.state}: {case.reason}" if case.reason else case.state)


@collect.command("now")
@click.argument("collection_id", type=int)
def collect_now(collection_id: int) -> None:
    """Try a collection at once that waits for later, or for its owner."""
    from billing.collect.cases import try_now

    with desk_of_console() as desk:
        try_now(desk.tx, ACTOR, collection_id)
    click.echo("It is tried now.")


class _stripe:
    """A subscriber, and Stripe's refusals as sentences; no transaction is open meanwhile."""

    def __init__(self, account: str) -> None:
        self._account = account

    def __enter__(self) -> "tuple[Any, int]":
        with desk_of_console() as desk:
            return desk.vault, find_subscriber(desk, self._account)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from billing.gateway.words import GatewayError
        from billing.refused import Refused

        if isinstance(error, GatewayError | Refused):
            raise click.ClickException(str(error)) from None
