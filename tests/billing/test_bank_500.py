"""The committed set of 500 lines through the real intake: no wrong automatic match, and at least 80 % matched."""

import pytest
from sqlalchemy import func, select

from base import clock
from base.business import load_business
from base.database import transaction
from billing.bank.intake import take_file
from billing.bank.load import load_book
from billing.bank.queue import accept, list_lines
from billing.bank.settling import new_lines, settle_all, settle_lines
from billing.bank.tables import bank_line, payer_account
from billing.ledger import check_books
from billing.tables import allocation, invoice, payment
from tests.billing.bank_500 import FOLDER, files, make
from tests.billing.bank_play import play
from tests.billing.bank_provider import MAPPING, build, read_table
from tests.billing.provider import Provider


def test_the_files_are_those_that_the_script_makes():
    for name, data in files(make()).items():
        assert (FOLDER / name).read_bytes() == data, f"run: python -m tests.billing.bank_500 ({name})"


def test_no_wrong_match_and_most_lines_matched(provider: Provider, capsys):
    ids = build(provider)
    take(provider, "statement.csv")
    many_at_once_become_what_one_after_the_other_would(provider)
    settle_all(provider.vault, clock.now())
    truth = read_table("truth.csv")
    with transaction() as tx:
        lines = tx.execute(select(bank_line).order_by(bank_line.c.id)).all()
        paid = {row.id: row for row in tx.execute(select(payment))}
        used = dict(tx.execute(_invoices_by_payment()).all())
        assert check_books(tx) == []
    assert len(lines) == len(truth) == 500
    wrong, matched, payable = [], 0, 0
    for line, told in zip(lines, truth, strict=True):
        assert (str(line.day), line.amount_minor) == (told["day"], round(float(told["amount"]) * 100))
        whose = {ids[each.split("=")[0]]: round(float(each.split("=")[1]) * 100) for each in told["whose"].split()}
        got = {paid[each].subscriber_id: paid[each].amount_minor for each in line.payment_ids}
        payable += bool(whose)
        matched += line.state == "matched"
        named = set(told["invoices"].split()) & set(told["text"].replace(",", " ").split())
        settled = {number for each in line.payment_ids for number in used.get(each, ())}
        if got and (got != whose or (told["kind"] in ("typed", "scanned") and not named <= settled)):
            wrong.append((told, line.why))
        if line.amount_minor < 0:
            assert line.state == "outgoing"
        if "STRIPE" in told["name"].upper():
            assert line.state == "payout"
    with capsys.disabled():
        print(f"\n{matched} of {payable} lines matched: {matched / payable:.1%}; wrong: {len(wrong)}")
    assert wrong == []
    assert matched >= 0.8 * payable
    right, waiting = accept_first(provider, lines, truth, ids)
    assert right >= 0.6 * waiting


def many_at_once_become_what_one_after_the_other_would(provider: Provider) -> None:
    """The same lines, settled twice from the same state: many in a few statements, and one by one."""

    def outcome() -> list:
        with provider.engine.connect() as tx:
            ids = new_lines(tx)[:120]
            book = load_book(tx, "EUR", ids)
            settle_lines(tx, provider.vault, load_business(tx, provider.vault), book, ids, clock.now())
            lines = (bank_line.c.id, bank_line.c.state, bank_line.c.why, bank_line.c.confidence, bank_line.c.candidates)
            paid = (payment.c.receipt_number, payment.c.subscriber_id, payment.c.amount_minor, payment.c.received_on)
            used = (allocation.c.invoice_id, allocation.c.amount_minor)
            found = [tx.execute(select(*lines).order_by(bank_line.c.id)), tx.execute(select(*paid).order_by(paid[0]))]
            found.append(tx.execute(select(*used).order_by(*used)))
            found.append(
                tx.execute(select(payer_account).order_by(payer_account.c.iban, payer_account.c.subscriber_id))
            )
            return [[tuple(row) for row in rows] for rows in found]

    at_once = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("billing.bank.settling._settle_at_once", lambda *_: None)
        assert outcome() == at_once
    assert sum(row[1] == "matched" for row in at_once[0]) > 100


def accept_first(provider, lines, truth, ids):
    """What a person would do with the queue: (lines whose first candidate is right, and taken; lines that wait)."""
    right = waiting = 0
    with transaction() as tx:
        for line, told in zip(lines, truth, strict=True):
            if line.state == "queued" and told["whose"]:
                waiting += 1
                if line.candidates and line.candidates[0]["subscriber_id"] == ids[told["whose"].split("=")[0]]:
                    right += 1
                    accept(tx, provider.vault, load_business(tx, provider.vault), "staff:1", line.id, clock.now())
        assert {each.state for each in list_lines(tx)} == {"queued"}
        assert check_books(tx) == []
    return right, waiting


def test_all_three_formats_tell_the_same():
    told = []
    for name in ("statement.csv", "statement.xml", "statement.sta"):
        data = (FOLDER / name).read_bytes()
        told.append(read(name, data))
    for other in told[1:]:
        assert [(line.day, line.amount, line.iban) for line in other] == [
            (line.day, line.amount, line.iban) for line in told[0]
        ]
    assert [line.text for line in told[1]] == [row.text for row in make().rows]
    pairs = zip(told[1], told[2], strict=True)  # in field 86 there is no room for question marks and for all of a text
    assert sum(one.text.replace(" ", "") == other.text.replace(" ", "") for one, other in pairs) > 400


def test_other_sets_have_no_wrong_match_either():
    for seed in range(5):
        assert play(make(seed))["wrong"] == 0, f"python -m tests.billing.bank_play {seed} {seed + 1} show"


def read(name, data):
    from billing.bank.intake import read_file
    from billing.bank.statement import all_lines

    lines = all_lines(read_file(data, MAPPING, "EUR")[1])
    return lines[::-1] if name.endswith(".csv") else lines


def take(provider: Provider, name: str):
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        return take_file(tx, business, "staff:1", name, (FOLDER / name).read_bytes(), MAPPING, clock.now())


def _invoices_by_payment():
    return (
        select(allocation.c.payment_id, func.array_agg(invoice.c.number))
        .join(invoice, invoice.c.id == allocation.c.invoice_id)
        .where(allocation.c.payment_id.is_not(None))
        .group_by(allocation.c.payment_id)
    )
