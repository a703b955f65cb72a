"""The subscriber's cards: leave one at Stripe's page, choose the default, take one away; pay without being asked."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from base.log import logger
from base.settings import settings
from billing import checkout
from billing.collect import cards
from billing.collect.shown import shown
from billing.gateway.words import GatewayError
from billing.refused import Refused
from portal.at_hand import business, commit, today, tx, vault
from portal.login import subscriber_only
from portal.subscriber import can_pay, me

blueprint = Blueprint("cards", __name__, url_prefix="/cards")


@blueprint.get("/")
@subscriber_only
def page() -> ResponseReturnValue:
    """The cards on file, and whether they are charged without asking."""
    return render_template(
        "subscriber/cards.html",
        cards=cards.all_cards(tx(), me()),
        shown=shown,
        is_expired=lambda row: cards.is_expired(row.exp_year, row.exp_month, today()),
        autopay=cards.has_autopay(tx(), me()),
        can_pay=can_pay(),
    )


@blueprint.post("/add")
@subscriber_only
def add() -> ResponseReturnValue:
    """Lead the browser to Stripe's page, where the card is entered."""
    commit()
    try:
        url = checkout.start_saving(vault(), me(), settings().public_url, url_for("cards.page"))
    except GatewayError as error:
        logger().warning("card.not_added", subscriber_id=me(), error=str(error))
        flash("Cards cannot be added just now. Please try again later.", "error")
        return _back()
    return redirect(url, 303)


@blueprint.post("/<row:card_id>/remove")
@subscriber_only
def remove(card_id: int) -> ResponseReturnValue:
    """Take a card away, at Stripe too."""
    commit()
    try:
        cards.remove_card(vault(), f"subscriber:{me()}", me(), card_id)
    except Refused as error:
        flash(str(error), "error")
    except GatewayError as error:
        logger().warning("card.not_removed", subscriber_id=me(), error=str(error))
        flash("The card cannot be removed just now. Please try again later.", "error")
    else:
        flash("The card is removed.", "success")
    return _back()


@blueprint.post("/<row:card_id>/default")
@subscriber_only
def default(card_id: int) -> ResponseReturnValue:
    """Have this card charged from now on."""
    try:
        cards.choose_default(tx(), business(), f"subscriber:{me()}", me(), card_id)
    except Refused as error:
        flash(str(error), "error")
    return _back()


@blueprint.post("/autopay")
@subscriber_only
def autopay() -> ResponseReturnValue:
    """Have invoices charged to the default card from now on, or no longer."""
    on = request.form.get("on") == "yes"
    try:
        cards.set_autopay(tx(), business(), f"subscriber:{me()}", me(), on)
    except Refused as error:
        flash(str(error), "error")
    return _back()


def _back() -> ResponseReturnValue:
    return redirect(url_for("cards.page"), 303)
