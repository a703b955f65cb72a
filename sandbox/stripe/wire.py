"""HTTP/1.1 on one event loop: many calls wait side by side without a thread each, and a line can be cut on purpose.

Just as much of RFC 9112 as the official library, browsers and tests speak: Content-Length bodies, kept connections, one
request at a time on each.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

MOST_HEAD, MOST_BODY = 65_536, 1_000_000
"""Octets of a head and of a body that are read."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Request:
    """What somebody asked; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What is answered; `cut`: nothing is, the line just ends."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    more: tuple[tuple[str, str], ...] = ()
    """Headers that may come more than once."""


CUT = Reply(0, b"", cut=True)
Serve = Callable[[Request], Awaitable[Reply]]


class Line(asyncio.Protocol):
    """One connection. Work that was begun goes on when the caller hangs up, as it does at Stripe."""

    def __init__(self, serve: Serve, open_lines: set[Line]) -> None:
        self._serve = serve
        self._open = open_lines
        self._read = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; a request under way is finished all the same."""
        self._transport = None
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read on; the next request waits until the one before it is answered."""
        self._read += data
        if self._task is None:
            self._begin()

    def close(self) -> None:
        """Cut the line."""
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            if len(self._read) > MOST_HEAD:
                self._refuse(431)
            return
        head = _understand(self._read[:end])
        if head is None or "transfer-encoding" in head.headers:
            self._refuse(400 if head is None else 411)
            return
        length = head.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_BODY:
            self._refuse(413)
            return
        whole = end + 4 + int(length)
        if len(self._read) >= whole:
            request = Request(head.method, head.path, head.query, head.headers, self._read[end + 4 : whole])
            self._read = self._read[whole:]
            self._task = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            reply = await self._serve(request)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            reply = Reply(500, b"")
        keep = request.headers.get("connection", "").lower() != "close"
        self._send(reply, keep, request.method == "HEAD")
        self._task = None
        if keep and self._read and self._transport is not None:
            self._begin()

    def _refuse(self, status: int) -> None:
        self._send(Reply(status, b""), False)

    def _send(self, reply: Reply, keep: bool, bare: bool = False) -> None:
        if self._transport is None:
            return
        if reply.cut:
            self._transport.abort()
            return
        lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, '')}"]
        lines += [f"{name}: {value}" for name, value in (*reply.headers.items(), *reply.more)]
        lines += [f"Content-Length: {len(reply.body)}", f"Connection: {'keep-alive' if keep else 'close'}", "", ""]
        self._transport.write("\r\n".join(lines).encode("latin-1", "replace") + (b"" if bare else reply.body))
        if not keep:
            self._transport.close()


def _understand(head: bytes) -> Request | None:
    """The request line and the headers, or None when they are none."""
    first, *rest = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
        return None
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        headers[name.lower()] = value.strip()
    if parts[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    path, _, query = parts[1].partition("?")
    return Request(parts[0], path, query, headers, b"")
