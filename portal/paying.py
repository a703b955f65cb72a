"""Paying by card: off to the hosted page, and back to a page that says how it went."""

import re

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from base.log import logger
from base.settings import settings
from billing import checkout, gateway
from billing.refused import Refused
from portal import queries_account, queries_money
from portal.at_hand import commit, tx, vault
from portal.login import current_subscriber, subscriber_only
from portal.security import limit_unknown
from portal.subscriber import me

blueprint = Blueprint("paying", __name__)
SESSION_ID = re.compile(r"cs_\w{1,250}", re.ASCII)


@blueprint.post("/pay")
@subscriber_only
def pay() -> ResponseReturnValue:
    """Pay one invoice, or everything that is open."""
    chosen = [int(text) for text in request.form.getlist("invoice_id") if text.isascii() and text.isdigit()]
    return to_checkout(me(), chosen, url_for("subscriber.home"))


def to_checkout(subscriber_id: int, invoice_ids: list[int], back: str) -> ResponseReturnValue:
    """Lead the browser to the hosted payment page of these invoices (none named: all that are open), or back."""
    commit()  # the attempt is a transaction of its own, committed before Stripe is asked
    try:
        url = checkout.start(vault(), subscriber_id, invoice_ids, settings().public_url)
    except Refused as error:
        flash(str(error), "info")
        return redirect(back, 303)
    except gateway.GatewayError as error:
        logger().warning("checkout.not_opened", subscriber_id=subscriber_id, error=str(error))
        return render_template("captive/cannot_pay.html"), 503
    return redirect(url, 303)


@blueprint.get("/pay/return")
@limit_unknown
def pay_return() -> ResponseReturnValue:
    """Back from the hosted page: paid, or being processed; asks again by itself until the line is back."""
    session_id = request.args.get("sid", "")
    if not SESSION_ID.fullmatch(session_id):
        abort(404)
    found = queries_money.checkout_by_session(tx(), session_id)
    if found is None or found.state != "paid":
        commit()  # so that nothing is held open while Stripe is asked
        try:
            checkout.settle(vault(), session_id)
        except gateway.GatewayError as error:
            logger().warning("checkout.not_settled", session=session_id, error=str(error))
        found = queries_money.checkout_by_session(tx(), session_id) or abort(404)
    return render_template(
        "captive/returned.html",
        attempt=found,
        services=list(tx().execute(queries_account.services(found.subscriber_id))),
        switching=queries_account.switching(tx(), found.subscriber_id),
        own=current_subscriber() == found.subscriber_id,
    )
