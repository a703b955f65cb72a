"""The account and its events (https://docs.stripe.com/api/events)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from sandbox.stripe import objects, objects_site
from sandbox.stripe.errors import Json, invalid, no_such
from sandbox.stripe.params import LISTING, Endpoint
from sandbox.stripe.store import Transaction

EVENTS_LIVE = 30 * 86400
"""Seconds for which an event can be retrieved and listed."""


def own_account(tx: Transaction) -> str:
    """The id of the provider's account: the connected one that the call names, or the sandbox's own."""
    return tx.account or tx.fact("account", lambda: objects.new_id("acct_1", 15))


def _account(tx: Transaction, params: Json, id: str | None = None) -> Json:
    if id not in (None, own_account(tx)):
        raise no_such("account", str(id), "id", 404)
    since = int(tx.fact("account_created", lambda: str(tx.now)))
    return objects_site.account(since, own_account(tx)) | {
        "charges_enabled": tx.dials.charges_enabled,
        "country": tx.dials.country,
        "default_currency": tx.dials.default_currency,
    }


def _event(tx: Transaction, params: Json, id: str) -> Json:
    found = tx.get("event", id)
    if found["created"] <= tx.now - EVENTS_LIVE:
        raise no_such("event", id, "id", 404)
    return _with_pending(tx, found)


def _list_events(tx: Transaction, params: Json) -> Json:
    if "type" in params and "types" in params:
        raise invalid("You may pass either `type` or `types`, but not both.", "types")
    created = params.get("created", {})
    if created.get("gt", 0) < tx.now - EVENTS_LIVE:
        created["gt"] = tx.now - EVENTS_LIVE
    wanted: dict[str, object] = {"type": params.get("types")}
    if "type" in params:  # a name, or a group such as charge.*
        wanted["type"] = [one for one in _types(tx) if fnmatchcase(one, params["type"])] or [""]
    if "delivery_success" in params:
        wanted["id"] = _delivered(tx, params["delivery_success"])
    found, more = tx.page("event", {**params, "created": created}, wanted)
    return objects.list_of("/v1/events", [_with_pending(tx, one) for one in found], more)


def _types(tx: Transaction) -> list[str]:
    """Every type of event that there was."""
    rows = tx.db.execute("SELECT DISTINCT json_extract(body, '$.type') FROM objects WHERE kind = 'event'")
    return [row[0] for row in rows]


def _delivered(tx: Transaction, well: bool) -> list[str]:
    """Ids of the events of which every delivery came through, or of those of which one did not (yet)."""
    rows = tx.db.execute(
        "SELECT o.id FROM objects o LEFT JOIN deliveries d ON d.event = o.id AND d.state != 'delivered' "
        "WHERE o.kind = 'event' AND o.account = ? AND o.created > ? GROUP BY o.id HAVING (count(d.id) = 0) = ? "
        "ORDER BY o.seq DESC LIMIT 5000",
        (tx.account, tx.now - EVENTS_LIVE, well),
    ).fetchall()
    return [row[0] for row in rows] or [""]


def _with_pending(tx: Transaction, event: Json) -> Json:
    waiting = tx.db.execute(
        "SELECT count(DISTINCT endpoint) FROM deliveries WHERE event = ? AND state IN ('pending', 'held')",
        (event["id"],),
    ).fetchone()[0]
    return event | {"pending_webhooks": waiting}


ENDPOINTS = (
    Endpoint("GET", "/v1/account", {}, _account),
    Endpoint("GET", "/v1/accounts/<id>", {}, _account),
    Endpoint(
        "GET",
        "/v1/events",
        {**LISTING, "type": "text", "types": ["text"], "created": "range", "delivery_success": "bool"},
        _list_events,
    ),
    Endpoint("GET", "/v1/events/<id>", {}, _event),
)
