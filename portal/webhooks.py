"""Webhooks: the signature is checked on the raw bytes and the event kept; understanding it is a job.

A notice is answered once it is committed. Those that come at the same moment are committed together. Stripe may send a
thousand a second after a bill run, so the usual request is answered before the machinery of pages is set in motion.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from base import clock, inbox
from base.business import load_business
from base.database import transaction
from base.log import logger
from billing.gateway.offers import GATEWAYS
from billing.gateway.words import BadSignature, NotConfigured
from portal.at_hand import vault
from portal.convoy import Convoy
from portal.security import csrf

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST = 1_000_000  # octets of a request, as for pages
blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")
csrf.exempt(blueprint)
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class _Letter:
    """A request as it came."""

    gateway: str
    payload: bytes
    headers: Mapping[str, str]
    "Written Like-This."
    arrived: datetime


@blueprint.post("/<name>")
def notice(name: str) -> ResponseReturnValue:
    """Keep one notice of a gateway's (/webhooks/stripe), once; 400 when it is not surely the gateway's."""
    arrived = clock.real()
    if not _tells(name):
        abort(404)
    sentence, status = _keep(_Letter(name, request.get_data(), dict(request.headers), arrived))
    return sentence, status, PLAIN


def answer_first(pages: "WSGIApplication") -> "WSGIApplication":
    """The application that answers gateways' posts itself and leaves everything else, also odd posts, to `pages`."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or ""
        usual = environ["REQUEST_METHOD"] == "POST" and length.isascii() and length.isdigit() and len(length) < 8
        folder, _, name = environ.get("PATH_INFO", "").rpartition("/")
        if folder != blueprint.url_prefix or not _tells(name) or not usual or int(length) > LARGEST:
            return pages(environ, start_response)
        arrived = clock.real()
        payload: bytes = environ["wsgi.input"].read(int(length))
        headers = {key[5:].replace("_", "-").title(): value for key, value in environ.items() if key[:5] == "HTTP_"}
        try:
            sentence, status = _keep(_Letter(name, payload, headers, arrived))
        except Exception:
            logger().error("webhook.not_kept", exc_info=True)
            sentence, status = "It could not be kept; send it again.\n", 500
        body = sentence.encode()
        answered = [*PLAIN.items(), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(f"{status} {HTTPStatus(status).phrase}", answered)
        return [body]

    return app


def _tells(name: str) -> bool:
    gateway = GATEWAYS.get(name)
    return gateway is not None and gateway.notices is not None


def _keep_all(letters: Sequence[_Letter]) -> list[tuple[str, int]]:
    """Commit the notices that are surely their gateways'; returns each letter's answer."""
    with transaction() as tx:
        business = load_business(tx, vault())
        answers: list[tuple[str, int]] = []
        arrived: dict[str, list[inbox.Arrived]] = {}
        for each in letters:
            notices = GATEWAYS[each.gateway].notices
            assert notices is not None
            try:
                found = notices.read(business, each.headers, each.payload)
            except NotConfigured as error:
                answers.append((f"{error}\n", 400))
            except BadSignature as error:
                logger().warning("webhook.refused", gateway=each.gateway, because=str(error))
                answers.append(("The signature does not fit.\n", 400))
            else:
                kept = inbox.Arrived(found.id, found.kind, json.dumps(found.body), each.arrived)
                arrived.setdefault(each.gateway, []).append(kept)
                answers.append(("ok\n", 200))
        for name, some in arrived.items():
            inbox.receive_all(tx, name, some)
    return answers


_keep = Convoy(_keep_all)
