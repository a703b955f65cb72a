"""Webhooks: the signature is checked on the raw bytes and the event kept; understanding it is a job."""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from base import clock, inbox
from base.log import logger
from billing.gateway import webhooks
from billing.gateway.words import BadSignature
from portal.at_hand import business, tx
from portal.security import csrf

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")
csrf.exempt(blueprint)
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@blueprint.post("/stripe")
def stripe() -> ResponseReturnValue:
    """Keep one event of Stripe's, once; 400 when the signature is not Stripe's."""
    arrived = clock.real()
    payload = request.get_data()
    secret = business().stripe_webhook_secret
    if not secret:
        return "No webhook secret is set.\n", 400, PLAIN
    try:
        event = webhooks.construct_event(payload, request.headers.get("Stripe-Signature", ""), secret)
    except BadSignature as error:
        logger().warning("webhook.refused", because=str(error))
        return "The signature does not fit.\n", 400, PLAIN
    inbox.receive(tx(), "stripe", event["id"], event["type"], event, arrived)
    return "ok\n", 200, PLAIN
