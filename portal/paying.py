"""Paying: off to the hosted page of a gateway, and back to a page that says how it went."""

import re

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from base.i18n import parse_money
from base.log import logger
from base.money import Money
from base.settings import settings
from billing import checkout, links
from billing.gateway.ways import Redirect
from billing.gateway.words import GatewayError
from billing.refused import Refused
from portal import queries_account, queries_money
from portal.at_hand import commit, tx, vault
from portal.login import current_subscriber, subscriber_only
from portal.security import limit_unknown
from portal.subscriber import me
from portal.ways import page_of, ways_to_pay

blueprint = Blueprint("paying", __name__)
SESSION_ID = re.compile(r"cs_\w{1,250}", re.ASCII)


@blueprint.post("/pay")
@subscriber_only
def pay() -> ResponseReturnValue:
    """Pay one invoice, or everything that is open, or a sum of one's choice."""
    chosen = [int(text) for text in request.form.getlist("invoice_id") if text.isascii() and text.isdigit()]
    try:
        amount = _amount(request.form.get("amount", "").strip())
    except ValueError as error:
        flash(str(error), "error")
        return redirect(url_for("subscriber.home"), 303)
    return to_checkout(me(), checkout.Wish(chosen, amount, back=url_for("subscriber.home")))


def _amount(typed: str) -> Money | None:
    """A sum of the subscriber's choice; None when the field was left empty."""
    person = queries_account.one_subscriber(tx(), me())
    assert person is not None
    return parse_money(typed, person.currency) if typed else None


@blueprint.get("/p/<token>")
@limit_unknown
def link(token: str) -> ResponseReturnValue:
    """What a payment link pays: number, sum and date, and nobody's name; 404 for a link that is not good."""
    found = links.read_link(tx(), vault(), token) or abort(404)
    ways = ways_to_pay(found.subscriber_id, checkout.Wish([found.invoice_id], known=False)) if found.open else None
    return render_template("captive/link.html", found=found, token=token, ways=ways)


@blueprint.post("/p/<token>")
@limit_unknown
def pay_link(token: str) -> ResponseReturnValue:
    """Pay what a link stands for; the hosted page knows nobody's name either."""
    found = links.read_link(tx(), vault(), token) or abort(404)
    back = url_for("paying.link", token=token)
    if not found.open:
        return redirect(back, 303)
    return to_checkout(found.subscriber_id, checkout.Wish([found.invoice_id], known=False, back=back))


def to_checkout(subscriber_id: int, wish: checkout.Wish) -> ResponseReturnValue:
    """Lead the browser to the payment page of what is wished at the gateway that was chosen, or back."""
    back = wish.back
    gateway = page_of(request.form.get("gateway", ""))
    if gateway is None:
        return render_template("captive/cannot_pay.html"), 503
    commit()  # the attempt is a transaction of its own, committed before the gateway is asked
    try:
        offered = gateway.offer(vault(), subscriber_id, settings().public_url, wish)
    except Refused as error:
        flash(str(error), "info")
        return redirect(back, 303)
    except GatewayError as error:
        logger().warning("checkout.not_opened", gateway=gateway.name, subscriber_id=subscriber_id, error=str(error))
        return render_template("captive/cannot_pay.html"), 503
    return redirect(offered.url if isinstance(offered, Redirect) else back, 303)


@blueprint.get("/pay/return")
@limit_unknown
def pay_return() -> ResponseReturnValue:
    """Back from the hosted page: paid, or being processed; asks again by itself until the line is back."""
    session_id = request.args.get("sid", "")
    if not SESSION_ID.fullmatch(session_id):
        abort(404)
    found = queries_money.checkout_by_session(tx(), session_id)
    if found is None or found.state not in ("paid", "saved"):
        commit()  # so that nothing is held open while Stripe is asked
        try:
            checkout.settle(vault(), session_id)
        except GatewayError as error:
            logger().warning("checkout.not_settled", session=session_id, error=str(error))
        found = queries_money.checkout_by_session(tx(), session_id) or abort(404)
    return render_template(
        "captive/returned.html",
        attempt=found,
        services=list(tx().execute(queries_account.services(found.subscriber_id))),
        switching=queries_account.switching(tx(), found.subscriber_id),
        own=current_subscriber() == found.subscriber_id,
    )
