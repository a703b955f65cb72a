"""Webhooks: the signature is checked on the raw bytes and the event kept; understanding it is a job.

An event is answered once it is committed. Those that come at the same moment are committed together. Stripe may send a
thousand a second after a bill run, so the usual request is answered before the machinery of pages is set in motion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from base import clock, inbox
from base.business import load_business
from base.database import transaction
from base.log import logger
from billing.gateway import webhooks
from billing.gateway.words import BadSignature
from portal.at_hand import vault
from portal.convoy import Convoy
from portal.security import csrf

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST = 1_000_000  # octets of a request, as for pages
PATH = "/webhooks/stripe"
blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")
csrf.exempt(blueprint)
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class _Letter:
    """A request as it came."""

    payload: bytes
    signature: str
    arrived: datetime


@blueprint.post("/stripe")
def stripe() -> ResponseReturnValue:
    """Keep one event of Stripe's, once; 400 when the signature is not Stripe's."""
    arrived = clock.real()
    sentence, status = _keep(_Letter(request.get_data(), request.headers.get("Stripe-Signature", ""), arrived))
    return sentence, status, PLAIN


def answer_first(pages: "WSGIApplication") -> "WSGIApplication":
    """The application that answers Stripe's posts itself and leaves everything else, also odd posts, to `pages`."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or ""
        usual = environ["REQUEST_METHOD"] == "POST" and length.isascii() and length.isdigit() and len(length) < 8
        if environ.get("PATH_INFO") != PATH or not usual or int(length) > LARGEST:
            return pages(environ, start_response)
        arrived = clock.real()
        payload: bytes = environ["wsgi.input"].read(int(length))
        try:
            sentence, status = _keep(_Letter(payload, environ.get("HTTP_STRIPE_SIGNATURE", ""), arrived))
        except Exception:
            logger().error("webhook.not_kept", exc_info=True)
            sentence, status = "It could not be kept; send it again.\n", 500
        body = sentence.encode()
        headers = [*PLAIN.items(), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    return app


def _keep_all(letters: Sequence[_Letter]) -> list[tuple[str, int]]:
    """Commit the events that are Stripe's; returns each letter's answer."""
    with transaction() as tx:
        secret = load_business(tx, vault()).stripe_webhook_secret
        if not secret:
            return [("No webhook secret is set.\n", 400)] * len(letters)
        answers: list[tuple[str, int]] = []
        events: list[inbox.Arrived] = []
        for each in letters:
            try:
                event = webhooks.construct_event(each.payload, each.signature, secret)
            except BadSignature as error:
                logger().warning("webhook.refused", because=str(error))
                answers.append(("The signature does not fit.\n", 400))
            else:
                events.append(inbox.Arrived(event["id"], event["type"], each.payload.decode(), each.arrived))
                answers.append(("ok\n", 200))
        if events:
            inbox.receive_all(tx, "stripe", events)
    return answers


_keep = Convoy(_keep_all)
