"""The mail that brings a credit note, written in the transaction that issues it."""

from sqlalchemy import Connection, select

from base.business import Business
from base.tables import subscriber
from billing.credit_documents import load_credit_note
from billing.ledger import receivable
from billing.letters import credit_note_letter
from billing.mail_sources import load_sources
from billing.outbox import Outgoing, queue_all


def send_credit_note(tx: Connection, business: Business, credit_note_id: int) -> None:
    """Have a credit note sent to its payer after the commit, as invoices are: by mail, on paper, or both."""
    note = load_credit_note(tx, credit_note_id)
    if note is None:
        raise LookupError(f"there is no credit note {credit_note_id}")
    payer = tx.execute(
        select(subscriber.c.name, subscriber.c.language).where(subscriber.c.id == note.subscriber_id)
    ).one()
    letter = credit_note_letter(
        business,
        name=payer.name,
        number=note.number,
        issued_on=note.issued_on,
        invoice_number=note.invoice_number,
        reason=note.reason,
        lines=[(line.text, line.period, line.net) for line in note.lines],
        taxes=note.taxes,
        total=note.total,
        owed=receivable(tx, note.subscriber_id),
        language=payer.language,
        sources=load_sources(tx),
    )
    key = f"credit_note:{credit_note_id}"
    outgoing = Outgoing(note.subscriber_id, "credit_note", key, letter.subject, letter.body, awaits_paper=True)
    queue_all(tx, business, [outgoing])
