"""Who may log in to the portal, and which browsers are logged in; times here are real, never the sandbox's."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from sqlalchemy import Connection, delete, func, insert, or_, select

from base import clock, trail
from base.crypto import check_password, hash_password
from base.tables import service, subscriber
from portal.tables import staff, web_session

ROLES = ("owner", "agent")
SHORTEST_PASSWORD = 10


class WrongStaff(ValueError):
    """A member of staff cannot be stored like this; the message says what is wrong."""


class Side(Enum):
    """The two kinds of people who log in, and how long a browser stays logged in."""

    STAFF = ("staff", timedelta(hours=12))
    SUBSCRIBER = ("subscriber", timedelta(days=30))

    @property
    def word(self) -> str:
        """The first half of an account such as 'staff:3'."""
        return self.value[0]

    @property
    def lifetime(self) -> timedelta:
        """How long a login lasts."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff who is logged in."""

    id: int
    login: str
    name: str
    role: str

    @property
    def actor(self) -> str:
        """The name in the trail."""
        return f"staff:{self.id}"


def add_staff(tx: Connection, actor: str, login: str, name: str, password: str, role: str) -> int:
    """Let somebody in: role 'owner' or 'agent'. Raises WrongStaff with a sentence; nobody has a default password."""
    login = login.strip()
    if not login or any(letter.isspace() or not letter.isprintable() for letter in login):
        raise WrongStaff("A login is one word without spaces.")
    if not name.strip():
        raise WrongStaff("A member of staff needs a name.")
    if role not in ROLES:
        raise WrongStaff(f"A role is owner or agent, not {role!r}.")
    if len(password) < SHORTEST_PASSWORD:
        raise WrongStaff(f"A password has at least {SHORTEST_PASSWORD} characters.")
    if tx.scalar(select(staff.c.id).where(staff.c.login == login)) is not None:
        raise WrongStaff(f"There is already a member of staff with the login {login!r}.")
    row = {"login": login, "name": name.strip(), "password": hash_password(password), "role": role}
    staff_id = tx.scalar(insert(staff).values(**row, created_at=clock.now()).returning(staff.c.id))
    assert staff_id is not None
    trail.record(tx, actor, "staff.added", subject="staff", subject_id=staff_id, detail={"login": login, "role": role})
    return int(staff_id)


def check_staff(tx: Connection, login: str, password: str) -> int | None:
    """The member of staff whose login and password these are; as slow for a wrong login as for a wrong password."""
    row = tx.execute(
        select(staff.c.id, staff.c.password).where(staff.c.login == login.strip(), staff.c.active)
    ).one_or_none()
    fits = check_password(row.password if row else None, password)
    return row.id if row is not None and fits else None


def check_subscriber(tx: Connection, who: str, password: str) -> int | None:
    """The subscriber named by account number, service login or e-mail (in this order), if the password fits.

    An e-mail address that several subscribers share names nobody.
    """
    who = who.strip()
    found = _named(tx, who)
    hashed = tx.scalar(select(subscriber.c.portal_password).where(subscriber.c.id == found)) if found else None
    return found if check_password(hashed, password) else None


def _named(tx: Connection, who: str) -> int | None:
    """The one subscriber that a number, a service login or an e-mail address names."""
    by_login = select(service.c.subscriber_id).where(service.c.login == who).scalar_subquery()
    exact = tx.execute(
        select(subscriber.c.id)
        .where(or_(subscriber.c.number == who, subscriber.c.id == by_login))
        .order_by(subscriber.c.number != who)
        .limit(1)
    ).scalar()
    if exact is not None:
        return int(exact)
    by_email = tx.scalars(
        select(subscriber.c.id).where(func.lower(subscriber.c.email) == who.lower(), subscriber.c.email != "").limit(2)
    ).all()
    return by_email[0] if len(by_email) == 1 else None


def open_web_session(tx: Connection, side: Side, subject_id: int) -> str:
    """Log a browser in; returns the token for its cookie, of which only a hash is stored."""
    token = secrets.token_urlsafe(32)
    tx.execute(delete(web_session).where(web_session.c.expires_at < clock.real()))
    tx.execute(
        insert(web_session).values(
            token_hash=_hash(token),
            account=f"{side.word}:{subject_id}",
            subject_id=subject_id,
            expires_at=clock.real() + side.lifetime,
        )
    )
    return token


def close_web_session(tx: Connection, token: str) -> None:
    """Log a browser out."""
    tx.execute(delete(web_session).where(web_session.c.token_hash == _hash(token)))


def find_staff(tx: Connection, token: str) -> Staff | None:
    """The member of staff whom a token logs in, while it lasts and they are active."""
    row = tx.execute(
        select(staff.c.id, staff.c.login, staff.c.name, staff.c.role)
        .join(web_session, web_session.c.account == func.concat("staff:", staff.c.id))
        .where(web_session.c.token_hash == _hash(token), web_session.c.expires_at > clock.real(), staff.c.active)
    ).one_or_none()
    return None if row is None else Staff(row.id, row.login, row.name, row.role)


def find_subscriber(tx: Connection, token: str) -> int | None:
    """The subscriber whom a token logs in, while it lasts."""
    return tx.scalar(
        select(web_session.c.subject_id).where(
            web_session.c.token_hash == _hash(token),
            web_session.c.expires_at > clock.real(),
            web_session.c.account == func.concat("subscriber:", web_session.c.subject_id),
        )
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
