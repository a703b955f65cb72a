"""The schema's version: migrate forward, and refuse to work on a schema this release does not know."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x746F6C6C  # advisory lock 'toll': one migrator at a time


class SchemaUnknown(Exception):
    """The database's schema and this release do not fit; the message says which command helps."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def newest() -> str:
    """The newest revision that this release knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str | None:
    """The revision of the database; None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the database to the newest revision; returns (before, after). Harmless when run by many at once."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        try:
            before = current(connection)
            known = {revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()}
            if before is not None and before not in known:
                raise SchemaUnknown(_newer(before))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            return before, newest()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()


def require(engine: Engine) -> None:
    """Raise SchemaUnknown unless the database is at this release's revision or one release ahead of it."""
    with engine.connect() as connection:
        found = current(connection)
    script = ScriptDirectory.from_config(_config())
    if found == newest():
        return
    if found is None:
        raise SchemaUnknown("the database is empty: run `tollkeeper db upgrade`")
    if found in {revision.revision for revision in script.walk_revisions()}:
        raise SchemaUnknown(
            f"the database is at revision {found}, this release needs {newest()}: run `tollkeeper db upgrade`"
        )
    raise SchemaUnknown(_newer(found))


def _newer(found: str) -> str:
    return (
        f"the database is at revision {found}, which this release does not know (its newest is {newest()}): "
        "start the release that made it, or upgrade this one"
    )
