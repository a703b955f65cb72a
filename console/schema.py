"""The schema's version: migrate forward, and refuse to work on a schema this release does not know.

Every process asks at its start, so the question is answered without Alembic: the files of console/migrations/versions
begin with their revision, four digits that count up. Alembic is loaded when there is something to migrate.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, text

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x746F6C6C  # advisory lock 'toll': one migrator at a time


class SchemaUnknown(Exception):
    """The database's schema and this release do not fit; the message says which command helps."""


def known() -> list[str]:
    """The revisions that this release knows, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def newest() -> str:
    """The newest revision that this release knows."""
    return known()[-1]


def current(connection: Connection) -> str | None:
    """The revision of the database; None when it is empty."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the database to the newest revision; returns (before, after). Harmless when run by many at once."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        try:
            before = current(connection)
            if before is not None and before not in known():
                raise SchemaUnknown(_newer(before))
            if before != newest():
                _upgrade(connection)
            return before, newest()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


def require(engine: Engine) -> None:
    """Raise SchemaUnknown unless the database is at a revision that this release works on."""
    with engine.connect() as connection:
        found = current(connection)
    if found == newest():
        return
    if found is None:
        raise SchemaUnknown("the database is empty: run `tollkeeper db upgrade`")
    if found in known():
        raise SchemaUnknown(
            f"the database is at revision {found}, this release needs {newest()}: run `tollkeeper db upgrade`"
        )
    raise SchemaUnknown(_newer(found))


def _newer(found: str) -> str:
    return (
        f"the database is at revision {found}, which this release does not know (its newest is {newest()}): "
        "start the release that made it, or upgrade this one"
    )
