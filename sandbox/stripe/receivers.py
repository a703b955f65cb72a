"""Webhook endpoints: who wants to hear of what (https://docs.stripe.com/api/webhook_endpoints)."""

from __future__ import annotations

import re

from sandbox.stripe import objects, objects_site
from sandbox.stripe.errors import Json, invalid, no_such
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import check_url

ENDPOINT: Spec = {
    "url": "url",
    "enabled_events": ["text"],
    "description": "text?",
    "metadata": "metadata",
}
VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?")
TYPE = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)+")


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
    _forget(tx)


def _create(tx: Transaction, params: Json) -> Json:
    check_url(params["url"])
    _check_types(params["enabled_events"])
    version = params.get("api_version")
    if version and not VERSION.fullmatch(version):
        raise invalid(f"Invalid Stripe API version: {version}", "api_version")
    secret = objects.new_id("whsec_", 32)
    fields = {
        "enabled_events": params["enabled_events"],
        "description": params.get("description"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "api_version": version,
    }
    made = objects_site.webhook_endpoint(tx.now, params["url"], fields)
    tx.add(made, secret=secret, connect=params.get("connect", False))
    _forget(tx)
    return made | {"secret": secret}


def _update(tx: Transaction, params: Json, id: str) -> Json:
    found = _endpoint(tx, {}, id)
    if "url" in params:
        check_url(params["url"])
    _check_types(params.get("enabled_events", []))
    if "metadata" in params:
        params["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    if "disabled" in params:
        found["status"] = "disabled" if params.pop("disabled") else "enabled"
    _forget(tx)
    return tx.save(found | params)


def _check_types(types: list[str]) -> None:
    for type in types:
        if not TYPE.fullmatch(type):
            raise invalid(f"Unrecognized event type: {type}", "enabled_events")


def _forget(tx: Transaction) -> None:
    """Have the endpoints read again."""
    tx.store.endpoints = None


def _endpoint(tx: Transaction, params: Json, id: str) -> Json:
    found = tx.get("webhook_endpoint", id)
    if found.get("deleted"):
        raise no_such("webhook endpoint", id, "id", 404)
    return found


def _delete(tx: Transaction, params: Json, id: str) -> Json:
    _endpoint(tx, {}, id)
    _forget(tx)
    return tx.save({"id": id, "object": "webhook_endpoint", "deleted": True})


def _list(tx: Transaction, params: Json) -> Json:
    return objects.list_of("/v1/webhook_endpoints", *tx.page("webhook_endpoint", params, {}))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/webhook_endpoints",
        {**ENDPOINT, "url!": "url", "enabled_events!": ["text"], "api_version": "text", "connect": "bool"},
        _create,
    ),
    Endpoint("GET", "/v1/webhook_endpoints", LISTING, _list),
    Endpoint("GET", "/v1/webhook_endpoints/<id>", {}, _endpoint),
    Endpoint("POST", "/v1/webhook_endpoints/<id>", {**ENDPOINT, "disabled": "bool"}, _update),
    Endpoint("DELETE", "/v1/webhook_endpoints/<id>", {}, _delete),
)
