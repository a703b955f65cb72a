"""Which account at Stripe the key opens, and in which mode: customers, cards and events belong to one of each."""

from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from billing.collect.tables import gateway_account
from billing.gateway import account as gateway
from billing.gateway.client import is_test


@dataclass(frozen=True, slots=True)
class Account:
    """An account in one mode."""

    account: str
    "acct_…"
    live: bool


def current_account(tx: Connection, business: Business) -> Account | None:
    """The account that the key in the settings opens; None when there is no key, or Stripe was not asked yet."""
    if not business.stripe_secret_key:
        return None
    query = select(gateway_account).where(gateway_account.c.key_digest == _digest(business))
    row = tx.execute(query).one_or_none()
    return None if row is None else Account(row.account, row.live)


def learn_account(vault: Vault) -> Account:
    """The same, asking Stripe when it is not known yet. Raises GatewayError. Call it outside a transaction."""
    with transaction() as tx:
        business = load_business(tx, vault)
        known = current_account(tx, business)
    if known is not None:
        return known
    found = Account(gateway.read_account(business).id, not is_test(business.stripe_secret_key))
    with transaction() as tx:
        row = {"key_digest": _digest(business), "account": found.account, "live": found.live, "seen_at": clock.real()}
        tx.execute(insert(gateway_account).values(row).on_conflict_do_nothing())
    return found


def _digest(business: Business) -> str:
    return sha256(f"{business.stripe_secret_key}\n{business.stripe_connected_account}".encode()).hexdigest()
