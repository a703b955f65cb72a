"""What every view has at hand: one transaction, the vault, the business settings, the client's address."""

from contextlib import ExitStack
from datetime import date

from flask import Response, g, request
from sqlalchemy import Connection

from base import calendar, clock
from base.business import Business, load_business
from base.crypto import Vault, open_vault
from base.database import transaction
from base.settings import settings
from portal.addresses import Address, believed_address


def tx() -> Connection:
    """The request's transaction, opened at first use; committed when the answer is no error, else rolled back."""
    if "tx" not in g:
        stack = ExitStack()
        g.tx = stack.enter_context(transaction())
        g.stack = stack
    connection: Connection = g.tx
    return connection


def commit() -> None:
    """Commit what this request did so far: before money is asked for elsewhere, and before the answer leaves."""
    stack: ExitStack | None = g.pop("stack", None)
    _forget()
    if stack is not None:
        stack.close()


def roll_back() -> None:
    """Undo what this request did and has not committed."""
    if "stack" in g:
        g.tx.rollback()
    commit()


def end_with(response: Response) -> Response:
    """Commit before a good answer leaves, so that what it says is true; an error undoes everything."""
    if response.status_code < 400:
        commit()
    else:
        roll_back()
    return response


def _forget() -> None:
    g.pop("tx", None)
    g.pop("business", None)


def vault() -> Vault:
    """The vault of this installation."""
    return open_vault(settings().secret_keys)


def business() -> Business:
    """The business settings as of this request."""
    if "business" not in g:
        g.business = load_business(tx(), vault())
    loaded: Business = g.business
    return loaded


def today() -> date:
    """The provider's date."""
    tx()  # in the sandbox the transaction learns what time it is
    return calendar.local_date(clock.now(), business().zone)


def client_address() -> Address | None:
    """The address of the browser, as far as it can be believed."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return believed_address(request.remote_addr, forwarded, settings().trusted_proxies)
