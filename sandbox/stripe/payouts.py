"""Payouts: every night what is available goes to the bank, arrives there, or comes back (…/api/payouts)."""

from __future__ import annotations

from sandbox.stripe import objects, objects_money
from sandbox.stripe.balance import DAY, move, plan_payout
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.params import LISTING, Endpoint
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

FAILURES = {
    "account_closed": "The bank account has been closed.",
    "account_frozen": "The bank account has been frozen.",
    "bank_account_restricted": "The bank account has restrictions on the type of payouts allowed.",
    "could_not_process": "The bank could not process this payout.",
    "declined": "The bank has declined this payout.",
    "incorrect_account_holder_name": "Your bank notified us that the bank account holder name on file is incorrect.",
    "invalid_account_number": "The bank account number is wrong.",
    "no_account": "The bank account details on file are probably incorrect; no account could be located.",
}
OPEN = "kind = 'balance_transaction' AND account = ? AND json_extract(hidden, '$.payout') IS NULL"


def pay_out_when_due(tx: Transaction, about: str, said: Json) -> None:
    """A night: pay out what is available, and come again while something is left."""
    if tx.dials.payouts == "daily":
        pay_out(tx)
    left = tx.db.execute(
        f"SELECT max(json_extract(body, '$.available_on')) FROM objects WHERE {OPEN}",  # noqa: S608
        (tx.account,),
    ).fetchone()[0]
    if left is not None and (left > tx.now or tx.dials.payouts != "daily"):
        plan_payout(tx)


def pay_out(tx: Transaction) -> list[Json]:
    """Send to the bank what is available, one payout for each currency; what is negative waits."""
    sums = tx.db.execute(
        "SELECT json_extract(body, '$.currency'), sum(json_extract(body, '$.net')) FROM objects "  # noqa: S608
        f"WHERE {OPEN} AND json_extract(body, '$.available_on') <= ? GROUP BY 1 ORDER BY 1",
        (tx.account, tx.now),
    ).fetchall()
    return [_send(tx, currency, amount) for currency, amount in sums if amount > 0]


def _send(tx: Transaction, currency: str, amount: int) -> Json:
    arrival = (tx.now // DAY + tx.dials.arrival_days) * DAY
    payout = objects_money.payout(tx.now, amount, currency, arrival)
    tx.db.execute(
        f"UPDATE objects SET hidden = json_set(hidden, '$.payout', ?) WHERE {OPEN} "  # noqa: S608
        "AND json_extract(body, '$.currency') = ? AND json_extract(body, '$.available_on') <= ?",
        (payout["id"], tx.account, currency, tx.now),
    )
    out = move(tx, "payout", -amount, currency, payout["id"], description="STRIPE PAYOUT", payout=payout["id"])
    payout["balance_transaction"] = out["id"]
    tx.add(payout)
    emit(tx, "payout.created", payout)
    tx.later(max(arrival, tx.now + 1), "payout_arrives", payout["id"])
    return payout


def arrive(tx: Transaction, id: str, said: Json) -> None:
    """The day on which a payout is at the bank, or comes back if the dials say so."""
    payout = tx.get("payout", id)
    if payout["status"] != "in_transit":
        return
    if tx.dials.payout_failure:
        fail(tx, payout, tx.dials.payout_failure)
        return
    payout |= {"status": "paid", "trace_id": {"status": "supported", "value": f"TRACE{payout['id'][-12:].upper()}"}}
    tx.save(payout)
    emit(tx, "payout.paid", payout)
    emit(tx, "payout.reconciliation_completed", payout)


def fail(tx: Transaction, payout: Json, code: str) -> Json:
    """The bank sends a payout back, be it on its way or already paid; its money waits for the next one."""
    if code not in FAILURES:
        raise invalid(f"a payout fails with one of {', '.join(FAILURES)}", "fail")
    if payout["status"] == "failed":
        raise invalid("this payout has failed already")
    back = move(tx, "payout_failure", payout["amount"], payout["currency"], payout["id"])
    payout |= {
        "status": "failed",
        "failure_code": code,
        "failure_message": FAILURES[code],
        "failure_balance_transaction": back["id"],
    }
    tx.save(payout)
    emit(tx, "payout.failed", payout)
    return payout


def _list(tx: Transaction, params: Json) -> Json:
    return objects.list_of("/v1/payouts", *tx.page("payout", params, {"status": params.get("status")}))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/payouts",
        {**LISTING, "status": ("pending", "in_transit", "paid", "failed", "canceled"), "created": "range"},
        _list,
    ),
    Endpoint("GET", "/v1/payouts/<id>", {}, lambda tx, params, id: tx.get("payout", id)),
)
