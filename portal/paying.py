"""Paying by card: off to the hosted page, and back to a page that says how it went."""

from flask import Blueprint, abort, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue

from base.settings import settings
from portal import queries_account, queries_money
from portal.at_hand import commit, tx, vault
from portal.login import current_subscriber, subscriber_only
from portal.subscriber import me

blueprint = Blueprint("paying", __name__)


@blueprint.post("/pay")
@subscriber_only
def pay() -> ResponseReturnValue:
    """Pay one invoice, or everything that is open."""
    chosen = [int(text) for text in request.form.getlist("invoice_id") if text.isascii() and text.isdigit()]
    return to_checkout(me(), chosen)


def to_checkout(subscriber_id: int, invoice_ids: list[int]) -> ResponseReturnValue:
    """Lead the browser to the hosted payment page of these invoices (none named: all that are open)."""
    from billing import checkout, gateway

    commit()  # the attempt is a transaction of its own, committed before Stripe is asked
    try:
        url = checkout.start(vault(), subscriber_id, invoice_ids, settings().public_url)
    except gateway.GatewayError:
        current_app.logger.exception("checkout of subscriber %s", subscriber_id)
        return render_template("captive/cannot_pay.html"), 503
    return redirect(url, 303)


@blueprint.get("/pay/return")
def pay_return() -> ResponseReturnValue:
    """Back from the hosted page: paid, or being processed; asks again by itself until the line is back."""
    from billing import checkout, gateway

    session_id = request.args.get("sid", "")[:255]
    found = queries_money.checkout_by_session(tx(), session_id) or abort(404)
    if found.payment_id is None:
        commit()
        try:
            checkout.settle(vault(), session_id)
        except gateway.GatewayError:
            current_app.logger.exception("settling of %s", session_id)
        found = queries_money.checkout_by_session(tx(), session_id) or abort(404)
    return render_template(
        "captive/returned.html",
        attempt=found,
        services=list(tx().execute(queries_account.services(found.subscriber_id))),
        switching=queries_account.switching(tx(), found.subscriber_id),
        own=current_subscriber() == found.subscriber_id,
    )
