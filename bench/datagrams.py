"""What the load generator sends, built before the clock runs: logins, and the accounting of whole sessions.

Nothing repeats, because a server may answer a repetition from memory: every login carries an authenticator of its own,
every accounting record a session and a time of its own.
"""

import os
import struct
import time

from radius.dialects import class_value
from radius.packet import Code, attribute, hide_password, request

SECRET = b"bench-secret"
POOL, RATE_DOWN, RATE_UP = "bench", 100_000_000, 20_000_000
"What every service may have; the peer's answers say the same."

_U32 = struct.Struct(">I")
_STRIDE = 7919  # prime: how far apart in the book two logins in a row are
_AT_ONCE = 1000  # sessions that are open at a time
_RECORDS = 10  # of each session: a Start, eight Interim-Updates, a Stop
_START, _STOP, _INTERIM = 1, 2, 3
_LIVE = 60  # seconds between two records of a session, as they say themselves


def login_of(service: int) -> str:
    """The login of the service with this number, from 0 on."""
    return f"bench{service:06d}"


def password_of(login: str) -> str:
    """The password of a login."""
    return f"pw-{login}"


def build_login(number: int, identifier: int, services: int) -> bytes:
    """The `number`th Access-Request, as a PPPoE server sends it: PAP, with Message-Authenticator first."""
    service = number * _STRIDE % services
    login = login_of(service)
    authenticator = os.urandom(16)
    password = hide_password(password_of(login).encode(), SECRET, authenticator)
    attributes = b"".join(
        (
            _number(6, 2),  # Service-Type: Framed-User
            _number(7, 1),  # Framed-Protocol: PPP
            _number(5, service),  # NAS-Port
            _number(61, 15),  # NAS-Port-Type: Ethernet
            attribute(1, login.encode()),
            attribute(2, password),
            attribute(31, _station(service)),
            attribute(30, b"pppoe"),
            attribute(87, b"ether1"),
            _TAIL,
        )
    )
    return request(Code.ACCESS_REQUEST, identifier, attributes, SECRET, authenticator)


def build_accounting(number: int, identifier: int, services: int, first: int) -> bytes:
    """The `number`th Accounting-Request, of a session whose number is counted from `first` on.

    A thousand sessions at a time send a Start each, then the next record each, and so on to their Stops; the next
    thousand follow.
    """
    block, within = divmod(number, _AT_ONCE * _RECORDS)
    nth, session = divmod(within, _AT_ONCE)
    session += block * _AT_ONCE + first
    service = session * _STRIDE % services
    kind = _START if nth == 0 else _STOP if nth == _RECORDS - 1 else _INTERIM
    parts = [
        _number(40, kind),
        attribute(1, login_of(service).encode()),
        attribute(44, b"%08x" % session),
        _number(6, 2),
        _number(7, 1),
        _number(5, service),
        _number(61, 15),
        attribute(31, _station(service)),
        attribute(30, b"pppoe"),
        attribute(87, b"ether1"),
        attribute(8, bytes((100, 64 + (session >> 16 & 63), session >> 8 & 255, session & 255))),
        attribute(25, class_value(service + 1, 1)),
        _number(55, int(time.time()) - (_RECORDS - nth) * _LIVE),
        _TAIL,
    ]
    if nth:
        parts += [
            _number(46, nth * _LIVE),
            _number(42, nth * 4_000_000),
            _number(43, nth * 90_000_000),
            _number(47, nth * 9_000),
            _number(48, nth * 70_000),
        ]
    if kind == _STOP:
        parts.append(_number(49, 1))  # Acct-Terminate-Cause: User-Request
    return request(Code.ACCOUNTING_REQUEST, identifier, b"".join(parts), SECRET, message_authenticator=False)


def _number(type: int, value: int) -> bytes:
    return attribute(type, _U32.pack(value))


def _station(service: int) -> bytes:
    return b"02:00:00:%02X:%02X:%02X" % (service >> 16 & 255, service >> 8 & 255, service & 255)


_TAIL = attribute(4, bytes((127, 0, 0, 1))) + attribute(32, b"bench-nas")  # NAS-IP-Address, NAS-Identifier
