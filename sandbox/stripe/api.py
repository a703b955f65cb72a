"""The way of every API call: who are you, what do you want, was it said before, then do it in one transaction.

Idempotency (https://docs.stripe.com/api/idempotent_requests): the status and body of the first POST with a key
are saved once the endpoint runs, 500s included, for 24 hours. Refused parameters and conflicts are not saved.
"""

from __future__ import annotations

import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, Response, current_app, request

from sandbox.stripe import customers, ledger, payment_intents, sessions, setup_intents, site
from sandbox.stripe.errors import Json, StripeError, invalid, server_error
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.objects import new_id
from sandbox.stripe.objects_site import API_VERSION
from sandbox.stripe.params import Endpoint, check, nest
from sandbox.stripe.store import Answer, Call, Store, Transaction

ENDPOINTS = (
    *customers.ENDPOINTS,
    *payment_intents.ENDPOINTS,
    *setup_intents.ENDPOINTS,
    *sessions.ENDPOINTS,
    *ledger.ENDPOINTS,
    *site.ENDPOINTS,
)
EXPANDABLE_ID = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "latest_charge": "charge",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "setup_intent": "setup_intent",
}


class Api:
    """The endpoints over one store; `running` are the idempotency keys whose first request is under way."""

    def __init__(self, store: Store, faults: Faults, api_key: str) -> None:
        self.store = store
        self.faults = faults
        self._api_key = api_key
        self._running: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def blueprint(self) -> Blueprint:
        """The routes under /v1."""
        routes = Blueprint("api", __name__)
        for number, endpoint in enumerate(ENDPOINTS):
            routes.add_url_rule(endpoint.path, f"{number}", self._view(endpoint), methods=[endpoint.method])
        routes.add_url_rule(
            "/v1/<path:rest>", "unknown", self._unknown, methods=["GET", "POST", "DELETE", "PUT", "PATCH"]
        )
        return routes

    def _view(self, endpoint: Endpoint) -> Callable[..., Response]:
        def view(**ids: str) -> Response:
            return self._answer(lambda call: self._serve(endpoint, call, ids))

        return view

    def _unknown(self, rest: str) -> Response:
        def refuse(call: Call) -> tuple[Answer, bool]:
            message = (
                f"Unrecognized request URL ({request.method}: {request.path}). Please see https://stripe.com/docs."
            )
            raise StripeError(404, {"message": message})

        return self._answer(refuse)

    def _answer(self, serve: Callable[[Call], tuple[Answer, bool]]) -> Response:
        """Authenticate, serve, and dress the answer with Stripe's headers."""
        call = Call(
            account=request.headers.get("Stripe-Account", ""),
            request=new_id("req_", 14),
            key=request.headers.get("Idempotency-Key") if request.method == "POST" else None,
            base_url=request.host_url.rstrip("/"),
        )
        headers = {"Request-Id": call.request or "", "Stripe-Version": API_VERSION}
        try:
            _authenticate(self._api_key)
            answer, replayed = serve(call)
        except StripeError as error:
            return Response(_text(error.body), error.status, headers, mimetype="application/json")
        if call.key:
            headers |= {"Idempotency-Key": call.key, "Original-Request": answer.request}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        if call.key and answer.status >= 500:
            headers["Stripe-Should-Retry"] = "false"  # the key would only bring the same 500 again
        return Response(answer.body, answer.status, headers, mimetype="application/json")

    def _serve(self, endpoint: Endpoint, call: Call, ids: dict[str, str]) -> tuple[Answer, bool]:
        """Return the answer, and whether it is one that was given before."""
        pairs = _given()
        params = check({**endpoint.spec, "expand": ["text"]}, nest(pairs))
        expand = params.pop("expand", [])
        fingerprint = sha256(json.dumps(sorted(pairs)).encode()).hexdigest()

        def work(tx: Transaction) -> Json:
            body = endpoint.run(tx, params, **ids)
            for path in expand:
                _expand(tx, body, path.split("."), path)
            return body

        with self._claimed(call):
            if saved := self._saved(call, fingerprint):
                return saved, True
            fault = self.faults.for_call(request.method, request.path)
            _before(fault)
            answer = self._run(call, fingerprint, work, fault)
        _after(fault)
        return answer, False

    def _run(self, call: Call, fingerprint: str, work: Callable[[Transaction], Json], fault: Fault | None) -> Answer:
        """Do the work and save the answer, in one transaction."""
        sessions.close_due(self.store)
        with self.store.transaction(call) as tx:
            try:
                with tx.undoable():
                    status, body = 200, work(tx)
            except StripeError as error:
                status, body = error.status, error.body
            if fault and fault.kind == "error_500_after":
                status, body = 500, server_error().body
            answer = Answer(request.path, fingerprint, status, _text(body), call.request or "")
            if call.key:
                tx.remember(call.key, answer)
        return answer

    @contextmanager
    def _claimed(self, call: Call) -> Iterator[None]:
        """Hold an idempotency key while its request runs; a second one meanwhile is a conflict."""
        if not call.key:
            yield
            return
        if len(call.key) > 255:
            raise StripeError(
                400, {"type": "idempotency_error", "message": "Idempotency keys are up to 255 characters."}
            )
        name = (call.account, call.key)
        with self._lock:
            if name in self._running:
                raise _in_use(call.key)
            self._running.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(name)

    def _saved(self, call: Call, fingerprint: str) -> Answer | None:
        if not call.key:
            return None
        with self.store.transaction(call) as tx:
            saved = tx.recall(call.key)
        if saved and saved.path != request.path:
            raise _misused(call.key, f"for the same endpoint they were first used for ('{saved.path}')")
        if saved and saved.fingerprint != fingerprint:
            raise _misused(call.key, "with the same parameters they were first used with")
        return saved


