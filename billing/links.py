"""Links that pay one invoice without logging in: signed, alive while it is open, revocable, and telling little.

Whoever holds the link sees number, sum and date of the invoice, and nobody's name.
"""

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import trail
from base.crypto import Vault, open_vault
from base.money import Money
from base.settings import settings
from billing.collect.tables import pay_link
from billing.refused import need
from billing.tables import invoice, open_item

PURPOSE = "payment link"
_FORM = re.compile(r"([1-9][0-9]{0,17})-([A-Za-z0-9_-]{22})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Payable:
    """What a link shows."""

    invoice_id: int
    subscriber_id: int
    number: str
    due_on: date
    open: Money
    "Zero: it is settled, and the link is dead."


def link_to(tx: Connection, invoice_id: int) -> str:
    """The address that pays an invoice; the same until it is revoked."""
    vault = open_vault(settings().secret_keys)
    return f"{settings().public_url}/p/{invoice_id}-{_signed(vault, invoice_id, _revision(tx, invoice_id))[0]}"


def read_link(tx: Connection, vault: Vault, token: str) -> Payable | None:
    """What the last part of a link stands for; None for one that was guessed, altered or revoked."""
    found = _FORM.fullmatch(token)
    if found is None:
        return None
    invoice_id, signature = int(found[1]), found[2]
    good = _signed(vault, invoice_id, _revision(tx, invoice_id))
    if not any(hmac.compare_digest(signature, each) for each in good):
        return None
    row = tx.execute(
        select(invoice, open_item.c.open_minor)
        .outerjoin(open_item, open_item.c.invoice_id == invoice.c.id)
        .where(invoice.c.id == invoice_id)
    ).one_or_none()
    if row is None:
        return None
    left = Money(row.open_minor or 0, row.currency)
    return Payable(row.id, row.subscriber_id, row.number, row.due_on, left)


def revoke_link(tx: Connection, actor: str, invoice_id: int) -> None:
    """Have every link to this invoice that is about be dead; a new one can be made at once. Refused for none."""
    payer = tx.scalar(select(invoice.c.subscriber_id).where(invoice.c.id == invoice_id))
    need(payer is not None, "There is no such invoice.", "invoice_id")
    assert payer is not None
    fresh = insert(pay_link).values(invoice_id=invoice_id, revision=1)
    one_more = {"revision": pay_link.c.revision + 1}
    tx.execute(fresh.on_conflict_do_update(index_elements=["invoice_id"], set_=one_more))
    detail = {"invoice_id": invoice_id}
    trail.record(tx, actor, "link.revoked", subject="subscriber", subject_id=payer, detail=detail)


def _revision(tx: Connection, invoice_id: int) -> int:
    return tx.scalar(select(pay_link.c.revision).where(pay_link.c.invoice_id == invoice_id)) or 0


def _signed(vault: Vault, invoice_id: int, revision: int) -> list[str]:
    """The signature by each key, 128 bits of it; the newest key's first."""
    digests = vault.digests(f"{invoice_id}.{revision}", PURPOSE)
    return [base64.urlsafe_b64encode(each[:16]).decode().rstrip("=") for each in digests]
