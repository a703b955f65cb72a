"""Reading policy rows back into the words of base.access; the only writer is billing's funnel."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.access import AccessPolicy, read_obeyed
from base.crypto import Vault
from base.tables import policy


def read_policies(tx: Connection, vault: Vault | None, service_ids: Sequence[int] | None = None) -> list[AccessPolicy]:
    """The policies of these services, or of all; without a vault their passwords stay locked away (None)."""
    query = select(policy)
    if service_ids is not None:
        query = query.where(policy.c.service_id == func.any(list(service_ids)))
    return [to_policy(row, vault) for row in tx.execute(query)]


def to_policy(row: Row[Any], vault: Vault | None) -> AccessPolicy:
    """One row of the table as a value."""
    obeyed = read_obeyed(row.obeyed)
    password = None if vault is None or row.password is None else vault.unlock_text(row.password)
    return AccessPolicy(service_id=row.service_id, version=row.version, login=row.login, password=password, **obeyed)
