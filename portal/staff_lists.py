"""Staff: the lists. Each has an address, filters by state, and is narrowed to one subscriber by ?subscriber=."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import abort, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, Select, func, select

from base import clock
from base.access import AccessLevel
from base.offers import plan, tax_class
from base.tables import coa_attempt, enforcement, job, login_log, policy, service, session
from billing.settle import is_open as is_unpaid
from billing.tables import invoice, message, payment
from portal import queries_account, queries_money, queries_network
from portal.at_hand import today, tx
from portal.login import View, staff_only
from portal.paging import fetch_page, page_number
from portal.staff import blueprint

Where = Callable[[], list[ColumnElement[bool]]]


@dataclass(frozen=True, slots=True)
class Listing:
    """One list: its title, one sentence about it, what it selects, and its filters (state → (label, conditions))."""

    title: str
    lead: str
    select: Callable[..., Select[Any]]
    states: Mapping[str, tuple[str, Where]] = field(default_factory=dict)
    of_subscriber: bool = True
    "Whether its select takes a subscriber first."


def _level(level: AccessLevel) -> Where:
    return lambda: [policy.c.level == level.value]


def _plans() -> Select[Any]:
    used = select(func.count()).where(service.c.plan_id == plan.c.id).scalar_subquery()
    query = select(plan, tax_class.c.name.label("tax_name"), used.label("services"))
    return query.join(tax_class, tax_class.c.id == plan.c.tax_class_id).order_by(plan.c.name)


def _behind() -> list[ColumnElement[bool]]:
    obeys = func.coalesce(enforcement.c.applied_version, session.c.accepted_version)
    return [queries_account.is_open(), obeys < policy.c.version]


LISTINGS = {
    "services": Listing(
        "Services",
        "Each service with its plan and what it may have now.",
        queries_account.services,
        {
            "": ("All", list),
            "walled": ("Payment pages only", _level(AccessLevel.WALLED)),
            "blocked": ("Blocked", _level(AccessLevel.BLOCKED)),
            "suspended": ("By staff order", lambda: [service.c.staff_order != "none"]),
            "full": ("Full speed", _level(AccessLevel.FULL)),
        },
    ),
    "sessions": Listing(
        "Sessions",
        "Lines in use, the newest first.",
        queries_account.sessions,
        {
            "": ("Open", lambda: [queries_account.is_open()]),
            "behind": ("Behind their policy", _behind),
            "all": ("Also ended", list),
        },
    ),
    "access": Listing(
        "Changes of access",
        "Every change with its cause, the newest first.",
        queries_account.access_changes,
    ),
    "enforcement": Listing(
        "Enforcement",
        "Every change and disconnect that was sent to a NAS, with its answer.",
        queries_network.attempts,
        {"": ("All", list), "failed": ("Not acknowledged", lambda: [coa_attempt.c.result != "ack"])},
    ),
    "requests": Listing(
        "Requests",
        "What people asked of sessions, and the answers.",
        queries_network.requests,
    ),
    "logins": Listing(
        "Logins",
        "Logins as radius answered them.",
        queries_network.logins,
        {"": ("All", list), "rejected": ("Rejected", lambda: [login_log.c.result == "reject"])},
    ),
    "invoices": Listing(
        "Invoices",
        "Every invoice that was issued, the newest first.",
        queries_money.invoices,
        {
            "": ("All", list),
            "open": ("Open", lambda: [is_unpaid()]),
            "overdue": ("Overdue", lambda: [is_unpaid(), invoice.c.due_on < today()]),
        },
    ),
    "payments": Listing(
        "Payments",
        "Money received, the newest first.",
        queries_money.payments,
        {"": ("All", list), "today": ("Today", lambda: [payment.c.received_on == today()])},
    ),
    "messages": Listing(
        "Mails",
        "Mails to subscribers, the newest first.",
        queries_money.messages,
        {
            "": ("All", list),
            "unsent": (
                "Not sent yet",
                lambda: [message.c.sent_at.is_(None), message.c.state != "withdrawn"],
            ),
            "uncertain": ("Uncertain", lambda: [message.c.state == "uncertain"]),
            "failed": ("Not arrived", lambda: [message.c.state.in_(["refused", "bounced", "none"])]),
            "paper": ("To be printed", lambda: [message.c.state == "paper"]),
        },
    ),
    "trail": Listing("Trail", "Who did what, the newest first.", queries_network.deeds),
    "nas": Listing("NAS", "Routers and access servers that radius answers.", queries_network.nas_list, {}, False),
    "plans": Listing("Plans", "What can be bought.", _plans, {}, False),
    "jobs": Listing(
        "Jobs",
        "Work that is done after a transaction. A job that gave up waits for you.",
        queries_network.jobs,
        {
            "": ("All", list),
            "dead": ("Gave up", lambda: [job.c.state == "dead"]),
            "waiting": ("Waiting", lambda: [job.c.state.in_(["ready", "sent"])]),
        },
        False,
    ),
}


def _view(name: str, listing: Listing) -> View:
    @staff_only
    def show() -> ResponseReturnValue:
        state = request.args.get("state", "")
        conditions = listing.states[state][1]() if state in listing.states else []
        person = _whose() if listing.of_subscriber else None
        arguments = [None if person is None else person.id, *conditions] if listing.of_subscriber else conditions
        page = fetch_page(tx(), listing.select(*arguments), page_number(request.args.get("page")))
        return render_template(
            "staff/list.html",
            name=name,
            listing=listing,
            state=state,
            person=person,
            page=page,
            nav_current=f"staff.{name}",
            **table_words(),
        )

    return show


def _whose() -> Any:
    wanted = request.args.get("subscriber", "")
    if not wanted:
        return None
    known = wanted.isascii() and wanted.isdigit() and len(wanted) <= 18
    return (queries_account.one_subscriber(tx(), int(wanted)) if known else None) or abort(404)


def table_words() -> dict[str, Any]:
    """What the tables of lists need besides their rows."""
    return {"names": queries_network.staff_names(tx()), "today": today(), "now": clock.now()}


for _name, _listing in LISTINGS.items():
    blueprint.add_url_rule(f"/{_name}", endpoint=_name, view_func=_view(_name, _listing), methods=["GET"])
