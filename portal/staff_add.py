"""Staff: adding a subscriber, a service, a plan, a NAS."""

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from sqlalchemy import select
from wtforms.fields.choices import SelectChoice

from base.calendar import Cycle
from base.nas import add_nas
from base.offers import plan
from billing import services
from billing.plans import add_plan, class_of_percent
from portal import queries_account
from portal.at_hand import business, today, tx, vault
from portal.login import current_staff, owner_only, staff_only
from portal.staff import blueprint
from portal.staff_forms import (
    NasForm,
    PlanForm,
    ServiceForm,
    SubscriberForm,
    attempt,
    stripped,
    typed_money,
    typed_rate,
)


def actor() -> str:
    """Who is doing it, for the trail."""
    staff = current_staff()
    assert staff is not None
    return staff.actor


def _form_page(form: FlaskForm, title: str, button: str, back: str, lead: str = "") -> ResponseReturnValue:
    page = render_template("staff/form.html", form=form, title=title, lead=lead, button=button, back=back)
    return page, 400 if form.errors else 200


@blueprint.route("/subscribers/new", methods=["GET", "POST"])
@staff_only
def new_subscriber() -> ResponseReturnValue:
    """Add somebody who pays."""
    form = SubscriberForm()
    if form.validate_on_submit():
        made = attempt(
            form,
            lambda: services.add_subscriber(
                tx(),
                vault(),
                actor(),
                name=stripped(form.name.data),
                email=stripped(form.email.data),
                phone=stripped(form.phone.data),
                address=stripped(form.address.data),
                note=stripped(form.note.data),
                portal_password=form.portal_password.data or None,
            ),
        )
        if made is not None:
            flash("The subscriber is added. Give them a service next.", "success")
            return redirect(url_for("staff.subscriber", subscriber_id=made), 303)
    return _form_page(form, "New subscriber", "Add subscriber", url_for("staff.subscribers"))


@blueprint.route("/subscribers/<row:subscriber_id>/services/new", methods=["GET", "POST"])
@staff_only
def new_service(subscriber_id: int) -> ResponseReturnValue:
    """Give a subscriber a login on a plan."""
    person = queries_account.one_subscriber(tx(), subscriber_id) or abort(404)
    form = ServiceForm()
    plans = tx().execute(select(plan.c.id, plan.c.name).where(plan.c.currency == person.currency).order_by(plan.c.name))
    form.plan_id.choices = [SelectChoice(str(row.id), row.name) for row in plans]
    if form.validate_on_submit():
        made = attempt(
            form,
            lambda: services.add_service(
                tx(),
                vault(),
                actor(),
                subscriber_id=subscriber_id,
                plan_id=form.plan_id.data,
                login=stripped(form.login.data),
                password=form.password.data,
                starts_on=form.starts_on.data or today(),
                address=stripped(form.address.data) or None,
            ),
        )
        if made is not None:
            flash("The service is added; its login works from its first day on.", "success")
            return redirect(url_for("staff.subscriber", subscriber_id=subscriber_id), 303)
    back = url_for("staff.subscriber", subscriber_id=subscriber_id)
    return _form_page(form, f"New service for {person.name}", "Add service", back)


@blueprint.route("/plans/new", methods=["GET", "POST"])
@owner_only
def new_plan() -> ResponseReturnValue:
    """Add something that can be bought."""
    form = PlanForm(business().currency)
    if form.validate_on_submit():
        made = attempt(
            form,
            lambda: add_plan(
                tx(),
                actor(),
                name=stripped(form.name.data),
                price=typed_money(form.price.data, form.currency),
                cycle=Cycle("month", form.cycle_months.data),
                tax_class_id=class_of_percent(tx(), actor(), stripped(form.tax_percent.data)),
                rate_down=typed_rate(form.rate_down.data),
                rate_up=typed_rate(form.rate_up.data),
                pool=stripped(form.pool.data) or None,
            ),
        )
        if made is not None:
            flash("The plan is added.", "success")
            return redirect(url_for("staff.plans"), 303)
    return _form_page(form, "New plan", "Add plan", url_for("staff.plans"))


@blueprint.route("/nas/new", methods=["GET", "POST"])
@owner_only
def new_nas() -> ResponseReturnValue:
    """Add a router or access server."""
    form = NasForm()
    if form.validate_on_submit():
        made = attempt(
            form,
            lambda: add_nas(
                tx(),
                vault(),
                actor(),
                name=stripped(form.name.data),
                network=stripped(form.network.data),
                secret=form.secret.data,
                kind=form.kind.data,
                message_authenticator=form.message_authenticator.data,
                coa_port=form.coa_port.data,
            ),
        )
        if made is not None:
            flash("The NAS is added; radius answers it from now on.", "success")
            return redirect(url_for("staff.nas"), 303)
    return _form_page(form, "New NAS", "Add NAS", url_for("staff.nas"))
