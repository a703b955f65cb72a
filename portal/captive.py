"""The captive page: a walled subscriber's browser sees why, how much, and a Pay button, without logging in.

A browser is known by its address when exactly one open session has it; otherwise nobody's data is shown.
"""

from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Row, select

from base.access import AccessLevel
from base.money import total
from base.settings import settings
from base.tables import policy, service
from base.tables import session as line
from billing.checkout import Wish
from billing.invoices import open_invoices
from portal import queries_account
from portal.at_hand import client_address, tx
from portal.login import current_subscriber
from portal.paying import to_checkout
from portal.ways import ways_to_pay

blueprint = Blueprint("captive", __name__)
sandbox_blueprint = Blueprint("sandbox", __name__, url_prefix="/sandbox")


def known_line() -> Row[Any] | None:
    """The one open session at this browser's address, if it is one of ours."""
    address = client_address()
    if settings().sandbox and isinstance(session.get("sandbox_address"), str):
        found = queries_account.open_sessions_at(tx(), session["sandbox_address"])
    elif address is not None:
        found = queries_account.open_sessions_at(tx(), str(address))
    else:
        found = []
    return found[0] if len(found) == 1 and found[0].service_id is not None else None


@blueprint.before_app_request
def lead_in() -> ResponseReturnValue | None:
    """Lead a limited line here whatever page it asked for: a router may send us everything that it walls in."""
    if request.method != "GET" or request.endpoint not in (None, "subscriber.home") or current_subscriber():
        return None
    here = known_line()
    if here is None or here.level in (None, AccessLevel.FULL.value):
        return None
    return redirect(settings().public_url + url_for("captive.page"), 303)


@blueprint.get("/captive")
def page() -> ResponseReturnValue:
    """Why this line is walled in, and the way back."""
    here = known_line()
    if here is None:
        return redirect(url_for("subscriber.login"), 303)
    row = tx().execute(queries_account.services(None, service.c.id == here.service_id)).one()
    unpaid = open_invoices(tx(), row.subscriber_id)
    person = queries_account.one_subscriber(tx(), row.subscriber_id)
    assert person is not None
    return render_template(
        "captive/page.html",
        service=row,
        open_invoices=unpaid,
        owed=total((each.open for each in unpaid), person.currency),
        switching=queries_account.switching(tx(), row.subscriber_id),
        ways=ways_to_pay(row.subscriber_id, Wish(known=False)) if unpaid else None,
    )


@blueprint.post("/captive/pay")
def pay() -> ResponseReturnValue:
    """Pay everything that is open on this line's account."""
    here = known_line()
    if here is None:
        return redirect(url_for("subscriber.login"), 303)
    return to_checkout(here.subscriber_id, Wish(known=False, back=url_for("captive.page")))


@sandbox_blueprint.get("/as/<row:session_id>")
def browse_as(session_id: int) -> ResponseReturnValue:
    """Let this browser be seen as if it were behind an open session of the pretend provider."""
    found = (
        tx().execute(queries_account.sessions(None, line.c.id == session_id, queries_account.is_open())).one_or_none()
    )
    if found is None or found.framed_address is None:
        session.pop("sandbox_address", None)
    else:
        session["sandbox_address"] = str(found.framed_address)
    return redirect(url_for("captive.page"), 303)


@sandbox_blueprint.get("/walled")
def browse_as_walled() -> ResponseReturnValue:
    """The same, as some subscriber of the pretend provider who is walled in just now."""
    walled = policy.c.level == int(AccessLevel.WALLED)
    query = (
        select(line.c.id)
        .join(policy, policy.c.service_id == line.c.service_id)
        .where(walled, queries_account.is_open(), line.c.framed_address.is_not(None))
        .order_by(line.c.id)
        .limit(1)
    )
    return browse_as(tx().scalar(query) or 0)
