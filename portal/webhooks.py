"""Webhooks: the signature is checked on the raw bytes and the event kept; understanding it is a job."""

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from base import clock, inbox
from base.log import logger
from billing.gateway.offers import GATEWAYS
from billing.gateway.words import BadSignature, NotConfigured
from portal.at_hand import business, tx
from portal.security import csrf

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")
csrf.exempt(blueprint)
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@blueprint.post("/<name>")
def notice(name: str) -> ResponseReturnValue:
    """Keep one notice of a gateway's (/webhooks/stripe), once; 400 when it is not surely the gateway's."""
    arrived = clock.real()
    gateway = GATEWAYS.get(name)
    if gateway is None or gateway.notices is None:
        abort(404)
    try:
        found = gateway.notices.read(business(), dict(request.headers), request.get_data())
    except NotConfigured as error:
        return f"{error}\n", 400, PLAIN
    except BadSignature as error:
        logger().warning("webhook.refused", gateway=name, because=str(error))
        return "The signature does not fit.\n", 400, PLAIN
    inbox.receive(tx(), name, found.id, found.kind, found.body, arrived)
    return "ok\n", 200, PLAIN
