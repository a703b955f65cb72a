"""Keeps everything in one SQLite file, so that a restart loses nothing.

One writer at a time: every call runs in one transaction under one lock, which is what makes "charged once" simple.
Tables: objects (every object as JSON, with what Stripe would not show in `hidden`), deliveries (webhooks.py writes
them), answers (saved under idempotency keys), agenda (what happens later, agenda.py does it), facts (the account's id,
the configured endpoint, the dials). Nothing is synced to disk: kill -9 loses nothing, a power cut may.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from sandbox.stripe.dials import Dials
from sandbox.stripe.errors import Json, invalid, no_such

FORMAT = 2
"""Format of the file; format 1 is brought up to it, another one is refused by name."""

SCHEMA = """
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, account TEXT NOT NULL,
    created INTEGER NOT NULL, body TEXT NOT NULL, hidden TEXT NOT NULL);
CREATE INDEX objects_by_kind ON objects (kind, seq);
CREATE INDEX objects_by_customer ON objects (kind, json_extract(body, '$.customer'), seq);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL DEFAULT 0, event TEXT NOT NULL, type TEXT NOT NULL,
    endpoint TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', judged INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, at REAL, status INTEGER, error TEXT);
CREATE TABLE answers (
    account TEXT NOT NULL, key TEXT NOT NULL, created INTEGER NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, request TEXT NOT NULL, PRIMARY KEY (account, key));
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
SECOND = """
ALTER TABLE deliveries ADD COLUMN lane TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN forged INTEGER NOT NULL DEFAULT 0;
DROP INDEX IF EXISTS deliveries_due;
DROP INDEX IF EXISTS open_sessions;
CREATE INDEX deliveries_pending ON deliveries (place) WHERE state = 'pending';
CREATE INDEX deliveries_by_event ON deliveries (event);
DROP INDEX IF EXISTS objects_by_customer;
ALTER TABLE objects ADD COLUMN customer TEXT;
ALTER TABLE objects ADD COLUMN intent TEXT;
UPDATE objects SET customer = json_extract(body, '$.customer'), intent = json_extract(body, '$.payment_intent')
    WHERE kind != 'event';
CREATE INDEX objects_of_customer ON objects (kind, customer, seq) WHERE customer IS NOT NULL;
CREATE INDEX objects_of_intent ON objects (kind, intent, seq) WHERE intent IS NOT NULL;
CREATE INDEX movements_by_source ON objects (json_extract(body, '$.source'))
    WHERE kind = 'balance_transaction';
CREATE INDEX movements_by_payout ON objects (account, json_extract(hidden, '$.payout'), seq)
    WHERE kind = 'balance_transaction';
CREATE TABLE agenda (
    id INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, account TEXT NOT NULL, deed TEXT NOT NULL,
    about TEXT NOT NULL, said TEXT NOT NULL);
CREATE INDEX agenda_due ON agenda (due, id);
INSERT INTO agenda (due, account, deed, about, said)
    SELECT json_extract(body, '$.expires_at'), account, 'expire_session', id, '{}' FROM objects
    WHERE kind = 'checkout.session' AND json_extract(body, '$.status') = 'open';
"""
"""What format 2 has beside format 1: lanes of webhooks, the agenda, and indexes for bigger sandboxes."""

INDEXED = {
    "customer": "customer",
    "payment_intent": "intent",
    "source": "json_extract(body, '$.source')",
    "payout": "json_extract(hidden, '$.payout')",
}
KEY_LIFE = 86400
"""Seconds that an idempotency key is remembered."""


@dataclass(frozen=True)
class Call:
    """Who asks: the connected account ("" for the own one), the request, its idempotency key, and our two addresses."""

    account: str = ""
    request: str | None = None
    key: str | None = None
    base_url: str = ""
    bank_url: str = ""
    """Where a bank asks its customer (3-D Secure): another address than the hosted pages'."""


@dataclass(frozen=True)
class Answer:
    """An answer that was saved under an idempotency key."""

    path: str
    fingerprint: str
    status: int
    body: str
    request: str


