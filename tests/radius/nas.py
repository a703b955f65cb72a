"""What a NAS sends: requests built by attribute names, for the tests of radius."""

from datetime import datetime
from hashlib import md5

from base.access import AccessLevel, AccessPolicy
from radius.dialects import encode_pairs
from radius.packet import Code, hide_password, request

SECRET = b"shared secret"
AUTHENTICATOR = bytes(range(16))


def policy(service_id: int = 7, **changes: object) -> AccessPolicy:
    """A service at full speed: 100 Mbit/s down, 20 up."""
    fields = {
        "version": 1,
        "level": AccessLevel.FULL,
        "login": "ann",
        "password": "pässword",
        "rate_down": 100_000_000,
        "rate_up": 20_000_000,
        "pool": None,
        "address": None,
        "address_list": None,
        "session_timeout": None,
        "interim_interval": 300,
    }
    return AccessPolicy(service_id=service_id, **{**fields, **changes})  # type: ignore[arg-type]


def pap(
    login: str = "ann",
    password: str = "pässword",
    *pairs: tuple[str, object],
    secret: bytes = SECRET,
    identifier: int = 1,
    authenticator: bytes = AUTHENTICATOR,
    signed: bool = True,
) -> bytes:
    """An Access-Request with a User-Password."""
    hidden = hide_password(password.encode(), secret, authenticator)
    attributes = encode_pairs([("User-Name", login), ("User-Password", hidden), *pairs])
    return request(Code.ACCESS_REQUEST, identifier, attributes, secret, authenticator, signed)


def chap(
    login: str = "ann",
    password: str = "pässword",
    *pairs: tuple[str, object],
    challenge: bytes | None = None,
    identifier: int = 1,
    authenticator: bytes = AUTHENTICATOR,
    signed: bool = True,
) -> bytes:
    """An Access-Request with a CHAP-Password; without a challenge of its own the authenticator is it."""
    answer = b"\x05" + md5(b"\x05" + password.encode() + (challenge or authenticator)).digest()
    own = [("CHAP-Challenge", challenge)] if challenge else []
    attributes = encode_pairs([("User-Name", login), ("CHAP-Password", answer), *own, *pairs])
    return request(Code.ACCESS_REQUEST, identifier, attributes, SECRET, authenticator, signed)


def account(
    status: str,
    session_id: str | None = "s1",
    login: str | None = "ann",
    *pairs: tuple[str, object],
    at: datetime | None = None,
    secret: bytes = SECRET,
    identifier: int = 1,
    signed: bool = False,
) -> bytes:
    """An Accounting-Request; `at` becomes its Event-Timestamp."""
    given: list[tuple[str, object]] = [("Acct-Status-Type", status)]
    given += [("Acct-Session-Id", session_id)] if session_id else []
    given += [("User-Name", login)] if login else []
    given += [("Event-Timestamp", at)] if at else []
    attributes = encode_pairs([*given, *pairs])
    return request(Code.ACCOUNTING_REQUEST, identifier, attributes, secret, message_authenticator=signed)
