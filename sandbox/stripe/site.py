"""The account, its events and its webhook endpoints (https://docs.stripe.com/api/events, …/webhook_endpoints)."""

from __future__ import annotations

from sandbox.stripe import objects, objects_site
from sandbox.stripe.errors import Json, no_such
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import check_url

ENDPOINT: Spec = {
    "url": "url",
    "enabled_events": ["text"],
    "description": "text?",
    "metadata": "metadata",
}


def own_account(tx: Transaction) -> str:
    """The id of the provider's account: the connected one that the call names, or the sandbox's own."""
    return tx.account or tx.fact("account", lambda: objects.new_id("acct_1", 15))


def keep_endpoint(tx: Transaction, url: str, secret: str) -> None:
    """Have the configured address hear of everything; it stays the same endpoint when it moves."""
    check_url(url)
    id = tx.fact("endpoint", lambda: objects.new_id("we_1"))
    found = tx.find("webhook_endpoint", id)
    if found is None or found.get("deleted"):
        tx.db.execute("DELETE FROM objects WHERE id = ?", (id,))
        fields = {"id": id, "description": "Configured when the sandbox was started"}
        tx.add(objects_site.webhook_endpoint(tx.now, url, fields))
    else:
        tx.save(found | {"url": url})
    tx.hide(id, secret=secret)


def _account(tx: Transaction, params: Json, id: str | None = None) -> Json:
    if id not in (None, own_account(tx)):
        raise no_such("account", str(id), "id", 404)
    since = int(tx.fact("account_created", lambda: str(tx.now)))
    return objects_site.account(since, own_account(tx))


def _event(tx: Transaction, params: Json, id: str) -> Json:
    return _with_pending(tx, tx.get("event", id))


def _list_events(tx: Transaction, params: Json) -> Json:
    wanted = params.get("types") or ([params["type"]] if "type" in params else None)
    found, more = tx.page("event", params, {"type": wanted})
    return objects.list_of("/v1/events", [_with_pending(tx, one) for one in found], more)


def _with_pending(tx: Transaction, event: Json) -> Json:
    waiting = tx.db.execute(
        "SELECT count(DISTINCT endpoint) FROM deliveries WHERE event = ? AND state IN ('pending', 'held')",
        (event["id"],),
    ).fetchone()[0]
    return event | {"pending_webhooks": waiting}


def _create(tx: Transaction, params: Json) -> Json:
    check_url(params["url"])
    secret = objects.new_id("whsec_", 32)
    fields = {
        "enabled_events": params["enabled_events"],
        "description": params.get("description"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "api_version": params.get("api_version"),
    }
    made = tx.add(objects_site.webhook_endpoint(tx.now, params["url"], fields), secret=secret)
    return made | {"secret": secret}


def _update(tx: Transaction, params: Json, id: str) -> Json:
    found = _endpoint(tx, {}, id)
    if "url" in params:
        check_url(params["url"])
    if "metadata" in params:
        params["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    if "disabled" in params:
        found["status"] = "disabled" if params.pop("disabled") else "enabled"
    return tx.save(found | params)


def _endpoint(tx: Transaction, params: Json, id: str) -> Json:
    found = tx.get("webhook_endpoint", id)
    if found.get("deleted"):
        raise no_such("webhook endpoint", id, "id", 404)
    return found


def _delete(tx: Transaction, params: Json, id: str) -> Json:
    _endpoint(tx, {}, id)
    return tx.save({"id": id, "object": "webhook_endpoint", "deleted": True})


def _list(tx: Transaction, params: Json) -> Json:
    return objects.list_of("/v1/webhook_endpoints", *tx.page("webhook_endpoint", params, {}))


ENDPOINTS = (
    Endpoint("GET", "/v1/account", {}, _account),
    Endpoint("GET", "/v1/accounts/<id>", {}, _account),
    Endpoint("GET", "/v1/events", {**LISTING, "type": "text", "types": ["text"], "created": "range"}, _list_events),
    Endpoint("GET", "/v1/events/<id>", {}, _event),
    Endpoint(
        "POST",
        "/v1/webhook_endpoints",
        {**ENDPOINT, "url!": "url", "enabled_events!": ["text"], "api_version": (objects_site.API_VERSION,)},
        _create,
    ),
    Endpoint("GET", "/v1/webhook_endpoints", LISTING, _list),
    Endpoint("GET", "/v1/webhook_endpoints/<id>", {}, _endpoint),
    Endpoint("POST", "/v1/webhook_endpoints/<id>", {**ENDPOINT, "disabled": "bool"}, _update),
    Endpoint("DELETE", "/v1/webhook_endpoints/<id>", {}, _delete),
)