class Transaction:
    """Everything one call reads and writes; `now` (Unix seconds) stands still in it."""

    def __init__(self, store: Store, now: float, call: Call) -> None:
        self.store = store
        self.db = store.db
        self.now = int(now)
        self.call = call
        self.account = call.account
        self.rings = False
        """Set when there is something to deliver once this is committed."""

    @property
    def dials(self) -> Dials:
        """How the sandbox is set."""
        return self.store.dials

    def add(self, made: Json, **hidden: Any) -> Json:
        """Store a new object."""
        self.db.execute(
            "INSERT INTO objects (id, kind, account, created, body, hidden, customer, intent) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                made["id"],
                made["object"],
                self.account,
                self.now,
                dump(made),
                dump(hidden) if hidden else "{}",
                made.get("customer"),
                made.get("payment_intent"),
            ),
        )
        return made

    def save(self, changed: Json) -> Json:
        """Store an object's new state."""
        self.db.execute(
            "UPDATE objects SET body = ?, customer = ?, intent = ? WHERE id = ?",
            (dump(changed), changed.get("customer"), changed.get("payment_intent"), changed["id"]),
        )
        return changed

    def find(self, kind: str, id: str | None) -> Json | None:
        """Return the object of this kind and account, or None."""
        row = self.db.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ? AND account = ?", (id, kind, self.account)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def get(self, kind: str, id: str, param: str = "id") -> Json:
        """Return the object, or raise Stripe's 404 (in the path) or 400 (in a parameter)."""
        found = self.find(kind, id)
        if found is None:
            raise no_such(kind, id, param, 404 if param == "id" else 400)
        return found

    def enter(self, id: str) -> None:
        """Go on as the account that an object belongs to: a browser does not name one."""
        row = self.db.execute("SELECT account FROM objects WHERE id = ?", (id,)).fetchone()
        self.account = row[0] if row else ""

    def hidden(self, id: str) -> Json:
        """Return what we know of an object and Stripe would not show."""
        row = self.db.execute("SELECT hidden FROM objects WHERE id = ?", (id,)).fetchone()
        return json.loads(row[0]) if row else {}

    def later(self, due: float, deed: str, about: str, **said: Any) -> None:
        """Have something happen at a time (Unix seconds) of the sandbox's clock."""
        self.db.execute(
            "INSERT INTO agenda (due, account, deed, about, said) VALUES (?, ?, ?, ?, ?)",
            (due, self.account, deed, about, dump(said)),
        )
        self.store.soonest = min(self.store.soonest, due)

    def hide(self, id: str, **values: Any) -> None:
        """Add to what is known of an object behind the scenes."""
        self.db.execute("UPDATE objects SET hidden = ? WHERE id = ?", (dump(self.hidden(id) | values), id))

    def page(self, kind: str, params: Json, where: Mapping[str, Any]) -> tuple[list[Json], bool]:
        """Return one page of objects, newest first, and whether there are more.

        `where` maps a path in the object to the value it must have (None: no condition; a list: one of them);
        `params` may hold limit (1 to 100, default 10), starting_after, ending_before and created.
        """
        limit = params.get("limit", 10)
        if not 1 <= limit <= 100:
            raise invalid("limit must be between 1 and 100.", "limit", "parameter_invalid_integer")
        # The kind is written out (it is ours, never a caller's), because only then do partial indexes serve.
        sql, values = [f"kind = '{kind}'", "account = ?"], [self.account]
        for path, wanted in where.items():
            if wanted is not None:
                choices = wanted if isinstance(wanted, list) else [wanted]
                # Paths with an index are written out, because only then does it serve.
                field = INDEXED.get(path, "json_extract(body, ?)")
                values += choices if path in INDEXED else [f"$.{path}", *choices]
                sql.append(f"{field} IN ({', '.join('?' * len(choices))})")
        for word, sign in (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")):
            if word in params.get("created", {}):
                sql.append(f"created {sign} ?")
                values.append(params["created"][word])
        backwards = "ending_before" in params
        for word, sign in (("starting_after", "<"), ("ending_before", ">")):
            if word in params:
                self.get(kind, params[word], word)
                sql.append(f"seq {sign} (SELECT seq FROM objects WHERE id = ?)")  # noqa: S608
                values.append(params[word])
        rows = self.db.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(sql)} AND json_extract(body, '$.deleted') IS NULL "  # noqa: S608
            f"ORDER BY seq {'ASC' if backwards else 'DESC'} LIMIT ?",
            [*values, limit + 1],
        ).fetchall()
        found = [json.loads(row[0]) for row in rows[:limit]]
        return (found[::-1] if backwards else found), len(rows) > limit

    def fact(self, name: str, first: Callable[[], str]) -> str:
        """Return a value that is made once and then stays."""
        row = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = (first(),)
            self.db.execute("INSERT INTO facts VALUES (?, ?)", (name, row[0]))
        return str(row[0])

    def recall(self, key: str) -> Answer | None:
        """Return the answer saved under an idempotency key in the last 24 hours."""
        row = self.db.execute(
            "SELECT path, fingerprint, status, body, request FROM answers "
            "WHERE account = ? AND key = ? AND created > ?",
            (self.account, key, self.now - KEY_LIFE),
        ).fetchone()
        return Answer(*row) if row else None

    def remember(self, key: str, answer: Answer) -> None:
        """Save an answer, in the same transaction as what it tells of."""
        self.db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.account,
                key,
                self.now,
                answer.path,
                answer.fingerprint,
                answer.status,
                answer.body,
                answer.request,
            ),
        )

    def put_fact(self, name: str, value: str) -> None:
        """Keep a value for good, over the one that was there."""
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    @contextmanager
    def undoable(self) -> Iterator[None]:
        """Take back what the block did when it raises an error that does not keep its work."""
        self.db.execute("SAVEPOINT work")
        try:
            yield
        except Exception as error:
            if not getattr(error, "keeps", False):
                self.db.execute("ROLLBACK TO work")
            raise
        finally:
            self.db.execute("RELEASE work")


