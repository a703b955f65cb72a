"""A simulated NAS: a real UDP peer that logs subscribers in, counts them, and obeys CoA and Disconnect or refuses.

It knows nothing of Tollkeeper but its packets, and judges them strictly. Plain synchronous calls; the CoA listener and
the redialling of subscribers' routers run in threads of their own. `python -m sandbox.nas` is the demo's network.
"""

import hashlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

from base import clock
from radius.packet import Code, Packet, hide_password, request
from sandbox.nas_coa import KINDS, Order, Refusal, understand
from sandbox.nas_events import Events
from sandbox.nas_listener import Listener
from sandbox.nas_session import Dial, Method, Session
from sandbox.nas_wire import Pairs, ask, decode, encode

REDIAL = 0.05  # seconds from the end of a session until the subscriber's router logs in again
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between a router's tries while it is rejected or not answered

_PORT_TYPE = {"mikrotik": "Ethernet", "wispr": "Wireless-802.11", "cisco": "Virtual"}
_POOLS = {"main": 64, "walled": 65}  # name → x in 100.x.0.0/16; others are numbered as they come


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server said no."""

    message: str
    "Reply-Message; empty when there was none."


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody answered, or nothing that came back was right."""

    faults: tuple[str, ...]
    "Names of what came back and was no answer."


