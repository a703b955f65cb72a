"""Staff: logging in and out, and the dashboard."""

from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from portal import accounts
from portal.accounts import Side
from portal.at_hand import tx
from portal.login import (
    WRONG,
    LoginForm,
    current_staff,
    log_in,
    log_out,
    staff_only,
    target_after_login,
)
from portal.security import limit_guessing, limit_probing

blueprint = Blueprint("staff", __name__, url_prefix="/staff")
MENU = [("staff.dashboard", "Dashboard")]


@blueprint.context_processor
def _menu() -> dict[str, Any]:
    person = current_staff()
    if person is None:
        return {}
    return {"nav": MENU, "account_name": person.name, "logout_url": url_for("staff.logout"), "person": person}


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
    """How the provider stands right now."""
    return render_template("staff/dashboard.html")
