"""The shell around the exchange: sockets, event loop, journal. It moves datagrams and decides nothing.

Sockets come from the supervisor (TOLLKEEPER_SOCKETS=auth:3,acct:4), so datagrams wait in their buffers while this
process restarts. Answers leave from the address that was asked.
"""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import struct
import sys
import time
from collections import Counter
from functools import lru_cache, partial
from typing import Any

import uvloop
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from base import clock, pulse
from base.crypto import open_vault
from base.database import address, connect, transaction
from base.log import alarm, logger
from base.settings import PREFIX, Settings, WrongSetting
from radius.book import Book
from radius.exchange import Drop, Exchange, Login, SaveThenSend, Send, Service
from radius.follower import Follower
from radius.journal import Callback, Journal
from radius.journal_format import Accounting, RecordKind, encode_accounting, encode_json, encode_login, pack_address
from radius.snapshot import restore, without_collecting

BUFFER = 4 << 20  # bytes of datagrams that wait in the kernel
BATCH = 64  # datagrams of one socket before the loop looks at the others
LONGEST = 4097  # one more than RFC 2865 allows, so that a longer one is seen as such
CATCH_UP = 0.5  # seconds; datagrams wait in their sockets meanwhile
TURN = 0.001  # seconds that another thread of this process may delay a login; Python's own default is 5 ms
DROPS_EVERY = 1.0  # seconds between two journal records of what was dropped

# <linux/in.h> and <asm-generic/socket.h>; the socket module has no names for them.
_IP_PKTINFO, _SO_RCVBUFFORCE = 8, 33
_IN_PKTINFO = struct.Struct("I4s4s")  # interface, local address, address of the header
_MAX_DROP_SOURCES = 1000  # sources named per record; a flood of forged addresses is counted under one


