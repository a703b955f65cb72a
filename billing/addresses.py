"""Where messages go: the addresses of subscribers and their contacts, and those that take no mail."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from base import trail
from base.tables import subscriber
from billing.tables import bad_address, contact

_MAILBOX = re.compile(r"[^@\s,:;<>()\[\]\\\"]+@[^@\s,:;<>()\[\]\\\"]+")

# Kinds of message that a contact of a kind gets a copy of.
COPIED_TO: Mapping[str, str] = {
    **dict.fromkeys(
        ("invoice", "credit_note", "statement", "due_notice", "reminder_1", "reminder_2", "final_notice"), "billing"
    ),
    **dict.fromkeys(("suspended", "restored", "usage_80", "usage_100"), "technical"),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """How one subscriber can be reached."""

    subscriber_id: int
    email: str
    "The subscriber's own; '' for none."
    phone: str
    delivery: str
    "'mail', 'paper' or 'both'."
    contacts: tuple[tuple[str, tuple[str, ...]], ...]
    "Address and kinds of each contact, in the order in which they were added."

    def addresses(self, kind: str) -> list[str]:
        """Who gets a mail of this kind: the subscriber first, then the contacts; each address once."""
        copied = COPIED_TO.get(kind)
        found = [self.email, *(email for email, kinds in self.contacts if copied in kinds)]
        once: dict[str, str] = {}
        for address in found:
            once.setdefault(address.strip().lower(), address.strip())
        return [address for address in once.values() if address]


def load_reaches(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, Reach]:
    """How each of these subscribers can be reached."""
    wanted = list(set(subscriber_ids))
    contacts: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    for row in tx.execute(select(contact).where(contact.c.subscriber_id == func.any(wanted)).order_by(contact.c.id)):
        contacts.setdefault(row.subscriber_id, []).append((row.email, tuple(row.kinds)))
    columns = (subscriber.c.id, subscriber.c.email, subscriber.c.phone, subscriber.c.delivery)
    rows = tx.execute(select(*columns).where(subscriber.c.id == func.any(wanted)))
    return {
        row.id: Reach(row.id, row.email.strip(), row.phone.strip(), row.delivery, tuple(contacts.get(row.id, ())))
        for row in rows
    }


def is_mailbox(address: str) -> bool:
    """Whether this is one mail address: not none, not a list."""
    return _MAILBOX.fullmatch(address) is not None


def find_bad(tx: Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Those of the addresses that take no mail, in lower case, each with the reason."""
    wanted = list({address.lower() for address in addresses})
    rows = tx.execute(select(bad_address).where(bad_address.c.address == func.any(wanted)))
    return {row.address: row.reason for row in rows}


def good_ones(tx: Connection, addresses: Collection[str]) -> list[str]:
    """The addresses that take mail, as far as we know."""
    bad = find_bad(tx, addresses)
    return [address for address in addresses if address.lower() not in bad]


def mark_bad(tx: Connection, address: str, reason: str, now: datetime) -> None:
    """Write no more to an address, until somebody clears it; the first reason stays."""
    values = {"address": address.lower(), "since": now, "reason": reason[:1000]}
    new = tx.execute(insert(bad_address).values(values).on_conflict_do_nothing()).rowcount
    if new:
        detail = {"address": address.lower(), "reason": reason[:1000]}
        trail.record(tx, "system", "address.marked", subject="address", detail=detail)


def clear_address(tx: Connection, actor: str, address: str) -> bool:
    """Write to an address again; False when it was not marked."""
    cleared = tx.execute(delete(bad_address).where(bad_address.c.address == address.strip().lower())).rowcount > 0
    if cleared:
        trail.record(tx, actor, "address.cleared", subject="address", detail={"address": address.strip().lower()})
    return cleared


def list_bad(tx: Connection) -> list[Row[Any]]:
    """Every address that takes no mail, the newest first."""
    return list(tx.execute(select(bad_address).order_by(bad_address.c.since.desc(), bad_address.c.address)))
