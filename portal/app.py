"""The portal's door: `create_app` puts the pages, their protection and their words together."""

from typing import Any

from flask import Flask, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.routing import IntegerConverter

from base.business import Business
from base.database import DatabaseUnavailable
from base.log import logger
from base.settings import settings
from billing.gateway.client import is_on_trial
from portal import (
    at_hand,
    captive,
    cards,
    errors,
    filters,
    health,
    paying,
    security,
    staff,
    staff_acts,
    staff_add,
    staff_lists,
    staff_subscriber,
    subscriber,
    webhooks,
)


class RowId(IntegerConverter):
    """The number of a row, in a path: what a BIGINT can hold."""

    regex = r"[1-9]\d{0,17}"


def create_app() -> Flask:
    """The WSGI application, for `gunicorn "portal.app:create_app()"`; reads the deployment settings."""
    app = Flask("portal")
    app.url_map.converters["row"] = RowId
    security.protect(app)
    app.after_request(at_hand.end_with)
    app.teardown_request(_abandon)
    app.context_processor(_everywhere)
    filters.add_filters(app)
    errors.add_error_pages(app)
    for pages in (health, subscriber, cards, paying, captive, staff, webhooks):
        app.register_blueprint(pages.blueprint)
    if settings().sandbox:
        app.register_blueprint(captive.sandbox_blueprint)
    app.wsgi_app = webhooks.answer_first(app.wsgi_app)  # type: ignore[assignment, method-assign]
    return app


# These put their views into the staff blueprint.
STAFF_PAGES = (staff_acts, staff_add, staff_lists, staff_subscriber)


def _abandon(_error: BaseException | None) -> None:
    """Leave no transaction open behind a request that ended in an exception."""
    at_hand.roll_back()


def _everywhere() -> dict[str, Any]:
    """What every template may use: the provider's name and contact; defaults when the database is away."""
    try:
        shown = at_hand.business()
    except (SQLAlchemyError, DatabaseUnavailable) as error:
        logger().warning("page.without_settings", path=request.path, error=type(error).__name__)
        shown = Business()
    return {
        "provider_name": shown.company_name,
        "provider_contact": shown.support_contact,
        "lang": shown.language,
        "on_trial": is_on_trial(shown),
    }
