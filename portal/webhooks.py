"""Webhooks: the signature is checked on the raw bytes and the event kept; understanding it is a job."""

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from base import clock, inbox
from portal.at_hand import business, tx
from portal.security import csrf

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")
csrf.exempt(blueprint)
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@blueprint.post("/stripe")
def stripe() -> ResponseReturnValue:
    """Keep one event of Stripe's, once; 400 when the signature is not Stripe's."""
    from billing import gateway

    arrived = clock.real()
    payload = request.get_data()
    secret = business().stripe_webhook_secret
    if not secret:
        return "No webhook secret is set.\n", 400, PLAIN
    try:
        event = gateway.construct_event(payload, request.headers.get("Stripe-Signature", ""), secret)
    except gateway.BadSignature as error:
        current_app.logger.warning("stripe webhook refused: %s", error)
        return "The signature does not fit.\n", 400, PLAIN
    inbox.receive(tx(), "stripe", event["id"], event["type"], event, arrived)
    return "ok\n", 200, PLAIN
