"""Logging in and out: the browser's cookie carries a random token per side, renewed at each login."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import abort, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Length

from portal import accounts
from portal.accounts import Side, Staff
from portal.at_hand import tx

View = Callable[..., ResponseReturnValue]
TOO_LONG = Length(max=200, message="This is too long.")
WRONG = "This login and password do not fit together."


class LoginForm(FlaskForm):
    """A login and its password."""

    login = StringField("Login", [InputRequired("Type your login."), TOO_LONG], render_kw={"autocomplete": "username"})
    password = PasswordField(
        "Password", [InputRequired("Type your password."), TOO_LONG], render_kw={"autocomplete": "current-password"}
    )


def log_in(side: Side, subject_id: int) -> None:
    """Log this browser in. Everything it carried before is thrown away, except a login on the other side."""
    kept = {name: session[name] for name in _KEPT if name in session and name != side.word}
    log_out(side)
    session.clear()
    session.update(kept)
    session.permanent = True
    session[side.word] = accounts.open_web_session(tx(), side, subject_id)
    g.pop("csrf_token", None)


_KEPT = ("staff", "subscriber", "sandbox_address")


def log_out(side: Side) -> None:
    """Log this browser out on one side."""
    token = session.pop(side.word, None)
    if isinstance(token, str):
        accounts.close_web_session(tx(), token)


def current_staff() -> Staff | None:
    """The member of staff at this browser."""
    if "staff" not in g:
        token = session.get(Side.STAFF.word)
        g.staff = accounts.find_staff(tx(), token) if isinstance(token, str) else None
    found: Staff | None = g.staff
    return found


def current_subscriber() -> int | None:
    """The subscriber at this browser."""
    if "subscriber" not in g:
        token = session.get(Side.SUBSCRIBER.word)
        g.subscriber = accounts.find_subscriber(tx(), token) if isinstance(token, str) else None
    found: int | None = g.subscriber
    return found


def staff_only(view: View) -> View:
    """Only members of staff; everybody else is led to their login and afterwards back here."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if current_staff() is None:
            return _to_login("staff.login")
        return view(*args, **kwargs)

    return guarded


def owner_only(view: View) -> View:
    """Only owners: what changes the provider's offer or network."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        person = current_staff()
        if person is None:
            return _to_login("staff.login")
        if person.role != "owner":
            abort(403)
        return view(*args, **kwargs)

    return guarded


def subscriber_only(view: View) -> View:
    """Only a subscriber, whose number the view finds with `current_subscriber`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if current_subscriber() is None:
            return _to_login("subscriber.login")
        return view(*args, **kwargs)

    return guarded


def _to_login(endpoint: str) -> ResponseReturnValue:
    if "HX-Request" in request.headers:  # a piece of a page asks: the whole browser must go
        return "", 401, {"HX-Redirect": url_for(endpoint)}
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for(endpoint, next=wanted), 303)


def target_after_login(default: str) -> str:
    """Where to go after a login: a path of this portal, never another site."""
    wanted = request.args.get("next", "")
    local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if local else default
