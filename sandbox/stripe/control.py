"""The control calls by which tests and operators do what no caller of the API can: JSON under /sandbox.

JSON only: a page of another origin cannot send that without asking first. Every mistake is a 400 with a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, jsonify, request
from werkzeug.wrappers import Response

from sandbox.stripe import deeds
from sandbox.stripe.agenda import catch_up
from sandbox.stripe.dials import turn
from sandbox.stripe.errors import Json, StripeError, invalid
from sandbox.stripe.faults import Faults, read_fault
from sandbox.stripe.keys import Keys
from sandbox.stripe.store import Call, Store, Transaction
from sandbox.stripe.webhooks import release

Run = Callable[[Transaction, Json, str], Json]


def control(store: Store, faults: Faults, keys: Keys) -> Blueprint:
    """The routes under /sandbox."""
    routes = Blueprint("control", __name__)

    def deed(path: str, run: Run) -> None:
        """A route whose JSON one function of deeds.py understands and carries out in a transaction."""

        def view(id: str = "") -> Response:
            catch_up(store)
            with store.transaction(Call(base_url=request.host_url.rstrip("/"))) as tx:
                if id:
                    tx.enter(id)
                return jsonify(run(tx, given(), id))

        routes.add_url_rule(f"/sandbox/{path}", path, view, methods=["POST"])

    for path, run in deeds.DEEDS.items():
        deed(path, run)

    @routes.get("/sandbox/state")
    def state() -> Response:
        catch_up(store)
        with store.transaction() as tx:
            return jsonify(_state(tx) | {"faults": faults.shown()})

    @routes.post("/sandbox/faults")
    def order() -> Response:
        wish = given()
        if wish == {"kind": "cut"}:
            return jsonify({"cut": faults.release("cut")})
        if wish == {"kind": "release"}:
            with store.transaction() as tx:
                return jsonify({"released": faults.release() + release(tx)})
        faults.add(read_fault(wish))
        return jsonify({"faults": faults.shown()})

    @routes.get("/sandbox/faults")
    def show_faults() -> Response:
        return jsonify({"faults": faults.shown(), "holding": faults.holding})

    @routes.delete("/sandbox/faults")
    def forget() -> Response:
        faults.clear()
        return jsonify({"faults": []})

    @routes.get("/sandbox/dials")
    def show_dials() -> Response:
        return jsonify(store.dials.shown())

    @routes.post("/sandbox/dials")
    def turn_dials() -> Response:
        wish = given()
        with store.transaction() as tx:
            kept = json.loads(tx.fact("dials", lambda: "{}")) | wish
            turned = turn(store.dials, wish)
            tx.put_fact("dials", json.dumps(kept))
        store.dials = turned
        store.ring()
        return jsonify(store.dials.shown())

    @routes.post("/sandbox/clock")
    def move_clock() -> Response:
        wish = given()
        now = store.now()
        ahead = store.dials.clock + deeds.forward(wish, now)
        with store.transaction() as tx:
            tx.put_fact("dials", json.dumps(json.loads(tx.fact("dials", lambda: "{}")) | {"clock": ahead}))
        store.dials = replace(store.dials, clock=ahead)
        catch_up(store)
        store.ring()
        return jsonify({"now": int(store.now())})

    @routes.post("/sandbox/keys")
    def make_key() -> Response:
        wish = given()
        with store.transaction() as tx:
            if "key" in wish:
                told = deeds.read(wish, {"key": str, "expired": bool})
                keys.expire(tx, told["key"], told.get("expired", True))
                return jsonify({"key": told["key"], "expired": told.get("expired", True)})
            told = deeds.read(wish, {"permissions": dict})
            return jsonify({"key": keys.make(tx, told.get("permissions", {}))})

    @routes.errorhandler(StripeError)
    def refuse(error: StripeError) -> tuple[Response, int]:
        return jsonify(error.body), error.status

    return routes


def given() -> Json:
    """The JSON object that was sent; raises a 400 when it is none."""
    found = request.get_json()
    if not isinstance(found, dict):
        raise invalid("a JSON object is expected")
    return found


def _state(tx: Transaction) -> dict[str, Any]:
    """Counts for tests: objects by kind, charges by customer and outcome, deliveries by state."""
    charges: dict[str, dict[str, int]] = {}
    for customer, status, count in tx.db.execute(
        "SELECT coalesce(json_extract(body, '$.customer'), 'guest'), json_extract(body, '$.status'), count(*) "
        "FROM objects WHERE kind = 'charge' GROUP BY 1, 2"
    ):
        charges.setdefault(customer, {})[status] = count
    return {
        "now": tx.now,
        "objects": dict(tx.db.execute("SELECT kind, count(*) FROM objects GROUP BY 1").fetchall()),
        "charges": charges,
        "deliveries": dict(tx.db.execute("SELECT state, count(*) FROM deliveries GROUP BY 1").fetchall()),
        "idempotency_keys": tx.db.execute("SELECT count(*) FROM answers").fetchone()[0],
    }
