"""The operator's mail templates as they are used: read with the transaction that writes the mails."""

from sqlalchemy import Connection, select

from billing.mail_words import Sources
from billing.tables import mail_template


def load_sources(tx: Connection) -> Sources:
    """Every template that the operator put in place of ours, by kind and language."""
    rows = tx.execute(select(mail_template.c.kind, mail_template.c.language, mail_template.c.source))
    return {(row.kind, row.language): row.source for row in rows}
