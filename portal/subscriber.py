"""The subscriber's pages: what I owe, until when, what I have and why."""

from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from portal import accounts
from portal.accounts import Side
from portal.at_hand import tx
from portal.login import (
    WRONG,
    LoginForm,
    current_subscriber,
    log_in,
    log_out,
    subscriber_only,
    target_after_login,
)
from portal.security import limit_guessing, limit_probing

blueprint = Blueprint("subscriber", __name__)
MENU = [("subscriber.home", "Home")]


@blueprint.context_processor
def _menu() -> dict[str, Any]:
    if current_subscriber() is None:
        return {}
    return {"nav": MENU, "account_name": "", "logout_url": url_for("subscriber.logout")}


@blueprint.route("/login", methods=["GET", "POST"])
@limit_guessing
@limit_probing
def login() -> ResponseReturnValue:
    """Log in a subscriber by service login, e-mail address or account number."""
    form = LoginForm()
    if form.validate_on_submit():
        subscriber_id = accounts.check_subscriber(tx(), form.login.data, form.password.data)
        if subscriber_id is not None:
            log_in(Side.SUBSCRIBER, subscriber_id)
            return redirect(target_after_login(url_for("subscriber.home")), 303)
        form.password.errors = [WRONG]
    return render_template("subscriber/login.html", form=form), 400 if form.errors else 200


@blueprint.post("/logout")
@subscriber_only
def logout() -> ResponseReturnValue:
    """Log this browser out."""
    log_out(Side.SUBSCRIBER)
    return redirect(url_for("subscriber.login"), 303)


@blueprint.get("/")
@subscriber_only
def home() -> ResponseReturnValue:
    """What this subscriber has and owes."""
    return render_template("subscriber/home.html")
