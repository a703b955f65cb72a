"""What subscribers owed in the old system, or had as credit there, on the day of the move.

A debt becomes an invoice under its old number in a series of its own, 'opening', with one line and no tax, booked on
the day of the move against the account 'opening': it is no revenue here, its tax was declared there. A credit becomes
a payment of the method 'opening', which waits for the next invoice. Neither takes a number of ours, and nobody is
written to.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert

from base import jobs
from base.bulk import copy_rows, take_ids
from base.i18n import decimal_text
from base.money import Money
from base.offers import plan
from base.tables import service
from billing.apply import refresh_payers
from billing.dunning.cases import announced
from billing.dunning.policies import load_policies
from billing.dunning.policy import MESSAGES, Policy
from billing.dunning.tables import dunning_group, dunning_step, exemption
from billing.importers.reader import Raw
from billing.importers.rows import BALANCES, Balance, check_balance
from billing.importers.work import Work
from billing.ledger import Entry, Posting, post_all
from billing.numbers import next_numbers
from billing.own_words import say
from billing.paper import buyer_of, seller_of
from billing.prepaid.renewal import renew_and_refresh
from billing.settle import add_open_items, apply_credits, lock_subscribers
from billing.tables import invoice, invoice_line, open_credit, payment, series

COLUMNS = BALANCES
SERIES = "opening"


@dataclass(frozen=True, slots=True)
class New:
    """A debt or a credit that is to be written, under the number that it gets."""

    row: Balance
    payer: Row[Any]
    number: str


def check(work: Work, raws: Sequence[Raw]) -> list[New]:
    """The new ones among the rows."""
    # which currency an amount is in is said by the subscriber
    payers = work.subscribers([raw.cells.get("subscriber", "") for raw in raws])

    def check_one(cells: Any) -> Balance | None:
        payer = payers.get(cells.values.get("subscriber", ""))
        return check_balance(cells, payer.currency if payer else work.business.currency, work.today)

    rows: list[Balance] = work.check(raws, check_one)
    names = {row.line: _number(row) for row in rows}
    debts = _invoices(work, [names[row.line] for row in rows])
    credits = _credits(work, [_key(row) for row in rows if row.amount.minor < 0])
    new = []
    for row in rows:
        payer, number = payers.get(row.subscriber), names[row.line]
        if payer is None:
            work.fault(row.line, "subscriber", f"There is no subscriber with the account number {row.subscriber!r}.")
        elif not row.amount:
            work.left_out += 1
        elif row.amount.minor < 0:
            if not work.once(_key(row), row.line, "number", f"A credit {row.number} of {row.subscriber}".strip()):
                continue
            if _known_credit(work, row, credits):
                continue
            work.touched.add(payer.id)
            work.add("credit", -row.amount)
            new.append(New(row, payer, number))
        elif work.once(number, row.line, "number", f"The invoice number {number}") and not _known_debt(
            work, row, payer, number, debts
        ):
            work.touched.add(payer.id)
            work.add("open invoices", row.amount)
            if row.due_on is not None and row.due_on < work.today:
                work.count("{} are overdue already.")
            new.append(New(row, payer, number))
    return new


def begin(work: Work) -> None:
    """Hold the money of all of them still, in one order, before a number is taken."""
    lock_subscribers(work.tx, sorted(work.touched))


def write(work: Work, rows: Sequence[New]) -> None:
    """Write debts and credits with their entries, and how far dunning had come."""
    _add_debts(work, [each for each in rows if each.row.amount.minor > 0])
    _add_credits(work, [each for each in rows if each.row.amount.minor < 0])


def finish(work: Work) -> None:
    """Let credit settle what is open, also where one of the two was here before, and buy prepaid time with it."""
    payers = sorted(work.touched)
    named = announced(work.tx, payers)
    apply_credits(work.tx, payers, work.now, work.today)
    prepaid = select(service.c.id).join(plan, plan.c.id == service.c.plan_id)
    waiting = prepaid.where(plan.c.prepaid, service.c.payer_id == func.any(payers)).order_by(service.c.id)
    renew_and_refresh(work.tx, work.vault, list(work.tx.scalars(waiting)), work.now, because=f"import:{work.actor}")
    # what was not announced takes nothing away, so nobody else's access can differ
    refresh_payers(work.tx, work.vault, named, work.now, because=f"import:{work.actor}")


def show(each: New) -> str:
    """One row in words."""
    amount = f"{decimal_text(each.row.amount)} {each.row.amount.currency}"
    return f"{each.row.subscriber} · {each.number} · {amount} · due {each.row.due_on or '-'}"


def steps_behind(policy: Policy, days: int) -> list[str]:
    """The messages of a policy that the old system has sent for what is so many days overdue.

    Not the one that names the day on which something is taken away, nor what comes after it: that notice is ours.
    """
    behind: list[str] = []
    for step in policy.steps:
        if step.act not in MESSAGES or policy.announces(step.act) or step.days >= days:
            break
        behind.append(step.act)
    return behind


def _number(row: Balance) -> str:
    return row.number or f"OPENING-{row.subscriber}"


def _key(row: Balance) -> str:
    """What makes a credit be taken over once."""
    return f"opening:{row.subscriber}:{row.number}"


def _invoices(work: Work, numbers: Sequence[str]) -> dict[str, Row[Any]]:
    query = select(invoice).where(invoice.c.number == func.any(list(numbers)))
    return {row.number: row for row in work.tx.execute(query)}


def _credits(work: Work, keys: Sequence[str]) -> dict[str, Row[Any]]:
    query = select(payment).where(payment.c.gateway_id == func.any(list(keys)))
    return {row.gateway_id: row for row in work.tx.execute(query)}


def _known_credit(work: Work, row: Balance, credits: dict[str, Row[Any]]) -> bool:
    """Whether the credit is here; with another amount that is a fault."""
    known = credits.get(_key(row))
    if known is None:
        return False
    if known.amount_minor == -row.amount.minor:
        work.known += 1
    else:
        work.fault(row.line, "amount", f"This credit of {row.subscriber} is here already, with another amount.")
    return True


def _known_debt(work: Work, row: Balance, payer: Row[Any], number: str, debts: dict[str, Row[Any]]) -> bool:
    """Whether the number is here; if it is anything but this debt, or will be a number of ours, that is a fault."""
    known = debts.get(number)
    if known is None:
        if _will_be_ours(work, number):
            sentence = (
                f"{number} is a number that our own invoices will have: change `invoice_prefix` before, "
                "or write the old number differently."
            )
            work.fault(row.line, "number", sentence)
            return True
        return False
    same = (payer.id, row.amount.minor, row.issued_on, row.due_on)
    if known.series != SERIES:
        work.fault(row.line, "number", f"{number} is an invoice of ours.")
    elif (known.subscriber_id, known.total_minor, known.issued_on, known.due_on) == same:
        work.known += 1
    else:
        work.fault(row.line, "number", f"{number} is here already, with another subscriber, amount or date.")
    return True


def _will_be_ours(work: Work, number: str) -> bool:
    """Whether our series can still come to this number."""
    prefix = work.business.invoice_prefix
    shape = (
        re.escape(prefix).replace(re.escape("{year}"), "(?P<year>[0-9]{4})", 1).replace(re.escape("{year}"), "[0-9]{4}")
    )
    found = re.fullmatch(rf"{shape}(?P<sequence>[0-9]{{6,15}})", number)
    if found is None:
        return False
    if "series" not in work.cache:
        work.cache["series"] = {row.name: row.last_number for row in work.tx.execute(select(series))}
    name = f"invoice:{found['year']}" if "{year}" in prefix else "invoice"
    return int(found["sequence"]) > int(work.cache["series"].get(name, 0))


def _add_debts(work: Work, rows: Sequence[New]) -> None:
    if not rows:
        return
    tx, seller = work.tx, seller_of(work.business)
    ids = take_ids(tx, invoice, len(rows))
    sequences = next_numbers(tx, SERIES, len(rows))
    invoices = [
        {
            "id": invoice_id,
            "subscriber_id": each.payer.id,
            "number": each.number,
            "series": SERIES,
            "sequence": sequence,
            "currency": each.row.amount.currency,
            "issued_on": each.row.issued_on,
            "due_on": each.row.due_on,
            "net_minor": each.row.amount.minor,
            "tax_minor": 0,
            "total_minor": each.row.amount.minor,
            "taxes": [],
            "seller": seller,
            "buyer": buyer_of(each.payer),
            "created_at": work.now,
        }
        for invoice_id, sequence, each in zip(ids, sequences, rows, strict=True)
    ]
    lines = [
        {
            "invoice_id": invoice_id,
            "position": 1,
            "kind": "opening",
            "text": say(f"Open of invoice {each.number}", each.payer.language or work.business.language),
            "quantity": 1,
            "amount_minor": each.row.amount.minor,
            "inclusive": True,
            "by_day": False,
            "net_minor": each.row.amount.minor,
            "taxes": [],
        }
        for invoice_id, each in zip(ids, rows, strict=True)
    ]
    copy_rows(tx, invoice, invoices)
    copy_rows(tx, invoice_line, lines)
    post_all(
        tx,
        [
            Entry(
                work.today,
                f"Invoice {each.number}, taken over",
                f"invoice:{invoice_id}",
                (Posting("receivable", each.payer.id, each.row.amount), Posting("opening", None, -each.row.amount)),
            )
            for invoice_id, each in zip(ids, rows, strict=True)
        ],
    )
    open_items = []
    for invoice_id, each in zip(ids, rows, strict=True):
        assert each.row.due_on is not None
        open_items.append((invoice_id, each.payer.id, each.row.due_on, each.row.amount, True))
    add_open_items(tx, open_items)
    papers = {f"document:invoice:{invoice_id}": {"kind": "invoice", "id": invoice_id} for invoice_id in ids}
    jobs.enqueue_all(tx, jobs.Kind.RENDER_DOCUMENT, papers)
    _note_dunning(work, list(zip(ids, rows, strict=True)))


def _note_dunning(work: Work, debts: Sequence[tuple[int, New]]) -> None:
    """What is overdue rests for `quiet_days`, and goes on from there where the old system stopped."""
    policies = load_policies(work.tx, work.business)
    payers = sorted({each.payer.id for _, each in debts})
    groups = select(dunning_group).where(dunning_group.c.subscriber_id == func.any(payers))
    group_of = {row.subscriber_id: row.policy_id for row in work.tx.execute(groups)}
    steps, overdue = [], set()
    for invoice_id, each in debts:
        assert each.row.due_on is not None
        days = (work.today - each.row.due_on).days
        if days <= 0:
            continue
        overdue.add(each.payer.id)
        behind = steps_behind(policies.of(group_of.get(each.payer.id)), days)
        steps += [{"invoice_id": invoice_id, "act": act, "on_day": work.today, "at": work.now} for act in behind]
    copy_rows(work.tx, dunning_step, steps)
    if overdue and work.quiet_days:
        until_on = work.today + timedelta(days=work.quiet_days)
        rest = [
            {
                "subscriber_id": payer, "from_on": work.today, "until_on": until_on,
                "reason": "Taken over from the old system", "author": work.actor, "created_at": work.now,
            }
            for payer in sorted(overdue)
        ]  # fmt: skip
        # who is exempt from today on already stays so, and whom two chunks name rests once
        work.tx.execute(insert(exemption).on_conflict_do_nothing(), rest)


def _add_credits(work: Work, rows: Sequence[New]) -> None:
    if not rows:
        return
    ids = take_ids(work.tx, payment, len(rows))
    numbers = next_numbers(work.tx, "opening_credit", len(rows))
    amounts = [Money(-each.row.amount.minor, each.row.amount.currency) for each in rows]
    payments = [
        {
            "id": payment_id,
            "subscriber_id": each.payer.id,
            "receipt_number": f"OPENING-{number:06d}",
            "method": SERIES,
            "gateway_id": _key(each.row),
            "amount_minor": amount.minor,
            "currency": amount.currency,
            "received_on": work.today,
            "note": "Credit taken over from the old system" + (f": {each.row.number}" if each.row.number else ""),
            "author": work.actor,
            "created_at": work.now,
        }
        for payment_id, number, amount, each in zip(ids, numbers, amounts, rows, strict=True)
    ]
    copy_rows(work.tx, payment, payments)
    post_all(
        work.tx,
        [
            Entry(
                work.today,
                "Credit taken over",
                f"payment:{payment_id}",
                (Posting("opening", None, amount), Posting("customer_credit", each.payer.id, -amount)),
            )
            for payment_id, amount, each in zip(ids, amounts, rows, strict=True)
        ],
    )
    waiting = [
        {
            "subscriber_id": each.payer.id, "payment_id": payment_id, "left_minor": amount.minor,
            "currency": amount.currency,
        }
        for payment_id, amount, each in zip(ids, amounts, rows, strict=True)
    ]  # fmt: skip
    copy_rows(work.tx, open_credit, waiting)
    papers = {f"document:receipt:{payment_id}": {"kind": "receipt", "id": payment_id} for payment_id in ids}
    jobs.enqueue_all(work.tx, jobs.Kind.RENDER_DOCUMENT, papers)
