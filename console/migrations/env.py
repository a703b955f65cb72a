"""Alembic's entry: runs the versions on the connection that console.schema hands over."""

from alembic import context

import base.offers  # noqa: F401
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
import billing.tables  # noqa: F401
import portal.tables  # noqa: F401 - they register their tables
from base.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
