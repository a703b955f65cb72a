"""Staff: logging in and out, the dashboard, finding a subscriber, and the radius nodes."""

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from base import clock
from base.settings import settings
from portal import accounts, queries_dashboard, queries_find, queries_network
from portal.accounts import Side
from portal.at_hand import today, tx
from portal.login import WRONG, LoginForm, current_staff, log_in, log_out, staff_only, target_after_login
from portal.paging import fetch_page, page_number
from portal.security import limit_guessing, limit_probing

blueprint = Blueprint("staff", __name__, url_prefix="/staff")
MENU = [
    ("staff.dashboard", "Dashboard"),
    ("staff.subscribers", "Subscribers"),
    ("staff.sessions", "Sessions"),
    ("staff.enforcement", "Enforcement"),
    ("staff.nas", "NAS"),
    ("staff.invoices", "Invoices"),
    ("staff.payments", "Payments"),
]


@blueprint.context_processor
def _menu() -> dict[str, Any]:
    staff = current_staff()
    if staff is None:
        return {}
    return {
        "nav": MENU,
        "account_name": staff.name,
        "logout_url": url_for("staff.logout"),
        "staff": staff,
        "sandbox": settings().sandbox,
    }


@blueprint.route("/login", methods=["GET", "POST"])
@limit_guessing
@limit_probing
def login() -> ResponseReturnValue:
    """Log in a member of staff."""
    form = LoginForm()
    if form.validate_on_submit():
        staff_id = accounts.check_staff(tx(), form.login.data, form.password.data)
        if staff_id is not None:
            log_in(Side.STAFF, staff_id)
            return redirect(target_after_login(url_for("staff.dashboard")), 303)
        form.password.errors = [WRONG]
    return render_template("staff/login.html", form=form), 400 if form.errors else 200


@blueprint.post("/logout")
@staff_only
def logout() -> ResponseReturnValue:
    """Log this browser out."""
    log_out(Side.STAFF)
    return redirect(url_for("staff.login"), 303)


@blueprint.get("/")
@staff_only
def dashboard() -> ResponseReturnValue:
    """How the provider stands right now; each number leads to its list."""
    return render_template(
        "staff/dashboard.html",
        online=queries_dashboard.sessions_open(tx()),
        levels=queries_dashboard.services_by_level(tx()),
        owed=queries_dashboard.owed(tx(), today()),
        paid_today=queries_dashboard.paid_on(tx(), today()),
        speed=queries_dashboard.enforcement_speed(tx()),
        nodes=queries_network.nodes(tx()),
        drops=queries_dashboard.drops_by_name(tx()),
        dead_jobs=queries_dashboard.dead_jobs(tx()),
        attempts=fetch_page(tx(), queries_network.attempts(), 1, 8).rows,
        real_now=clock.real(),
    )


@blueprint.get("/subscribers")
@staff_only
def subscribers() -> ResponseReturnValue:
    """Find a subscriber by name, number, login, e-mail, phone or the address of an open session."""
    words = request.args.get("q", "").strip()[:200]
    page = fetch_page(tx(), queries_find.subscribers(words), page_number(request.args.get("page")))
    typing = "HX-Request" in request.headers  # then the list follows the words; the button opens the one found
    if words and len(page.rows) == 1 and page.number == 1 and not typing:
        return redirect(url_for("staff.subscriber", subscriber_id=page.rows[0].id), 303)
    return render_template("staff/subscribers.html", page=page, words=words)


@blueprint.get("/radius")
@staff_only
def radius() -> ResponseReturnValue:
    """The radius nodes, and what they dropped on the wire."""
    return render_template(
        "staff/radius.html",
        nodes=queries_network.nodes(tx()),
        page=fetch_page(tx(), queries_network.drops(), page_number(request.args.get("page"))),
        real_now=clock.real(),
    )