class Nas:
    """One access server at a loopback address of its own; its CoA port listens from the beginning until `close`.

    `kind` is mikrotik, wispr or cisco; `radius` is (host, auth port, accounting port); `coa_port` 0 takes a free one;
    `waits` are the seconds after each send of a request (RFC 5080 section 2.2.1 has 2 s doubling to 16 s).
    """

    def __init__(
        self,
        address: str,
        secret: bytes,
        kind: str,
        identifier: str,
        radius: tuple[str, int, int],
        coa_port: int = 3799,
        *,
        waits: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        self.address, self.kind, self.identifier = address, kind, identifier
        self.events = Events()
        self._secret, self._waits = secret, waits
        self._auth, self._acct = (radius[0], radius[1]), (radius[0], radius[2])
        self._sessions: dict[str, Session] = {}
        self._pools: dict[str, int] = dict(_POOLS)
        self._last_host: dict[str, int] = {}
        self._boots, self._next = secrets.randbelow(16), secrets.randbelow(1 << 16)
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._listener = Listener(
            address, coa_port, secret, self.events, self._understand, self._change, self._disconnect
        )

    def __repr__(self) -> str:
        """Name the NAS, never its secret."""
        return f"<Nas {self.identifier} {self.kind} {self.address}>"

    def __enter__(self) -> "Nas":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def coa_port(self) -> int:
        """The UDP port that takes CoA and Disconnect."""
        return self._listener.port

    @property
    def obedience(self) -> str:
        """What it does with CoA and Disconnect: obey, silent, ack_but_ignore, refuse:<Error-Cause>, slow:<seconds>."""
        return self._listener.obedience

    @obedience.setter
    def obedience(self, value: str) -> None:
        self._listener.obedience = value

    @property
    def sessions(self) -> list[Session]:
        """The open sessions, oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def session_of(self, username: str) -> Session | None:
        """The newest open session of a login."""
        return next((session for session in reversed(self.sessions) if session.username == username), None)

    def login(
        self,
        username: str,
        password: str,
        method: Method = "pap",
        *,
        calling_station: str | None = None,
        redial: bool = True,
    ) -> Session | Rejected | NoAnswer:
        """Log a subscriber in and start counting; with `redial` the router comes back by itself after a Disconnect."""
        station = calling_station or _station(self.kind, username)
        return self._log_in(Dial(username, password, method, station, redial))

    def start(self, session: Session) -> bool:
        """Accounting Start (login has sent one); whether it was acknowledged, as for `interim` and `stop`."""
        return self._account(session, "Start")

    def interim(self, session: Session) -> bool:
        """Accounting Interim-Update, with what has flowed since."""
        return not session.ended.is_set() and self._account(session, "Interim-Update")

    def stop(self, session: Session, cause: str = "User-Request") -> bool:
        """End a session as its subscriber would (they do not redial), and account its Stop."""
        return self._end(session, cause) and self._account(session, "Stop")

    def reboot(self) -> bool:
        """Lose every session without a Stop, come back with Accounting-On; routers that redial do so."""
        with self._lock:
            lost = [session for session in self.sessions if self._end(session, "NAS-Reboot")]
            self._boots = (self._boots + 1) % 16
        known = self._send_accounting(
            [
                ("Acct-Status-Type", "Accounting-On"),
                ("Acct-Session-Id", "00000000"),
                ("NAS-IP-Address", self.address),
                ("NAS-Identifier", self.identifier),
                ("Event-Timestamp", int(clock.now().timestamp())),
            ]
        )
        self._redial(lost)
        return known

    def close(self) -> None:
        """Vanish from the network: nothing is sent any more, sessions stay as they are."""
        self._closing.set()
        self._listener.close()

    def _log_in(self, dial: Dial) -> Session | Rejected | NoAnswer:
        with self._lock:
            session_id, port = self._next_session()
        faults: list[str] = []

        def on_fault(name: str) -> None:
            faults.append(name)
            self.events.record("dropped", dial.username, session_id, name)

        octets = self._access_request(dial, session_id, port)
        self.events.record("login", dial.username, session_id)
        answer = ask(self.address, self._auth, octets, self._secret, self._waits, on_fault)
        if answer is None:
            self.events.record("no_answer", dial.username, session_id)
            return NoAnswer(tuple(faults))
        if answer.code == Code.ACCESS_REJECT:
            self.events.record("reject", dial.username, session_id)
            return Rejected(b"".join(answer.all(18)).decode(errors="backslashreplace"))
        session = Session(dial, session_id, port, decode(answer), clock.now())
        with self._lock:
            session.address = session.fixed_address or self._take_address(session.pool or "main")
            self._sessions[session_id] = session
        self.events.record("accept", dial.username, session_id, session.rate_limit or "")
        self.start(session)
        return session

    def _access_request(self, dial: Dial, session_id: str, port: int) -> bytes:
        authenticator = secrets.token_bytes(16)
        secret_pairs: list[tuple[str, object]]
        if dial.method == "pap":
            secret_pairs = [("User-Password", hide_password(dial.password.encode(), self._secret, authenticator))]
        else:
            # RFC 2865 section 5.3; MikroTik names the challenge, the others let the authenticator be it
            named = secrets.token_bytes(16) if self.kind == "mikrotik" else None
            mark = secrets.token_bytes(1)
            digest = hashlib.md5(mark + dial.password.encode() + (named or authenticator)).digest()
            secret_pairs = [("CHAP-Password", mark + digest)]
            secret_pairs += [("CHAP-Challenge", named)] if named else []
        pairs = [("User-Name", dial.username), *secret_pairs, *self._line(dial, session_id, port)]
        pairs += [("Service-Type", "Framed-User")]
        pairs += [] if self.kind == "wispr" else [("Framed-Protocol", "PPP")]
        return request(Code.ACCESS_REQUEST, secrets.randbelow(256), encode(pairs), self._secret, authenticator)

    def _line(self, dial: Dial, session_id: str, port: int) -> list[tuple[str, object]]:
        """What logins and accounting say about the line."""
        return [
            ("Acct-Session-Id", session_id),
            ("NAS-IP-Address", self.address),
            ("NAS-Identifier", self.identifier),
            ("NAS-Port", port),
            ("NAS-Port-Type", _PORT_TYPE[self.kind]),
            ("NAS-Port-Id", f"{_PORT_TYPE[self.kind].lower()}{port}"),
            ("Calling-Station-Id", dial.calling_station),
        ]

    def _account(self, session: Session, status: str, *, until_known: bool = False) -> bool:
        now = clock.now()
        pairs: list[tuple[str, object]] = [("Acct-Status-Type", status), ("User-Name", session.username)]
        pairs += self._line(session.dial, session.id, session.nas_port)
        pairs += [("Acct-Authentic", "RADIUS"), *(("Class", value) for value in session.classes)]
        pairs += [("Framed-IP-Address", session.address)] if session.address else []
        if status != "Start":
            with self._lock:
                if not session.ended.is_set():
                    session.count(now)
                pairs += _counters(session)
            pairs += [("Acct-Session-Time", int((now - session.started_at).total_seconds()))]
        if status == "Stop":
            pairs += [("Acct-Terminate-Cause", session.terminate_cause)]
        pairs += [("Event-Timestamp", int(now.timestamp()))]
        known = self._send_accounting(pairs)
        while until_known and not known and not self._closing.is_set():
            known = self._send_accounting(pairs)
        return known

    def _send_accounting(self, pairs: Pairs) -> bool:
        values = dict(pairs)
        about = (str(values.get("User-Name", "")), str(values["Acct-Session-Id"]))
        octets = request(
            Code.ACCOUNTING_REQUEST,
            secrets.randbelow(256),
            encode(pairs),
            self._secret,
            message_authenticator=False,
        )
        on_fault = partial(self.events.record, "dropped", *about)
        known = ask(self.address, self._acct, octets, self._secret, self._waits, on_fault) is not None
        self.events.record("counted" if known else "not_counted", *about, str(values["Acct-Status-Type"]))
        return known

    def _understand(self, packet: Packet) -> Order | Refusal:
        return understand(self.kind, self.identifier, self.address, packet, self.sessions)

    def _change(self, order: Order) -> None:
        """Obey a CoA-Request."""
        if not order.changes:
            return
        session = order.session
        with self._lock:
            before = session.rate_limit
            session.change(order.changes, clock.now())
        if session.rate_limit != before:
            self.events.record("rate_changed", session.username, session.id, session.rate_limit or "")

    def _disconnect(self, order: Order) -> None:
        """Obey a Disconnect-Request, after its ACK: Stop, and the subscriber's router comes back."""
        session = order.session
        if order.changes or not self._end(session, "Admin-Reset"):
            return
        _in_background(self._account, session, "Stop", until_known=True)
        self._redial([session])

    def _end(self, session: Session, cause: str) -> bool:
        """Close a session; False when it had ended already."""
        with self._lock:
            if self._sessions.pop(session.id, None) is None:
                return False
            session.count(clock.now())
            session.terminate_cause = cause
            session.ended.set()
        self.events.record("disconnected", session.username, session.id, cause)
        return True

    def _redial(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            if session.dial.redial:
                _in_background(self._come_back, session.dial)

    def _come_back(self, dial: Dial) -> None:
        """Log in until it works, ever more patiently."""
        wait, pause = REDIAL, FIRST_PAUSE
        while not self._closing.wait(wait):
            outcome = self._log_in(dial)
            if isinstance(outcome, Session):
                detail = outcome.rate_limit or ""
                self.events.record("redialled", dial.username, outcome.id, detail)
                return
            wait, pause = pause, min(2 * pause, LONGEST_PAUSE)

    def _next_session(self) -> tuple[str, int]:
        """Acct-Session-Id as this kind makes them (RouterOS counts reboots in the third digit), and NAS-Port."""
        self._next = (self._next + 1) % (1 << 20)
        number = (self._boots << 20) + self._next
        if self.kind == "mikrotik":
            return f"81{number:06X}", self._next
        return (f"{number:016X}" if self.kind == "wispr" else f"{number:08X}"), self._next

    def _take_address(self, pool: str) -> str | None:
        """The next free address of a pool: 100.pool.nas.host, so that no two NASes ever give out the same."""
        number = self._pools.setdefault(pool, 64 + len(self._pools))
        start = f"100.{number}.{self.address.rpartition('.')[2]}"
        taken = {session.address for session in self._sessions.values()}
        last = self._last_host.get(pool, 0)
        for step in range(254):
            host = (last + step) % 254 + 1
            if f"{start}.{host}" not in taken:
                self._last_host[pool] = host
                return f"{start}.{host}"
        return None


def _counters(session: Session) -> Pairs:
    """RFC 2866 sections 5.3 and 5.4, RFC 2869 sections 5.1 and 5.2: input is what came from the subscriber."""
    return [
        ("Acct-Input-Octets", session.octets_in & 0xFFFFFFFF),
        ("Acct-Input-Gigawords", session.octets_in >> 32),
        ("Acct-Output-Octets", session.octets_out & 0xFFFFFFFF),
        ("Acct-Output-Gigawords", session.octets_out >> 32),
    ]


def _station(kind: str, username: str) -> str:
    """A hardware address of the subscriber's router, written as this kind of NAS does."""
    digits = f"02{crc32(username.encode()):08x}{len(username) % 256:02x}"
    if kind == "cisco":
        return ".".join(digits[at : at + 4] for at in (0, 4, 8))
    return (":" if kind == "mikrotik" else "-").join(digits[at : at + 2] for at in range(0, 12, 2)).upper()


def _in_background(act: Any, *arguments: object, **options: object) -> None:
    threading.Thread(target=act, args=arguments, kwargs=options, daemon=True).start()


if __name__ == "__main__":
    from sandbox.nas_process import main

    main()
