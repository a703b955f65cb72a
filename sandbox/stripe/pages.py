"""The hosted pages that a browser clicks: Checkout and the bank's 3-D Secure page. Plain HTML forms, no JavaScript."""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Blueprint, current_app, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from base.i18n import format_money
from base.money import Money
from sandbox.stripe import cards, checkout, sessions
from sandbox.stripe.agenda import catch_up
from sandbox.stripe.checkout import Typed
from sandbox.stripe.errors import Json, StripeError, no_such
from sandbox.stripe.store import Call, Store, Transaction


def money(amount: int, currency: str) -> str:
    """An amount in minor units, for people: 4599 usd is $45.99."""
    return format_money(Money(amount, currency.upper()), "en")


def pages(store: Store) -> Blueprint:
    """The routes of the hosted pages."""
    routes = Blueprint("pages", __name__)

    @routes.get("/c/pay/<id>")
    def show(id: str) -> Response:
        with _opened(store) as tx:
            return _page(tx, _session(tx, id))

    @routes.post("/c/pay/<id>")
    def submit(id: str) -> Response:
        typed = _typed()
        with _opened(store) as tx:
            session = _session(tx, id)
            if session["status"] != "open":
                return _settled(session)
            try:
                with tx.undoable():
                    intent = checkout.pay(tx, session, typed)
            except StripeError as error:
                return _page(tx, _session(tx, id), error, typed)
            if intent["status"] == "requires_action":
                return redirect(f"{_bank()}/authenticate/{intent['id']}", 303)
            return redirect(checkout.return_url(session), 303)

    @routes.get("/authenticate/<id>")
    def ask(id: str) -> Response:
        with _opened(store) as tx:
            intent = _intent(tx, id)
            if intent["status"] != "requires_action":
                return _after_bank(tx, intent)
            method = tx.get("payment_method", intent["payment_method"])
            return _html("authenticate.html", intent=intent, card=method["card"])

    @routes.post("/authenticate/<id>")
    def answer(id: str) -> Response:
        with _opened(store) as tx:
            intent = _intent(tx, id)
            try:
                with tx.undoable():
                    intent = checkout.answer_bank(tx, intent, request.form.get("answer") == "complete")
            except StripeError as error:
                session = checkout.session_of(tx, intent)
                return _page(tx, session, error) if session else _after_bank(tx, _intent(tx, id))
            return _after_bank(tx, intent)

    @routes.errorhandler(StripeError)
    def missing(error: StripeError) -> Response:
        return _html("message.html", 404, title="There is nothing here", text=str(error))

    return routes


def _opened(store: Store) -> AbstractContextManager[Transaction]:
    """A transaction for a browser; sessions whose time is over are expired first."""
    catch_up(store)
    return store.transaction(Call(base_url=request.host_url.rstrip("/"), bank_url=_bank()))


def _bank() -> str:
    """Where banks ask: an address of their own, once the server has one."""
    return str(current_app.extensions.get("bank_url") or request.host_url.rstrip("/"))


def _home() -> str:
    """Where the hosted pages are, seen from the bank's."""
    return str(current_app.extensions.get("home_url") or request.host_url.rstrip("/"))


def _session(tx: Transaction, id: str) -> Json:
    tx.enter(id)
    return tx.get("checkout.session", id)


def _intent(tx: Transaction, id: str) -> Json:
    tx.enter(id)
    found = tx.find("payment_intent", id) or tx.find("setup_intent", id)
    if found is None:
        raise no_such("payment_intent", id, "id", 404)
    return found


def _typed() -> Typed:
    def text(name: str) -> str:
        return request.form.get(name, "").strip()

    return Typed(
        number=text("number"),
        expiry=text("expiry"),
        cvc=text("cvc"),
        name=text("name"),
        email=text("email"),
        saved=text("saved"),
        save="save" in request.form,
        agrees="agrees" in request.form,
        news="news" in request.form,
    )


def _page(tx: Transaction, session: Json, error: StripeError | None = None, typed: Typed | None = None) -> Response:
    """The page of a session as it stands; after an error with what was typed, except the card."""
    if session["status"] != "open":
        return _settled(session, page=True)
    picked = cards.BY_NUMBER.get(request.args.get("card", ""))
    return _html(
        "checkout.html",
        error.status if error else 200,
        session=session,
        lines=sessions.lines_of(tx, session),
        error=error,
        typed=typed,
        picked=picked,
        cards=cards.CARDS,
        email=checkout.known_email(tx, session),
        home="" if _home() == request.host_url.rstrip("/") else _home(),
        saved=checkout.saved_cards(tx, session),
        asks=session["consent_collection"] or {},
        offers_saving=(session["saved_payment_method_options"] or {}).get("payment_method_save") == "enabled",
    )


def _settled(session: Json, page: bool = False) -> Response:
    """A session that is over: expired says so; paid leads back to the shop, by way of a page if one was asked for."""
    if session["status"] == "expired":
        return _html("message.html", 410, title="This payment page has expired", session=session)
    if page:
        title = "Already paid" if session["mode"] == "payment" else "Already saved"
        return _html("message.html", title=title, session=session, back=checkout.return_url(session))
    return redirect(checkout.return_url(session), 303)


def _after_bank(tx: Transaction, intent: Json) -> Response:
    """Where the customer goes from the bank: the shop, the hosted page again, or the API caller's return_url."""
    if session := checkout.session_of(tx, intent):
        done = session["status"] == "complete"
        return redirect(checkout.return_url(session) if done else f"{_home()}/c/pay/{session['id']}", 303)
    ok = intent["status"] == "succeeded"
    target = tx.hidden(intent["id"]).get("return_url")
    if target is None:
        title = "Confirmed" if ok else "Not confirmed"
        return _html("message.html", title=title, text="You can close this page.")
    name = intent["object"]
    parts = urlsplit(target)
    told = urlencode(
        {
            name: intent["id"],
            f"{name}_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if ok else "failed",
        }
    )
    query = f"{parts.query}&{told}" if parts.query else told
    return redirect(urlunsplit(parts._replace(query=query)), 303)


def _html(template: str, status: int = 200, **values: object) -> Response:
    return make_response(render_template(template, money=money, **values), status)