class Node:
    """One radius process: its exchange, journal and sockets."""

    def __init__(self, book: Book, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange = Exchange(book)
        self._journal = journal
        self._loop = loop
        self._drops: Counter[tuple[str, str]] = Counter()
        self._journal_failures = 0
        self.counters: Counter[str] = Counter()

    def serve(self, service: Service, sock: socket.socket) -> None:
        """Answer this socket from now on."""
        prepare(sock)
        self._loop.add_reader(sock, self._drain, service, sock)

    def _drain(self, service: Service, sock: socket.socket) -> None:
        at_us = _microseconds()  # for all of the batch, which is over within 3 ms
        for _ in range(BATCH):
            try:
                datagram, ancillary, _, peer = sock.recvmsg(LONGEST, 128)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error of an earlier answer; the socket goes on
                self._drops[f"socket_{error.errno}", ""] += 1
                return
            try:
                outcome = self._exchange.receive(service, datagram, peer[0], peer[1], time.monotonic())
            except Exception:
                self._count(f"{service}_error", peer[0])
                alarm("datagram_not_answered", service=service, source=peer[0])
                continue
            back = reply_address(ancillary)
            if type(outcome) is Send:
                self._send(sock, outcome.reply, back, peer)
                self.counters[service] += 1
                if outcome.login is not None:
                    self._log(outcome.login, at_us)
            elif type(outcome) is SaveThenSend:
                self._save(sock, outcome, back, peer, at_us)
            elif type(outcome) is Drop:
                self._count(outcome.name, peer[0])

    def _save(self, sock: socket.socket, outcome: SaveThenSend, back: list[Any], peer: Any, at_us: int) -> None:
        payload = encode_accounting(Accounting(outcome.nas.id, pack_address(peer[0]), peer[1], outcome.request))
        acknowledge = partial(self._acknowledge, sock, outcome, back, peer)
        if not self._journal.append(RecordKind.ACCOUNTING, at_us, payload, acknowledge):
            self._count("journal_full", peer[0])

    def _acknowledge(self, sock: socket.socket, outcome: SaveThenSend, back: list[Any], peer: Any) -> None:
        self._exchange.answered(outcome.key, outcome.reply)
        self._send(sock, outcome.reply, back, peer)
        self.counters["acct"] += 1

    def _send(self, sock: socket.socket, octets: bytes, back: list[Any], peer: Any) -> None:
        try:
            sock.sendmsg([octets], back, 0, peer)
        except OSError as error:
            self._count("reply_not_sent", peer[0])
            logger().debug("reply.not_sent", peer=peer[0], error=error.strerror)

    def _log(self, login: Login, at_us: int) -> None:
        self.counters["accept" if login.accepted else "reject"] += 1
        payload = encode_login(
            login.nas_id, login.login, login.service_id, login.accepted, login.reason, login.calling_station
        )
        self._journal.append(RecordKind.LOGIN, at_us, payload)

    def _count(self, name: str, source: str) -> None:
        self.counters[f"drop_{name}"] += 1
        key = (name, source.partition("%")[0])
        if len(self._drops) >= _MAX_DROP_SOURCES and key not in self._drops:
            key = (name, "")
        self._drops[key] += 1

    def look_after_journal(self) -> None:
        """Raise an alarm when the disk refused since the last look: what it refused is not acknowledged."""
        state = self._journal.state()
        if state.failures != self._journal_failures:
            self._journal_failures = state.failures
            alarm("journal_not_written", reason=state.failed or "a moment ago; it went well again since")

    def write_drops(self) -> None:
        """Put what was dropped since the last time into the journal."""
        if self._drops:
            facts = [[name, source or "0.0.0.0", count] for (name, source), count in self._drops.items()]  # noqa: S104
            if self._journal.append(RecordKind.DROPS, _microseconds(), encode_json({"drops": facts})):
                self._drops.clear()


def prepare(sock: socket.socket) -> None:
    """Non-blocking, with a large buffer; one on all addresses is told to say which a datagram was sent to."""
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    host = sock.getsockname()[0]
    if host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif host == "0.0.0.0":  # noqa: S104
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def reply_address(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Ancillary data that makes an answer leave from the address that was asked (ip(7), ipv6(7)).

    None for a socket on one address, which answers from it anyway. The interface is left to the routing table, as for
    any other datagram.
    """
    return _back(*ancillary) if ancillary else ancillary


@lru_cache(maxsize=1024)
def _back(*ancillary: tuple[int, int, bytes]) -> list[tuple[int, int, bytes]]:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, _ = _IN_PKTINFO.unpack(data)
            return [(level, kind, _IN_PKTINFO.pack(0, local, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return [(level, kind, data[:16] + bytes(4))]
    return []


def inherited_sockets() -> list[tuple[Service, socket.socket]]:
    """The sockets that the supervisor handed down; empty when it did not."""
    found: list[tuple[Service, socket.socket]] = []
    for part in filter(None, os.environ.get(f"{PREFIX}SOCKETS", "").split(",")):
        name, _, descriptor = part.partition(":")
        service: Service = "auth" if name == "auth" else "acct"
        found.append((service, socket.socket(fileno=int(descriptor))))
    return found


def own_sockets(config: Settings) -> list[tuple[Service, socket.socket]]:
    """Sockets bound by this process itself, where radius runs as a service of its own.

    Raises WrongSetting when a port cannot be had: a second server must fail, loudly. Where the kernel has no IPv6, its
    wildcard address is passed over.
    """
    found: list[tuple[Service, socket.socket]] = []
    ports: tuple[tuple[Service, int], ...] = (("auth", config.radius_auth_port), ("acct", config.radius_acct_port))
    for host in config.radius_hosts:
        for service, port in ports:
            try:
                found.append((service, _bound(host, port)))
            except OSError as error:
                if host == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    continue
                setting = f"{PREFIX}RADIUS_{service.upper()}_PORT or {PREFIX}RADIUS_HOSTS"
                raise WrongSetting(f"UDP port {port} on {host}: {error.strerror}; {setting} moves us") from None
    return found


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def run(config: Settings) -> None:
    """Answer until SIGTERM or SIGINT; what was received by then is written down and acknowledged."""
    uvloop.run(_serve(config))


async def _serve(config: Settings) -> None:
    sys.setswitchinterval(TURN)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    vault = open_vault(config.secret_keys)
    folder = config.data_dir / "radius"
    folder.mkdir(parents=True, exist_ok=True)
    book = Book()
    with without_collecting():
        kept = restore(folder / "snapshot", vault)
        if kept is not None:
            book.adopt(Book.of(kept.policies, kept.nases))
            gc.freeze()
            del kept
    journal = Journal(folder / "journal", lambda done: loop.call_soon_threadsafe(_run_all, done))
    node = Node(book, journal, loop)
    engine = connect(address(config), pool_size=2)
    if config.sandbox:
        await loop.run_in_executor(None, _learn_the_time, engine)
    follower = Follower(
        book,
        engine,
        vault,
        journal.node_id,
        folder / "snapshot",
        loop.call_soon_threadsafe,
        lambda: dict(node.counters),
    )
    follower.start()
    # What changed since the snapshot was written is better known before the first answer, if that takes a moment only.
    await loop.run_in_executor(None, follower.has_tried.wait, CATCH_UP)
    sockets = inherited_sockets() or own_sockets(config)
    for service, sock in sockets:
        node.serve(service, sock)
    logger().info("radius.ready", node=str(journal.node_id), services=len(book), sockets=len(sockets))
    try:
        while not stop.is_set():
            node.write_drops()
            node.look_after_journal()
            await loop.run_in_executor(None, pulse.beat, config.data_dir, "radius")
            try:
                await asyncio.wait_for(stop.wait(), DROPS_EVERY)
            except TimeoutError:
                continue
    finally:
        for _, sock in sockets:
            loop.remove_reader(sock)
        node.write_drops()
        await loop.run_in_executor(None, journal.close)
        await asyncio.sleep(0)  # the last acknowledgements
        await loop.run_in_executor(None, follower.stop)


def _learn_the_time(engine: Engine) -> None:
    """Where the pretend provider's clock stands: a packet stamped before its time would close or open the wrong day."""
    with contextlib.suppress(SQLAlchemyError), transaction(engine):
        pass


def _run_all(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        callback()


def _microseconds() -> int:
    return int(clock.now().timestamp() * 1_000_000)
