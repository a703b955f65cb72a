"""Keeps everything in one SQLite file, so that a restart loses nothing.

One writer at a time: every call runs in one transaction under one lock, which is what makes "charged once" simple.
Tables: objects (every object as JSON, with what Stripe would not show in `hidden`), deliveries (webhooks.py writes
them), answers (saved under idempotency keys), facts (the account's id, the configured endpoint).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.stripe.errors import Json, invalid, no_such

FORMAT = 1
"""Format of the file; another one is refused by name."""

SCHEMA = """
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, account TEXT NOT NULL,
    created INTEGER NOT NULL, body TEXT NOT NULL, hidden TEXT NOT NULL);
CREATE INDEX objects_by_kind ON objects (kind, seq);
CREATE INDEX objects_by_customer ON objects (kind, json_extract(body, '$.customer'), seq);
CREATE INDEX open_sessions ON objects (json_extract(body, '$.expires_at'))
    WHERE kind = 'checkout.session' AND json_extract(body, '$.status') = 'open';
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL DEFAULT 0, event TEXT NOT NULL, type TEXT NOT NULL,
    endpoint TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', judged INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, at REAL, status INTEGER, error TEXT);
CREATE INDEX deliveries_due ON deliveries (state, due);
CREATE TABLE answers (
    account TEXT NOT NULL, key TEXT NOT NULL, created INTEGER NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, request TEXT NOT NULL, PRIMARY KEY (account, key));
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Call:
    """Who asks: the connected account ("" for the own one), the request, its idempotency key, and our own address."""

    account: str = ""
    request: str | None = None
    key: str | None = None
    base_url: str = ""


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

    def __init__(self, db: sqlite3.Connection, now: int, call: Call) -> None:
        self.db = db
        self.now = now
        self.call = call
        self.account = call.account
        self.rings = False
        """Set when there is something to deliver once this is committed."""

    def add(self, made: Json, **hidden: Any) -> Json:
        """Store a new object."""
        self.db.execute(
            "INSERT INTO objects (id, kind, account, created, body, hidden) VALUES (?, ?, ?, ?, ?, ?)",
            (made["id"], made["object"], self.account, self.now, _dump(made), _dump(hidden)),
        )
        return made

    def save(self, changed: Json) -> Json:
        """Store an object's new state."""
        self.db.execute("UPDATE objects SET body = ? WHERE id = ?", (_dump(changed), changed["id"]))
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

    def hide(self, id: str, **values: Any) -> None:
        """Add to what is known of an object behind the scenes."""
        self.db.execute("UPDATE objects SET hidden = ? WHERE id = ?", (_dump(self.hidden(id) | values), id))

    def page(self, kind: str, params: Json, where: Mapping[str, Any]) -> tuple[list[Json], bool]:
        """Return one page of objects, newest first, and whether there are more.

        `where` maps a path in the object to the value it must have (None: no condition; a list: one of them);
        `params` may hold limit (1 to 100, default 10), starting_after, ending_before and created.
        """
        limit = params.get("limit", 10)
        if not 1 <= limit <= 100:
            raise invalid("limit must be between 1 and 100.", "limit", "parameter_invalid_integer")
        sql, values = ["kind = ?", "account = ?"], [kind, self.account]
        for path, wanted in where.items():
            if wanted is not None:
                choices = wanted if isinstance(wanted, list) else [wanted]
                # The path of a customer is written out, because only then does its index serve.
                field = "'$.customer'" if path == "customer" else "?"
                values += choices if path == "customer" else [f"$.{path}", *choices]
                sql.append(f"json_extract(body, {field}) IN ({', '.join('?' * len(choices))})")
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
        self.db.execute("DELETE FROM answers WHERE created <= ?", (self.now - 86400,))
        row = self.db.execute(
            "SELECT path, fingerprint, status, body, request FROM answers WHERE account = ? AND key = ?",
            (self.account, key),
        ).fetchone()
        return Answer(*row) if row else None

    def remember(self, key: str, answer: Answer) -> None:
        """Save an answer, in the same transaction as what it tells of."""
        self.db.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
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
        self.bell = threading.Event()
        """Rings after a commit that left something to deliver."""
        self._now = now
        self._lock = threading.RLock()
        path.touch(mode=0o600)  # it holds the secrets that webhooks are signed with
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            self._db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
        elif found != FORMAT:
            raise ValueError(f"{path} has format {found}, this sandbox reads format {FORMAT}")

    @contextmanager
    def transaction(self, call: Call | None = None) -> Iterator[Transaction]:
        """Run a block alone; it is stored whole, or not at all when it raises."""
        with self._lock:
            tx = Transaction(self._db, int(self._now()), call or Call())
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield tx
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        if tx.rings:
            self.bell.set()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
