"""The schema: migrations make what the code declares; frozen rows stay frozen; an unknown revision is refused."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, text
from sqlalchemy.exc import DatabaseError

import billing.bank.tables
import billing.book_tables
import billing.cheques.tables
import billing.clearing.tables
import billing.clearing.till_tables
import billing.collect.tables
import billing.dunning.tables
import billing.instalments.tables
import billing.money_back.tables
import billing.prepaid.tables
import billing.run_tables
import billing.tables
import portal.tables  # noqa: F401 - they register their tables
from base.database import connect
from base.tables import metadata
from console import schema
from tests.postgres import create_database, drop_database


def test_migrations_make_what_the_code_declares(database):
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_files_are_named_as_alembic_counts():
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    assert [each.revision for each in scripts.walk_revisions()][::-1] == schema.known()
    assert scripts.get_heads() == [schema.newest()]


def test_migrating_again_changes_nothing(database):
    assert schema.migrate(database.engine) == (schema.newest(), schema.newest())
    schema.require(database.engine)


def test_an_empty_database_is_told_what_to_run():
    url = create_database()
    engine = connect(url)
    try:
        with pytest.raises(schema.SchemaUnknown, match="db upgrade"):
            schema.require(engine)
    finally:
        engine.dispose()
        drop_database(url)


def test_a_schema_of_a_newer_release_is_refused_by_name(database):
    with database.engine.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for act in (schema.require, schema.migrate):
        with pytest.raises(schema.SchemaUnknown, match="9999"):
            act(database.engine)


def _entry(tx, amounts):
    entry_id = tx.scalar(
        insert(billing.tables.entry)
        .values(day="2026-01-01", text="x", source=f"test:{amounts}", created_at="2026-01-01T00:00:00Z")
        .returning(billing.tables.entry.c.id)
    )
    rows = [{"entry_id": entry_id, "account": "bank", "amount_minor": each, "currency": "EUR"} for each in amounts]
    tx.execute(insert(billing.tables.posting).values(rows))


def test_the_database_refuses_an_entry_that_does_not_balance(database):
    with database.engine.begin() as tx:
        _entry(tx, [500, -300, -200])
    with pytest.raises(DatabaseError, match="do not sum to zero"), database.engine.begin() as tx:
        _entry(tx, [500, -499])


@pytest.mark.parametrize("act", ["UPDATE posting SET amount_minor = 1", "DELETE FROM posting", "TRUNCATE posting"])
def test_the_ledger_is_append_only(database, act):
    with database.engine.begin() as tx:
        _entry(tx, [1, -1])
    with pytest.raises(DatabaseError, match="never changed or deleted"), database.engine.begin() as tx:
        tx.execute(text(act))


def test_documents_of_before_get_their_hash():
    from alembic import command
    from alembic.config import Config

    engine = connect(create_database())
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(schema.MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "0002")
            connection.execute(
                text("INSERT INTO document (kind, subject_id, pdf, created_at) VALUES ('invoice', 1, 'abc', now())")
            )
            command.upgrade(config, "0003")
            # the test vector of FIPS 180-2 for 'abc'
            assert connection.scalar(text("SELECT sha256 FROM document")).startswith("ba7816bf8f01cfea414140de5dae2223")
            connection.rollback()
    finally:
        engine.dispose()
        drop_database(engine.url.render_as_string(hide_password=False))
