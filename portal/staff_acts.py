"""Staff: what can be done to a service, a session, an account and a job. Each act asks before it does."""

import secrets
from dataclasses import dataclass

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from base import clock, jobs, trail, wire
from base.tables import service, session, wire_request
from billing import services
from billing.payments import record_payment
from portal import queries_account, queries_network
from portal.at_hand import business, tx, vault
from portal.login import staff_only
from portal.staff import blueprint
from portal.staff_add import actor
from portal.staff_forms import PaymentForm, ReasonForm, attempt, stripped, typed_money


@dataclass(frozen=True, slots=True)
class Order:
    """What staff can order for a service, in words."""

    order: str
    button: str
    what: str
    tone: str
    done: str


ORDERS = {
    "suspend": Order(
        "suspended",
        "Suspend",
        "Its sessions reach only the portal and the payment pages, until somebody restores it.",
        "bad",
        "The service is suspended.",
    ),
    "block": Order(
        "blocked",
        "Block",
        "Its sessions are disconnected and its logins rejected, until somebody restores it.",
        "bad",
        "The service is blocked.",
    ),
    "restore": Order(
        "none",
        "Restore",
        "The staff order ends. What else limits the service, such as an overdue invoice, still holds.",
        "good",
        "The staff order has ended.",
    ),
}


@blueprint.route("/services/<row:service_id>/<any(suspend, block, restore):act>", methods=["GET", "POST"])
@staff_only
def order(service_id: int, act: str) -> ResponseReturnValue:
    """Suspend, block or restore a service."""
    row = tx().execute(queries_account.services(None, service.c.id == service_id)).one_or_none() or abort(404)
    chosen, form = ORDERS[act], ReasonForm()
    back = url_for("staff.subscriber", subscriber_id=row.subscriber_id)
    if form.validate_on_submit():
        services.set_staff_order(tx(), vault(), actor(), service_id, chosen.order, stripped(form.note.data))
        flash(chosen.done, "success")
        return redirect(back, 303)
    return _ask(form, f"{chosen.button} {row.login}", chosen.what, chosen.button, back, chosen.tone)


@blueprint.route("/sessions/<row:session_id>/disconnect", methods=["GET", "POST"])
@staff_only
def disconnect(session_id: int) -> ResponseReturnValue:
    """Have the NAS end a session; most routers dial again at once."""
    row = tx().execute(queries_account.sessions(None, session.c.id == session_id)).one_or_none() or abort(404)
    back = _subscriber_or(row.subscriber_id, url_for("staff.sessions"))
    if row.stopped_at is not None:
        flash("This session has ended already.", "info")
        return redirect(back, 303)
    form = ReasonForm()
    if form.validate_on_submit():
        asked = wire.ask(tx(), wire.Act.DISCONNECT, session_id, actor())
        detail = {"note": stripped(form.note.data), "login": row.login}
        trail.record(tx(), actor(), "session.reason", subject="session", subject_id=session_id, detail=detail)
        return redirect(url_for("staff.request_answer", request_id=asked), 303)
    what = f"{row.nas_name} is asked to end this session. Most routers dial in again by themselves at once."
    return _ask(form, f"Disconnect {row.login}", what, "Disconnect", back, "bad")


@blueprint.get("/requests/<row:request_id>")
@staff_only
def request_answer(request_id: int) -> ResponseReturnValue:
    """What became of a request; asks again by itself until there is an answer."""
    asked = tx().execute(queries_network.requests(None, wire_request.c.id == request_id)).one_or_none() or abort(404)
    return render_template(
        "staff/request.html",
        asked=asked,
        names=queries_network.staff_names(tx()),
        back=_subscriber_or(asked.subscriber_id, url_for("staff.sessions")),
        nav_current="staff.sessions",
    )


@blueprint.route("/subscribers/<row:subscriber_id>/payments/new", methods=["GET", "POST"])
@staff_only
def new_payment(subscriber_id: int) -> ResponseReturnValue:
    """Record money that came in; the same form sent twice records it once."""
    person = queries_account.one_subscriber(tx(), subscriber_id) or abort(404)
    form = PaymentForm(person.currency)
    back = url_for("staff.subscriber", subscriber_id=subscriber_id)
    if form.validate_on_submit():
        made = attempt(
            form,
            lambda: (
                record_payment(
                    tx(),
                    vault(),
                    business(),
                    subscriber_id=subscriber_id,
                    amount=typed_money(form.amount.data, person.currency),
                    method=form.method.data,
                    author=actor(),
                    gateway_id=f"form:{form.once.data}",
                    note=stripped(form.note.data),
                    now=clock.now(),
                ).payment_id
            ),
        )
        if made is not None:
            flash("The payment is recorded. If debt was the reason, the line comes back by itself.", "success")
            return redirect(back, 303)
    form.once.data = form.once.data or secrets.token_hex(16)
    lead = "It is allocated to the oldest open invoices, and a receipt is sent."
    return _ask(form, f"Payment from {person.name}", lead, "Record payment", back, "good")


@blueprint.post("/jobs/<row:job_id>/retry")
@staff_only
def retry_job(job_id: int) -> ResponseReturnValue:
    """Start a job that gave up anew."""
    if jobs.retry(tx(), job_id):
        trail.record(tx(), actor(), "job.retried", subject="job", subject_id=job_id)
        flash(f"Job {job_id} starts anew.", "success")
    else:
        flash(f"Job {job_id} did not give up, so it is left as it is.", "info")
    return redirect(url_for("staff.jobs", state="dead"), 303)


def _ask(form: FlaskForm, title: str, lead: str, button: str, back: str, tone: str) -> ResponseReturnValue:
    page = render_template("staff/form.html", form=form, title=title, lead=lead, button=button, back=back, tone=tone)
    return page, 400 if form.errors else 200


def _subscriber_or(subscriber_id: int | None, otherwise: str) -> str:
    return otherwise if subscriber_id is None else url_for("staff.subscriber", subscriber_id=subscriber_id)
