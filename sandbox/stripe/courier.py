"""Carries events to whoever asked for them: several at a time, those of one lane in order, again when they must.

It looks at the table, judges what is new by the ordered faults, sends what is due, and writes down what came of it;
what waits for its next try holds nothing up.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.objects import new_id
from sandbox.stripe.store import Store, Transaction, dump
from sandbox.stripe.webhooks import Receiver, endpoints, schedule, sign

ANSWER_WITHIN = 10.0
"""Seconds that a receiver has for its answer."""
LOOK_EVERY = 0.2
"""Seconds after which the table is looked at even when nothing rang: the clock may have been moved."""
ABOUT_THEM_ALL = "state = 'pending' AND due <= ?"


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one address."""

    id: int
    tries: int
    lane: str
    url: str
    secret: str
    body: str


class Courier:
    """Delivers until it is stopped; everything happens on the event loop that runs it."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self.over = False
        """Set to have it end; a cancelled wait alone may be lost when the bell rings at the same moment."""
        self._bell = asyncio.Event()
        self._under_way: dict[asyncio.Task[tuple[int | None, str | None]], Delivery] = {}

    def ring(self) -> None:
        """Have the table looked at."""
        self._bell.set()

    async def run(self) -> None:
        """Deliver for good."""
        try:
            while not self.over:
                await self._turn()
        finally:
            for task in self._under_way:
                task.cancel()

    async def _turn(self) -> None:
        self._bell.clear()
        finished = {task: self._under_way.pop(task) for task in list(self._under_way) if task.done()}
        if finished or self._any_due():
            with self._store.transaction() as tx:
                for task, delivery in finished.items():
                    _record(tx, delivery, *task.result())
                for delivery in self._pick(tx):
                    task = asyncio.get_running_loop().create_task(post(delivery))
                    self._under_way[task] = delivery
                    task.add_done_callback(lambda _: self._bell.set())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), LOOK_EVERY)

    def _any_due(self) -> bool:
        row = self._store.db.execute(
            f"SELECT 1 FROM deliveries WHERE {ABOUT_THEM_ALL} LIMIT 1",  # noqa: S608
            (self._store.now(),),
        ).fetchone()
        return row is not None

    def _pick(self, tx: Transaction) -> list[Delivery]:
        """What is to be sent now: the oldest that are due, one of each lane."""
        picked: list[Delivery] = []
        busy = {one.lane for one in self._under_way.values()}
        known = {one[0]: one for one in endpoints(tx)}
        while (free := tx.dials.deliveries - len(self._under_way) - len(picked)) > 0:
            marks = ", ".join("?" * len(busy))
            rows = tx.db.execute(
                f"SELECT d.id, judged, type, endpoint, lane, tries, forged, event FROM deliveries d "  # noqa: S608
                f"WHERE {ABOUT_THEM_ALL} AND lane NOT IN ({marks}) ORDER BY place, id LIMIT ?",
                (tx.store.now(), *busy, 2 * free),
            ).fetchall()
            judged_some = False
            for id, judged, type, endpoint, lane, tries, forged, event in rows:
                if lane in busy or len(picked) >= free:
                    continue
                if not judged:
                    forged = _judge(tx, self._faults, id, type)
                    judged_some = True
                    if forged is None:
                        continue
                if delivery := _load(tx, known, (id, endpoint, lane, tries, bool(forged), event)):
                    busy.add(lane)
                    picked.append(delivery)
            if not rows or not judged_some:
                return picked
        return picked


def _judge(tx: Transaction, faults: Faults, id: int, type: str) -> bool | None:
    """Let an ordered fault happen to a delivery; None when it is not to be sent now, True with a wrong signature."""
    fault = faults.for_webhook(type)
    wrong = fault is not None and fault.kind == "wrong_signature"
    tx.db.execute("UPDATE deliveries SET judged = 1, forged = ? WHERE id = ?", (wrong, id))
    if fault is None or wrong:
        return wrong
    if fault.kind in ("duplicate", "twin"):
        _send_again(tx, id, twin=fault.kind == "twin")
        return False
    if fault.kind == "delay":
        due = tx.store.now() + fault.seconds
        tx.db.execute("UPDATE deliveries SET due = ?, lane = event WHERE id = ?", (due, id))
        return None
    state = "dropped" if fault.kind == "drop" else "held"
    tx.db.execute("UPDATE deliveries SET state = ? WHERE id = ?", (state, id))
    if fault.kind in ("reverse", "shuffle"):
        fault.gathered.append(id)
        if fault.times <= 0:
            _send_in_disorder(tx, fault)
    return None


def _send_again(tx: Transaction, id: int, *, twin: bool) -> None:
    place, event, type, endpoint, lane = tx.db.execute(
        "SELECT place, event, type, endpoint, lane FROM deliveries WHERE id = ?", (id,)
    ).fetchone()
    if twin:
        account, body = tx.db.execute("SELECT account, body FROM objects WHERE id = ?", (event,)).fetchone()
        tx.account = account
        event = tx.add(json.loads(body) | {"id": new_id("evt_1")})["id"]
        tx.account = ""
    again = schedule(tx, event, type, endpoint, lane, place)
    tx.db.execute("UPDATE deliveries SET judged = 1 WHERE id = ?", (again,))


def _send_in_disorder(tx: Transaction, fault: Fault) -> None:
    """Let go of what a fault gathered, on one lane, so that the new order is the one that is kept."""
    ids = fault.gathered
    places = sorted(tx.db.execute("SELECT place FROM deliveries WHERE id = ?", (id,)).fetchone()[0] for id in ids)
    if fault.kind == "reverse":
        places.reverse()
    else:
        Random(fault.seed).shuffle(places)
    for id, place in zip(ids, places, strict=True):
        tx.db.execute("UPDATE deliveries SET state = 'pending', place = ?, lane = 'disorder' WHERE id = ?", (place, id))


def _load(tx: Transaction, known: dict[str, Receiver], row: tuple[int, str, str, int, bool, str]) -> Delivery | None:
    id, endpoint, lane, tries, forged, event = row
    _, _, receiver, hidden = known[endpoint]
    if receiver.get("deleted"):
        tx.db.execute("UPDATE deliveries SET state = 'dropped', error = 'the endpoint was deleted' WHERE id = ?", (id,))
        return None
    body: str = tx.db.execute("SELECT body FROM objects WHERE id = ?", (event,)).fetchone()[0]
    if version := receiver["api_version"]:
        body = dump(json.loads(body) | {"api_version": version})
    secret = "whsec_of_somebody_else" if forged and tries == 0 else hidden["secret"]
    return Delivery(id, tries, lane, receiver["url"], secret, body)


async def post(delivery: Delivery) -> tuple[int | None, str | None]:
    """Send a delivery once; returns the status, or why there is none. Redirects are not followed, proxies not used."""
    try:
        return await asyncio.wait_for(_exchange(delivery), ANSWER_WITHIN), None
    except TimeoutError:
        return None, "timed out"
    except (OSError, EOFError, ValueError) as error:
        return None, getattr(error, "strerror", None) or str(error) or type(error).__name__


async def _exchange(delivery: Delivery) -> int:
    parts = urlsplit(delivery.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        body = delivery.body.encode()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
            f"Stripe-Signature: {sign(delivery.body, delivery.secret, int(time.time()))}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        first = (await reader.readuntil(b"\r\n")).split(b" ")
        await reader.read(65_536)  # so that the receiver can finish its answer
        return int(first[1])
    except IndexError:
        raise ValueError("the answer is no HTTP") from None
    finally:
        writer.close()


def _record(tx: Transaction, delivery: Delivery, status: int | None, error: str | None) -> None:
    tries, now, pauses = delivery.tries + 1, tx.store.now(), tx.dials.retry_pauses
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
