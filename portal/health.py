"""/healthz: whether this process reaches its database, and the database holds every column that this release uses."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import billing.tables  # noqa: F401
import portal.tables  # noqa: F401 - both put their tables into the metadata
from base.database import DatabaseUnavailable
from base.log import logger
from base.tables import metadata
from portal.at_hand import tx

blueprint = Blueprint("health", __name__)
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 'ok', or 503 with one sentence."""
    try:
        missing = missing_columns()
    except (SQLAlchemyError, DatabaseUnavailable) as error:
        logger().warning("healthz.no_database", error=type(error).__name__)
        return "The database cannot be reached.\n", 503, PLAIN
    if missing:
        named = ", ".join(sorted(missing)[:5])
        return f"The database lacks {named}: run `tollkeeper db upgrade`.\n", 503, PLAIN
    return "ok\n", 200, PLAIN


def missing_columns() -> set[str]:
    """'table.column' of everything this release reads or writes that the database does not have."""
    wanted = {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}
    found = tx().scalars(
        text(
            "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"
        )
    )
    return wanted - set(found)
