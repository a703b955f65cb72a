"""Promises to pay, as the report needs them."""

from sqlalchemy import Connection, case, func, select

from base.business import Business
from billing.dunning.tables import promise
from billing.reports.promises import Promise, promises
from billing.reports.shape import Report, Window


def report_promises(tx: Connection, business: Business, window: Window) -> Report:
    """The promises made in each month. A kept one may be noted on the day after its last: it was kept on its last."""
    kept = case((promise.c.state == "kept", func.least(promise.c.decided_on, promise.c.until_on)))
    query = select(promise.c.made_on, promise.c.amount_minor, promise.c.until_on, kept).where(
        promise.c.currency == window.currency, promise.c.state != "void"
    )
    return promises([Promise(*row) for row in tx.execute(query)], window)
