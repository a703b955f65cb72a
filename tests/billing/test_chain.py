"""The chain finds whatever changes behind the back of the books, and never a row that was merely late."""

import threading
import time
from datetime import date

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing import tick
from billing.book_tables import seal, seal_mark
from billing.chain import Proof, note_newest, prove, seal_due, seal_next, sealed_rows
from billing.credit_notes import credit_invoice
from billing.invoices import issue_due
from billing.ledger import Posting, post
from billing.tables import document, entry
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def prove_now() -> Proof:
    with transaction() as tx:
        return prove(tx)


def seal_all() -> None:
    """Other tests write into other databases of this server, and the chain waits for them."""
    deadline = time.monotonic() + 60
    while prove_now().waiting:
        seal_due(noon(MARCH))
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def sealed(provider: Provider) -> Provider:
    """Three invoices, two payments, a credit note and a PDF, all under seals."""
    provider.travel(noon(MARCH))
    home = provider.plan()
    for name in ("Anna", "Bert", "Cleo"):
        provider.service(provider.subscriber(name), home, MARCH)
    issue_due(noon(MARCH))
    provider.pay(1, 3599)
    with transaction() as tx:
        credit_invoice(tx, provider.vault, load_business(tx, provider.vault), "staff:1", 2, "Outage", noon(MARCH))
        row = {"kind": "invoice", "subject_id": 1, "pdf": b"%PDF", "sha256": "00", "created_at": noon(MARCH)}
        tx.execute(insert(document).values(**row))
    with transaction() as tx:  # number 8 is nobody's
        post(tx, MARCH, "Given up", "x:1", [Posting("cash", None, eur(5)), Posting("bank", None, eur(-5))])
        tx.rollback()
    seal_all()
    provider.pay(3, 3599)
    seal_all()
    return provider


def test_what_is_as_it_was_is_proven(sealed: Provider):
    seen: list[int] = []
    with transaction() as tx:
        proof = prove(tx, seen.append)
        assert sealed_rows(tx) == proof.rows == sum(seen)
        entries = tx.scalar(select(func.count()).select_from(entry))
    assert proof.wrong == ()
    assert (proof.rows, proof.waiting) == (entries + 3 + 1 + 1, 0)
    assert len(proof.head) == 64
    assert seal_due(noon(MARCH)) == []


DAMAGE = {
    "entry 2 (Invoice INV-000002) is not what it was": "UPDATE posting SET subscriber_id = 1 WHERE entry_id = 2 "
    "AND account = 'receivable'",
    "entry 3 is gone": "DELETE FROM posting WHERE entry_id = 3; DELETE FROM entry WHERE id = 3",
    "entry 4 (Payment R-000001) is not what it was": "UPDATE entry SET day = '2026-02-01' WHERE id = 4",
    "entry 1 (Invoice INV-000001) is not what it was": "INSERT INTO posting (entry_id, account, amount_minor, "
    "currency) VALUES (1, 'cash', -1, 'EUR'), (1, 'bank', 1, 'EUR')",
    "entry 8 (slipped in) was not there": "INSERT INTO entry OVERRIDING SYSTEM VALUE "
    "SELECT 8, '2026-03-01', 'slipped in', 'x', now()",
    "entry 0 (slipped in) has a number that was never handed out": "INSERT INTO entry OVERRIDING SYSTEM VALUE "
    "SELECT 0, '2026-03-01', 'slipped in', 'x', now()",
    "entry 90 (slipped in) has a number that was never handed out": "INSERT INTO entry OVERRIDING SYSTEM VALUE "
    "SELECT 90, '2026-03-01', 'slipped in', 'x', now()",
    "invoice 2 (INV-000002) is not what it was": "UPDATE invoice SET buyer = '{}' WHERE id = 2",
    "invoice 3 (INV-000003) is not what it was": "UPDATE invoice_line SET text = 'x' WHERE invoice_id = 3",
    "invoice 1 is gone": "DELETE FROM invoice WHERE id = 1",
    "credit_note 1 (CN-000001) is not what it was": "UPDATE credit_note_line SET net_minor = 1",
    "document 1 (invoice 1) is not what it was": "UPDATE document SET sha256 = '01'",
    "Seal 2 itself was changed, or one before it": "UPDATE seal SET digest = repeat('0', 64) WHERE id = 2",
    "Seal 2 is missing": "DELETE FROM seal WHERE id = 2",
    "does not begin where the one before it ended": "UPDATE seal SET from_id = 1 WHERE id = 1",
    "Series invoice has given the numbers up to 3": "DELETE FROM invoice WHERE id = 3",
}


