"""The subscriber's pages: what I owe, until when, what I have and why. Nobody sees a row that is not theirs."""

from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from base import calendar
from base.money import total
from billing import documents
from billing.checkout import Wish
from billing.invoice_states import load_states
from billing.invoices import Invoice, balance, load_invoice, open_invoices
from portal import accounts, queries_account, queries_money
from portal.accounts import Side
from portal.at_hand import business, today, tx, vault
from portal.login import (
    WRONG,
    LoginForm,
    current_subscriber,
    log_in,
    log_out,
    subscriber_only,
    target_after_login,
)
from portal.paging import fetch_page, page_number
from portal.security import limit_guessing, limit_probing
from portal.ways import ways_to_pay

blueprint = Blueprint("subscriber", __name__)
MENU = [
    ("subscriber.home", "Home"),
    ("subscriber.invoices", "Invoices"),
    ("subscriber.payments", "Payments"),
    ("cards.page", "Cards"),
    ("subscriber.usage", "Usage"),
]


@blueprint.context_processor
def _menu() -> dict[str, Any]:
    subscriber_id = current_subscriber()
    person = None if subscriber_id is None else queries_account.one_subscriber(tx(), subscriber_id)
    if person is None:
        return {}
    return {"nav": MENU, "account_name": person.name, "logout_url": url_for("subscriber.logout"), "person": person}


def me() -> int:
    """The subscriber who is logged in; the views that ask are for subscribers only."""
    subscriber_id = current_subscriber()
    assert subscriber_id is not None
    return subscriber_id


@blueprint.route("/login", methods=["GET", "POST"])
@limit_guessing
@limit_probing
def login() -> ResponseReturnValue:
    """Log in a subscriber by account number, service login or e-mail address."""
    form = LoginForm()
    form.login.description = "Your account number, the login of your line, or your e-mail address."
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
    unpaid = open_invoices(tx(), me())
    person = queries_account.one_subscriber(tx(), me())
    assert person is not None
    return render_template(
        "subscriber/home.html",
        services=list(tx().execute(queries_account.services(me()))),
        sessions=list(tx().execute(queries_account.sessions(me(), queries_account.is_open()))),
        open_invoices=unpaid,
        owed=total((each.open for each in unpaid), person.currency),
        balance=balance(tx(), me()),
        today=today(),
        ways=ways_to_pay(me(), Wish()) if unpaid else None,
    )


def can_pay() -> bool:
    """Whether cards can be taken, and kept."""
    return bool(business().stripe_secret_key)


@blueprint.get("/invoices")
@subscriber_only
def invoices() -> ResponseReturnValue:
    """All invoices of this subscriber."""
    page = fetch_page(tx(), queries_money.invoices(me()), page_number(request.args.get("page")))
    return render_template("subscriber/invoices.html", page=page, today=today())


def my_invoice(invoice_id: int) -> Invoice:
    """An invoice of this subscriber; 404 for anybody else's, as if it did not exist."""
    found = load_invoice(tx(), invoice_id)
    return found if found is not None and found.subscriber_id == me() else abort(404)


@blueprint.get("/invoices/<row:invoice_id>")
@subscriber_only
def invoice(invoice_id: int) -> ResponseReturnValue:
    """One invoice with its lines, to read, to print or to pay."""
    found = my_invoice(invoice_id)
    return render_template(
        "subscriber/invoice.html",
        invoice=found,
        state=load_states(tx(), [invoice_id], today())[invoice_id],
        paid_by=queries_money.paid_by(tx(), invoice_id),
        nav_current="subscriber.invoices",
        today=today(),
        ways=ways_to_pay(me(), Wish([invoice_id])) if found.open else None,
    )


@blueprint.get("/invoices/<row:invoice_id>/pdf")
@subscriber_only
def invoice_pdf(invoice_id: int) -> ResponseReturnValue:
    """The invoice as it was mailed; a page that says so while it is still being made."""
    found = my_invoice(invoice_id)
    back = url_for("subscriber.invoice", invoice_id=found.id)
    print_view = url_for("subscriber.invoice_print", invoice_id=found.id)
    return download("invoice", found.id, back, print_view, "subscriber/document.html")


@blueprint.get("/invoices/<row:invoice_id>/print")
@subscriber_only
def invoice_print(invoice_id: int) -> ResponseReturnValue:
    """The invoice as a page to print, for installations that make no PDFs."""
    return printable("invoice", my_invoice(invoice_id).id)


@blueprint.get("/payments")
@subscriber_only
def payments() -> ResponseReturnValue:
    """All payments of this subscriber."""
    page = fetch_page(tx(), queries_money.payments(me()), page_number(request.args.get("page")))
    return render_template("subscriber/payments.html", page=page)


@blueprint.get("/payments/<row:payment_id>/receipt")
@subscriber_only
def receipt_pdf(payment_id: int) -> ResponseReturnValue:
    """The receipt of one payment."""
    found = my_payment(payment_id)
    print_view = url_for("subscriber.receipt_print", payment_id=found)
    return download("receipt", found, url_for("subscriber.payments"), print_view, "subscriber/document.html")


@blueprint.get("/payments/<row:payment_id>/print")
@subscriber_only
def receipt_print(payment_id: int) -> ResponseReturnValue:
    """The receipt as a page to print."""
    return printable("receipt", my_payment(payment_id))


def my_payment(payment_id: int) -> int:
    """The id of a payment of this subscriber; 404 for anybody else's."""
    return payment_id if queries_money.one_payment(tx(), payment_id, me()) is not None else abort(404)


@blueprint.get("/usage")
@subscriber_only
def usage() -> ResponseReturnValue:
    """This month's traffic by day, and the sessions."""
    first = today().replace(day=1)
    page = fetch_page(tx(), queries_account.sessions(me()), page_number(request.args.get("page")))
    return render_template(
        "subscriber/usage.html",
        days=queries_account.usage(tx(), me(), first, calendar.add_months(first, 1)),
        first=first,
        page=page,
    )


def download(kind: str, subject_id: int, back: str, print_view: str, waiting: str) -> ResponseReturnValue:
    """A stored PDF under its number; while there is none, the page `waiting`, which asks again by itself."""
    pdf = documents.fetch(tx(), kind, subject_id)
    if pdf is None:
        return render_template(waiting, back=back, print_view=print_view)
    name = documents.file_name(tx(), kind, subject_id)
    headers = {"Content-Disposition": f'inline; filename="{name}"'} if name.isascii() else {}
    return Response(pdf, mimetype="application/pdf", headers=headers)


def printable(kind: str, subject_id: int) -> ResponseReturnValue:
    """A document as HTML, with a policy of its own: it carries its style and nothing else."""
    response = Response(documents.HTML_OF[kind](tx(), business(), vault(), subject_id), mimetype="text/html")
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'none'"
    )
    return response