def _authenticate(api_key: str) -> None:
    """Take the key as Bearer token or as Basic user name; raises Stripe's 401."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            value = ""
    if not value:
        raise StripeError(
            401,
            {
                "message": "You did not provide an API key. You need to provide your API key in the Authorization "
                "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            },
        )
    if not hmac.compare_digest(value.encode(), api_key.encode()):
        raise StripeError(401, {"message": f"Invalid API Key provided: {value[:8]}****{value[-4:]}"})


def _given() -> list[tuple[str, str]]:
    text = request.get_data().decode("utf-8", "replace") if request.method == "POST" else request.query_string.decode()
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise invalid("Too many parameters.") from None


def _expand(tx: Transaction, body: Any, parts: list[str], path: str) -> None:
    """Put the whole object where its id stands (https://docs.stripe.com/api/expanding_objects)."""
    if not parts or body is None:
        return
    field, rest = parts[0], parts[1:]
    if body.get("object") in ("list", "search_result") and field == "data":
        for one in body["data"]:
            _expand(tx, one, rest, path)
        return
    if field == "line_items" and body.get("object") == "checkout.session":
        lines = sessions.lines_of(tx, body)
        body[field] = {
            "object": "list",
            "data": lines,
            "has_more": False,
            "url": f"/v1/checkout/sessions/{body['id']}/line_items",
        }
        return
    if field not in EXPANDABLE_ID or field not in body:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    if isinstance(body[field], str):
        body[field] = tx.find(EXPANDABLE_ID[field], body[field])
    _expand(tx, body[field], rest, path)


def _before(fault: Fault | None) -> None:
    if fault and fault.kind == "delay":
        time.sleep(fault.seconds)
    if fault and fault.kind == "error_500_before":
        raise server_error()


def _after(fault: Fault | None) -> None:
    """Stay silent, then cut the line: the work is done, but the caller will never hear of it."""
    if fault and fault.kind == "timeout_after":
        current_app.extensions["stopping"].wait(fault.seconds)
        line = request.environ.get("werkzeug.socket")
        if line is not None:
            line.shutdown(socket.SHUT_RDWR)


def _in_use(key: str) -> StripeError:
    return StripeError(
        409,
        {
            "code": "idempotency_key_in_use",
            "message": "There is currently another in-progress request using this Idempotent Key (that probably means "
            f"you submitted twice, and the other request is still going through): {key}. Please try again later.",
        },
    )


def _misused(key: str, how: str) -> StripeError:
    return StripeError(
        400,
        {
            "type": "idempotency_error",
            "message": f"Keys for idempotent requests can only be used {how}. Try using a key other than '{key}' if "
            "you meant to execute a different request.",
        },
    )


def _text(body: Json) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"
