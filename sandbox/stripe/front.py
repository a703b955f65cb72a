"""The operator's page of the sandbox, and the JSON by which tests order faults and look inside."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, jsonify, render_template, request
from werkzeug.wrappers import Response

from sandbox.stripe.cards import CARDS
from sandbox.stripe.errors import Json, StripeError, invalid
from sandbox.stripe.faults import Faults, read_fault
from sandbox.stripe.pages import money
from sandbox.stripe.store import Store, Transaction
from sandbox.stripe.webhooks import release

SHOWN = 12
"""How many payments and deliveries the page shows."""


def front(store: Store, faults: Faults) -> Blueprint:
    """The routes / and /sandbox."""
    routes = Blueprint("front", __name__)

    @routes.get("/")
    def show() -> str:
        with store.transaction() as tx:
            return render_template(
                "front.html",
                money=money,
                at=_at,
                cards=CARDS,
                charges=_recent(tx, "charge"),
                sessions=[one for one in _recent(tx, "checkout.session") if one["status"] == "open"],
                deliveries=_deliveries(tx),
                faults=faults.shown(),
                now=tx.now,
            )

    @routes.get("/sandbox/state")
    def state() -> Response:
        with store.transaction() as tx:
            return jsonify(_state(tx) | {"faults": faults.shown()})

    @routes.post("/sandbox/faults")
    def order() -> Response:
        # JSON only: a page of another origin cannot send that without asking first.
        given = request.get_json()
        if not isinstance(given, dict):
            raise invalid("a JSON object is expected")
        if given == {"kind": "release"}:
            with store.transaction() as tx:
                return jsonify({"released": release(tx)})
        faults.add(read_fault(given))
        return jsonify({"faults": faults.shown()})

    @routes.delete("/sandbox/faults")
    def forget() -> Response:
        faults.clear()
        return jsonify({"faults": []})

    @routes.errorhandler(StripeError)
    def refuse(error: StripeError) -> tuple[Response, int]:
        return jsonify(error.body), error.status

    return routes


def _at(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %H:%M:%S") if seconds else ""


def _recent(tx: Transaction, kind: str) -> list[Json]:
    """The last objects of a kind, whichever account they belong to."""
    rows = tx.db.execute("SELECT body FROM objects WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, SHOWN))
    return [json.loads(row[0]) for row in rows]


def _deliveries(tx: Transaction) -> list[Json]:
    rows = tx.db.execute(
        "SELECT d.*, json_extract(w.body, '$.url') AS url, json_extract(e.body, '$.data.object.id') AS about "
        "FROM deliveries d LEFT JOIN objects w ON w.id = d.endpoint JOIN objects e ON e.id = d.event "
        "ORDER BY d.id DESC LIMIT ?",
        (SHOWN,),
    )
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows]


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
