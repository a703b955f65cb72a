"""Staff: everything about one subscriber on one page, and why their services are as they are."""

from dataclasses import dataclass
from typing import Any

from flask import abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, Row

from base import clock
from base.access import AccessPolicy, read_obeyed
from billing import why
from billing.invoice_states import load_states
from billing.invoices import balance, load_invoice
from portal import queries_account, queries_money, queries_network
from portal.at_hand import business, today, tx
from portal.login import staff_only
from portal.paging import fetch_page, page_number
from portal.staff import blueprint
from portal.staff_lists import table_words
from portal.subscriber import download, printable
from radius.dialects import DIALECTS, read_class, render

SHORT_LIST = 5


@dataclass(frozen=True, slots=True)
class Why:
    """One service: what it may have, why, what comes next, and what each kind of NAS is told."""

    service: Row[Any]
    explanation: why.Explanation
    sent: dict[str, list[tuple[str, object]]]
    "Attributes of an Access-Accept by the dialect's title."


@blueprint.get("/subscribers/<row:subscriber_id>")
@staff_only
def subscriber(subscriber_id: int) -> ResponseReturnValue:
    """The subscriber's page."""
    person = queries_account.one_subscriber(tx(), subscriber_id) or abort(404)

    def newest(query: Any) -> list[Row[Any]]:
        return fetch_page(tx(), query, 1, SHORT_LIST).rows

    return render_template(
        "staff/subscriber.html",
        person=person,
        balance=balance(tx(), subscriber_id),
        services=[explain(tx(), row) for row in tx().execute(queries_account.services(subscriber_id))],
        sessions=newest(queries_account.sessions(subscriber_id, queries_account.is_open())),
        attempts=newest(queries_network.attempts(subscriber_id)),
        changes=newest(queries_account.access_changes(subscriber_id)),
        ledger=newest(queries_money.ledger(subscriber_id)),
        invoices=newest(queries_money.invoices(subscriber_id)),
        payments=newest(queries_money.payments(subscriber_id)),
        messages=newest(queries_money.messages(subscriber_id)),
        deeds=newest(queries_network.deeds(subscriber_id)),
        nav_current="staff.subscribers",
        **table_words(),
    )


def explain(connection: Connection, service: Row[Any]) -> Why:
    """The why of one service."""
    explanation = why.explain(connection, business(), service.id, clock.now())
    if not service.obeyed:
        return Why(service, explanation, {})
    policy = stored_policy(service)
    sent = {each.title: _readable(render(kind, policy)) for kind, each in DIALECTS.items()}
    return Why(service, explanation, sent)


def _readable(pairs: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """Attributes for people: Class as what it carries."""
    return [(name, _class(value) if isinstance(value, bytes) else value) for name, value in pairs]


def _class(value: bytes) -> str:
    known = read_class(value)
    return value.hex() if known is None else f"service {known[0]}, version {known[1]}"


def stored_policy(service: Row[Any]) -> AccessPolicy:
    """The policy that radius obeys, without its password: enough to say what a NAS is sent."""
    obeyed = read_obeyed(service.obeyed)
    return AccessPolicy(service_id=service.id, version=service.version, login=service.login, password=None, **obeyed)


@blueprint.get("/subscribers/<row:subscriber_id>/ledger")
@staff_only
def ledger(subscriber_id: int) -> ResponseReturnValue:
    """A subscriber's account: every entry, and the balance after it."""
    person = queries_account.one_subscriber(tx(), subscriber_id) or abort(404)
    page = fetch_page(tx(), queries_money.ledger(subscriber_id), page_number(request.args.get("page")))
    return render_template(
        "staff/ledger.html", person=person, page=page, nav_current="staff.subscribers", **table_words()
    )


@blueprint.get("/invoices/<row:invoice_id>")
@staff_only
def invoice(invoice_id: int) -> ResponseReturnValue:
    """One invoice: its lines, and what paid it."""
    found = load_invoice(tx(), invoice_id) or abort(404)
    return render_template(
        "staff/invoice.html",
        invoice=found,
        state=load_states(tx(), [invoice_id], today())[invoice_id],
        person=queries_account.one_subscriber(tx(), found.subscriber_id),
        paid_by=queries_money.paid_by(tx(), invoice_id),
        nav_current="staff.invoices",
        **table_words(),
    )


@blueprint.get("/invoices/<row:invoice_id>/pdf")
@staff_only
def invoice_pdf(invoice_id: int) -> ResponseReturnValue:
    """The invoice as it was mailed."""
    if load_invoice(tx(), invoice_id) is None:
        abort(404)
    back = url_for("staff.invoice", invoice_id=invoice_id)
    print_view = url_for("staff.invoice_print", invoice_id=invoice_id)
    return download("invoice", invoice_id, back, print_view, "staff/document.html")


@blueprint.get("/invoices/<row:invoice_id>/print")
@staff_only
def invoice_print(invoice_id: int) -> ResponseReturnValue:
    """The invoice as a page to print."""
    if load_invoice(tx(), invoice_id) is None:
        abort(404)
    return printable("invoice", invoice_id)


@blueprint.get("/payments/<row:payment_id>/receipt")
@staff_only
def receipt_pdf(payment_id: int) -> ResponseReturnValue:
    """The receipt of one payment."""
    found = queries_money.one_payment(tx(), payment_id) or abort(404)
    back = url_for("staff.payments", subscriber=found.subscriber_id)
    print_view = url_for("staff.receipt_print", payment_id=payment_id)
    return download("receipt", payment_id, back, print_view, "staff/document.html")


@blueprint.get("/payments/<row:payment_id>/print")
@staff_only
def receipt_print(payment_id: int) -> ResponseReturnValue:
    """The receipt as a page to print."""
    if queries_money.one_payment(tx(), payment_id) is None:
        abort(404)
    return printable("receipt", payment_id)
