"""The operator's page of the sandbox: what happened lately, and the test cards."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from flask import Blueprint, render_template

from sandbox.stripe.cards import CARDS
from sandbox.stripe.errors import Json
from sandbox.stripe.faults import Faults
from sandbox.stripe.pages import money
from sandbox.stripe.store import Store, Transaction

SHOWN = 12
"""How many payments and deliveries the page shows."""


def front(store: Store, faults: Faults) -> Blueprint:
    """The route /."""
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