class Store:
    """The file and its lock. `now` gives Unix seconds and may run ahead of the real time."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.ring: Callable[[], None] = lambda: None
        """Called after a commit that left something to deliver."""
        self.dials = Dials()
        self.soonest = inf
        """When the agenda has something to do next."""
        self.endpoints: list[tuple[str, str, Json, Json]] | None = None
        """(id, account, body, hidden) of the webhook endpoints; None when they have to be read again."""
        self._now = now
        self._lock = threading.RLock()
        path.touch(mode=0o600)  # it holds the secrets that webhooks are signed with
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, cached_statements=512)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("PRAGMA wal_autocheckpoint = 8000")
        found = self.db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, 1, FORMAT):
            raise ValueError(f"{path} has format {found}, this sandbox reads format {FORMAT}")
        if found < FORMAT:
            first = SCHEMA if found == 0 else ""
            self.db.executescript(f"BEGIN; {first} {SECOND} PRAGMA user_version = {FORMAT}; COMMIT;")
        self._place = self.db.execute("SELECT coalesce(max(place), 0) FROM deliveries").fetchone()[0]
        self.look_ahead()

    def now(self) -> float:
        """Unix seconds of the sandbox's clock."""
        return self._now() + self.dials.clock

    def look_ahead(self) -> None:
        """Learn when the agenda has something to do next."""
        due = self.db.execute("SELECT min(due) FROM agenda").fetchone()[0]
        self.soonest = inf if due is None else due

    def next_place(self) -> int:
        """The next place in the queue of deliveries."""
        self._place += 1
        return int(self._place)

    @contextmanager
    def transaction(self, call: Call | None = None, at: float | None = None) -> Iterator[Transaction]:
        """Run a block alone; it is stored whole, or not at all when it raises. `at`: another time than now."""
        with self._lock:
            tx = Transaction(self, self.now() if at is None else at, call or Call())
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield tx
            except BaseException:
                self.db.execute("ROLLBACK")
                self.endpoints = None
                self.look_ahead()
                raise
            self.db.execute("COMMIT")
        if tx.rings:
            self.ring()

    def look(self, call: Call | None = None) -> Transaction:
        """Something to read with, outside any transaction."""
        return Transaction(self, self.now(), call or Call())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.db.close()


def dump(value: Json) -> str:
    """JSON as it is stored and sent: not as json.dumps would write it by itself, so that who signs or compares what it
    read and wrote again is found out."""
    return _encode(value)


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ": ")).encode
