"""Records events and the deliveries that come of them, as rows of the transaction that caused them; courier.py carries.

A lane is a customer, or without one a payment or the object itself: what is on one lane is delivered in the order in
which it happened, lanes go side by side.
"""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from ipaddress import ip_address
from random import Random
from urllib.parse import urlsplit

from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.objects_site import event as build_event
from sandbox.stripe.store import Transaction


def emit(
    tx: Transaction,
    type: str,
    about: Json,
    previous: Json | None = None,
    *,
    lane: str | None = None,
    changed: Json | None = None,
) -> None:
    """Record that something happened to an object, and for whom it is; `changed` are other fields of the event."""
    request = {"id": tx.call.request, "idempotency_key": tx.call.key}
    made = build_event(tx.now, type, about, previous, request, tx.account) | (changed or {})
    receivers = [one for one in endpoints(tx) if wants(one, type, tx.account)]
    tx.add(made | {"pending_webhooks": len(receivers)})
    lane = lane or about.get("customer") or about.get("payment_intent") or about.get("id", "")
    for id, _, _, _ in receivers:
        schedule(tx, made["id"], type, id, str(lane))
    tx.rings = True


Receiver = tuple[str, str, Json, Json]
"""A webhook endpoint: its id, its account, itself, and what is hidden of it."""


def endpoints(tx: Transaction) -> list[Receiver]:
    """The webhook endpoints of all accounts, read once."""
    if tx.store.endpoints is None:
        rows = tx.db.execute(
            "SELECT id, account, body, hidden FROM objects WHERE kind = 'webhook_endpoint' ORDER BY seq"
        )
        tx.store.endpoints = [(id, account, json.loads(body), json.loads(known)) for id, account, body, known in rows]
    return tx.store.endpoints


def schedule(tx: Transaction, event: str, type: str, endpoint: str, lane: str, place: int | None = None) -> int:
    """Put a delivery in the queue; returns its number."""
    due, place = tx.store.now(), tx.store.next_place() if place is None else place
    if seed := tx.dials.shuffle_seed:
        due += Random(f"{seed} {place}").random() * tx.dials.shuffle_seconds
        lane = event
    cursor = tx.db.execute(
        "INSERT INTO deliveries (place, event, type, endpoint, due, lane) VALUES (?, ?, ?, ?, ?, ?)",
        (place, event, type, endpoint, due, lane),
    )
    tx.rings = True
    return int(cursor.lastrowid or 0)


def wants(receiver: Receiver, type: str, account: str) -> bool:
    """Whether an endpoint asked for this kind of event of this account."""
    _, owner, endpoint, known = receiver
    if endpoint.get("deleted") or endpoint["status"] != "enabled":
        return False
    if owner != account and (owner or known.get("connect") is False):
        return False
    if owner == account == "" and known.get("connect"):
        return False
    return "*" in endpoint["enabled_events"] or type in endpoint["enabled_events"]


def sign(body: str, secret: str, at: int) -> str:
    """The Stripe-Signature header for a body sent at `at` (Unix seconds), always in real time.

    `t=<Unix seconds>,v1=<HMAC-SHA256 of "t.body">` (https://docs.stripe.com/webhooks#verify-manually).
    """
    digest = hmac.new(secret.encode(), f"{at}.{body}".encode(), sha256).hexdigest()
    return f"t={at},v1={digest}"


def check_url(url: str) -> None:
    """Refuse an address outside this machine: nothing of the sandbox may leave it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if parts.scheme != "http" or not local:
        raise invalid("The sandbox sends webhooks to http addresses of this machine only.", "url", "url_invalid")


def release(tx: Transaction) -> int:
    """Let go of every held delivery, in the order they happened; returns how many."""
    held = tx.db.execute(
        "UPDATE deliveries SET state = 'pending', due = ? WHERE state = 'held'", (tx.store.now(),)
    ).rowcount
    tx.rings = tx.rings or held > 0
    return held
