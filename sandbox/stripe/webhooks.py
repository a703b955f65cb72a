"""Records events and carries them to whoever asked for them, signed as Stripe signs.

An event and its deliveries are rows of the transaction that caused them; one thread delivers them in the order they
happened, tries again a few times with growing pauses, and goes on with the next one meanwhile.
Signature: `t=<Unix seconds>,v1=<HMAC-SHA256 of "t.body">` (https://docs.stripe.com/webhooks#verify-manually), always in
real time.
"""

from __future__ import annotations

import hmac
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.faults import Faults
from sandbox.stripe.objects_site import event as build_event
from sandbox.stripe.store import Store, Transaction

RETRY_PAUSES = (1.0, 5.0, 25.0)
"""Seconds before the second, third and fourth try; after that a delivery has failed."""
ANSWER_WITHIN = 10.0
"""Seconds that a receiver has for its answer."""


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one address."""

    id: int
    tries: int
    url: str
    secret: str
    body: str


def emit(tx: Transaction, type: str, about: Json, previous: Json | None = None) -> None:
    """Record that something happened to an object, and for whom it is."""
    request = {"id": tx.call.request, "idempotency_key": tx.call.key}
    made = build_event(tx.now, type, about, previous, request, tx.account)
    rows = tx.db.execute(
        "SELECT id, body FROM objects WHERE kind = 'webhook_endpoint' AND account IN ('', ?) ORDER BY seq",
        (tx.account,),
    ).fetchall()
    receivers = [id for id, body in rows if wants(json.loads(body), type)]
    tx.add(made | {"pending_webhooks": len(receivers)})
    for endpoint in receivers:
        schedule(tx, made["id"], type, endpoint)
    tx.rings = True


def schedule(tx: Transaction, event: str, type: str, endpoint: str) -> None:
    """Put a delivery in the queue."""
    tx.db.execute(
        "INSERT INTO deliveries (event, type, endpoint, due) VALUES (?, ?, ?, ?)",
        (event, type, endpoint, time.time()),
    )
    tx.db.execute("UPDATE deliveries SET place = id WHERE place = 0")


def wants(endpoint: Json, type: str) -> bool:
    """Whether an endpoint asked for this kind of event."""
    if endpoint.get("deleted") or endpoint["status"] != "enabled":
        return False
    return "*" in endpoint["enabled_events"] or type in endpoint["enabled_events"]


def sign(body: str, secret: str, at: int) -> str:
    """The Stripe-Signature header for a body sent at `at` (Unix seconds)."""
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
        "UPDATE deliveries SET state = 'pending', due = ? WHERE state = 'held'", (time.time(),)
    ).rowcount
    tx.rings = tx.rings or held > 0
    return held


class Courier:
    """The thread that delivers; `each_second` is called about once a second with the store."""

    def __init__(
        self, store: Store, faults: Faults, pauses: tuple[float, ...], each_second: Callable[[Store], None]
    ) -> None:
        self._store = store
        self._faults = faults
        self._pauses = pauses
        self._each_second = each_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stripe-webhooks", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, within: float) -> bool:
        """End after the delivery that is under way; what is left stays in the table. False: it still waits."""
        self._stopping.set()
        self._store.bell.set()
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._store.bell.clear()
            self._each_second(self._store)
            while not self._stopping.is_set() and self._deliver_next():
                pass
            self._store.bell.wait(self._pause())

    def _pause(self) -> float:
        with self._store.transaction() as tx:
            due = tx.db.execute("SELECT min(due) FROM deliveries WHERE state = 'pending'").fetchone()[0]
        return 1.0 if due is None else min(1.0, max(0.0, due - time.time()))

    def _deliver_next(self) -> bool:
        """Deal with the oldest delivery that is due; False when there is none."""
        with self._store.transaction() as tx:
            row = tx.db.execute(
                "SELECT id, judged, type FROM deliveries WHERE state = 'pending' AND due <= ? "
                "ORDER BY place, id LIMIT 1",
                (time.time(),),
            ).fetchone()
            if row is None:
                return False
            id, judged, type = row
            if not judged and not _judge(tx, self._faults, id, type):
                return True
            delivery = _load(tx, id)
        if delivery is not None:
            status, error = _post(delivery)
            with self._store.transaction() as tx:
                _record(tx, delivery, status, error, self._pauses)
        return True


def _judge(tx: Transaction, faults: Faults, id: int, type: str) -> bool:
    """Let an ordered fault happen to a delivery; False when it is not to be sent now."""
    tx.db.execute("UPDATE deliveries SET judged = 1 WHERE id = ?", (id,))
    fault = faults.for_webhook(type)
    if fault is None:
        return True
    if fault.kind == "duplicate":
        tx.db.execute(
            "INSERT INTO deliveries (place, event, type, endpoint, judged, due) "
            "SELECT place, event, type, endpoint, 1, due FROM deliveries WHERE id = ?",
            (id,),
        )
        return True
    state = "dropped" if fault.kind == "drop" else "held"
    tx.db.execute("UPDATE deliveries SET state = ? WHERE id = ?", (state, id))
    if fault.kind == "reverse":
        fault.gathered.append(id)
        if fault.times <= 0:
            _send_last_first(tx, fault.gathered)
    return False


def _send_last_first(tx: Transaction, ids: list[int]) -> None:
    places = [tx.db.execute("SELECT place FROM deliveries WHERE id = ?", (id,)).fetchone()[0] for id in ids]
    for id, place in zip(ids, sorted(places, reverse=True), strict=True):
        tx.db.execute("UPDATE deliveries SET state = 'pending', place = ? WHERE id = ?", (place, id))


def _load(tx: Transaction, id: int) -> Delivery | None:
    row = tx.db.execute(
        "SELECT d.tries, w.body, w.hidden, e.body FROM deliveries d JOIN objects e ON e.id = d.event "
        "LEFT JOIN objects w ON w.id = d.endpoint WHERE d.id = ?",
        (id,),
    ).fetchone()
    endpoint = json.loads(row[1])
    if endpoint.get("deleted"):
        tx.db.execute("UPDATE deliveries SET state = 'dropped', error = 'the endpoint was deleted' WHERE id = ?", (id,))
        return None
    body = json.dumps(json.loads(row[3]), indent=2, ensure_ascii=False)
    return Delivery(id, row[0], endpoint["url"], json.loads(row[2])["secret"], body)


def _post(delivery: Delivery) -> tuple[int | None, str | None]:
    """Send a delivery once; returns the status, or why there is none. Redirects are not followed, proxies not used."""
    parts = urlsplit(delivery.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ANSWER_WITHIN)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": sign(delivery.body, delivery.secret, int(time.time())),
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, delivery.body.encode(), headers)
        return connection.getresponse().status, None
    except (OSError, http.client.HTTPException) as error:
        return None, getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()


def _record(
    tx: Transaction, delivery: Delivery, status: int | None, error: str | None, pauses: tuple[float, ...]
) -> None:
    tries = delivery.tries + 1
    now = time.time()
    if status is not None and 200 <= status < 300:
        state, due = "delivered", now
    elif tries <= len(pauses):
        state, due = "pending", now + pauses[tries - 1]
    else:
        state, due = "failed", now
    tx.db.execute(
        "UPDATE deliveries SET state = ?, tries = ?, due = ?, at = ?, status = ?, error = ? WHERE id = ?",
        (state, tries, due, now, status, error, delivery.id),
    )