@pytest.mark.parametrize("sentence", DAMAGE)
def test_what_is_done_behind_the_triggers_back_is_found_and_named(sealed: Provider, sentence: str):
    with transaction() as tx:
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        tx.execute(text(DAMAGE[sentence]))
    found = prove_now().wrong
    assert any(sentence in each for each in found), found


def test_the_first_row_that_differs_is_named_first(sealed: Provider):
    with transaction() as tx:
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        tx.execute(text("UPDATE posting SET amount_minor = amount_minor * 2 WHERE entry_id IN (2, 3)"))
    assert prove_now().wrong[0].startswith("entry 2 ")


def test_seals_are_frozen(sealed: Provider):
    for act in ("UPDATE seal SET digest = ''", "DELETE FROM seal", "TRUNCATE seal"):
        with pytest.raises(DBAPIError, match="never changed or deleted"), transaction() as tx:
            tx.execute(text(act))


def test_a_late_commit_is_waited_for_and_never_taken_for_slipped_in(provider: Provider):
    """The lower number commits last: nothing above it is sealed before."""
    sides = [Posting("cash", None, eur(5)), Posting("bank", None, eur(-5))]
    late, noted, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        with transaction() as tx:
            post(tx, MARCH, "Late", "late:1", sides)
            late.set()
            assert noted.wait(30)
        done.set()

    writer = threading.Thread(target=slow)
    writer.start()
    assert late.wait(30)
    with transaction() as tx:
        post(tx, MARCH, "Early", "early:1", sides)
    try:
        for _ in range(3):
            assert seal_due(noon(MARCH)) == []
        assert prove_now().waiting == 1
    finally:
        noted.set()
        writer.join(30)
    assert done.is_set()
    seal_all()
    proof = prove_now()
    assert (proof.rows, proof.wrong) == (2, ())
    with transaction() as tx:
        assert tx.scalars(select(seal.c.row_count)).all() == [2]


def test_many_rows_are_sealed_in_batches_also_while_somebody_writes(provider: Provider):
    with transaction() as tx:
        for number in range(25):
            post(tx, MARCH, "x", f"x:{number}", [Posting("cash", None, eur(1)), Posting("bank", None, eur(-1))])
    with provider.engine.begin() as busy:
        busy.execute(text("SELECT pg_current_xact_id()"))  # writes on until the end of the block
        with transaction() as tx:
            assert note_newest(tx)
        with transaction() as tx:
            assert seal_next(tx) == []
            assert not note_newest(tx)  # what it waits for stays noted
    deadline = time.monotonic() + 60
    while prove_now().waiting:
        with transaction() as tx:
            seal_next(tx, batch=10)
        assert time.monotonic() < deadline
    with transaction() as tx:
        assert tx.scalars(select(seal.c.row_count).order_by(seal.c.id)).all() == [10, 10, 5]
    assert prove_now().wrong == ()


def test_marks_of_another_server_are_not_waited_for(provider: Provider):
    """Data restored elsewhere bring marks of transactions that this server will only see in years."""
    with transaction() as tx:
        post(tx, MARCH, "x", "x:1", [Posting("cash", None, eur(1)), Posting("bank", None, eur(-1))])
        tx.execute(insert(seal_mark).values(kind="entry", to_id=1, xid=10**15))
    with transaction() as tx:
        assert seal_next(tx) == [1]


def test_the_tick_seals(provider: Provider):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    deadline = time.monotonic() + 60
    tick.run(noon(MARCH))
    while prove_now().waiting:
        tick.run(noon(MARCH))
        assert time.monotonic() < deadline
    assert prove_now().rows == 2  # the invoice and its entry
