"""Disputes: asked about, opened with the money withdrawn, won or lost (https://docs.stripe.com/api/disputes)."""

from __future__ import annotations

from sandbox.stripe import objects, objects_money
from sandbox.stripe.balance import move
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.params import FOR_CHARGE, Endpoint, Spec, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

INQUIRY = ("warning_needs_response", "warning_under_review")
OVER = ("won", "lost", "warning_closed")
REASONS = ("fraudulent", "product_not_received", "duplicate", "general", "subscription_canceled", "unrecognized")
OUTCOMES = ("won", "lost", "warning_closed", "needs_response")
EVIDENCE: Spec = dict.fromkeys(objects_money.EVIDENCE, "text?")
WORDS = {"winning_evidence": "won", "losing_evidence": "lost"}
"""What Stripe's test mode reads in `uncategorized_text` (https://docs.stripe.com/testing#evidence)."""


def dispute(tx: Transaction, charge: Json, *, inquiry: bool, reason: str, amount: int | None = None) -> Json:
    """Open a dispute, or an inquiry, which takes no money yet; the caller has looked at the charge."""
    made = objects_money.dispute(tx.now, charge, amount or charge["amount"], reason, inquiry=inquiry)
    tx.add(made)
    charge["disputed"] = True
    tx.save(charge)
    if not inquiry:
        _withdraw(tx, made)
    _tell(tx, "created", made, charge)
    if not inquiry:
        _tell(tx, "funds_withdrawn", made, charge)
    return made


def resolve(tx: Transaction, found: Json, outcome: str, *, fee_returned: bool = True) -> Json:
    """Go on with a dispute; raises a 400 for what cannot follow.

    won, lost; or for an inquiry warning_closed (it came to nothing), needs_response (it became a dispute).
    """
    asked = found["status"] in INQUIRY
    if found["status"] in OVER:
        raise invalid(f"This dispute is already closed: {found['status']}.", None, "dispute_already_closed")
    if asked != (outcome in ("warning_closed", "needs_response")):
        raise invalid(f"A dispute that is {found['status']} cannot become {outcome}.", "outcome")
    charge = tx.get("charge", found["charge"])
    found |= {"status": outcome, "is_charge_refundable": False}
    if outcome == "needs_response":
        found["payment_method_details"]["card"]["case_type"] = "chargeback"
        _withdraw(tx, found)
        _tell(tx, "funds_withdrawn", found, charge)
        _tell(tx, "updated", found, charge)
        return found
    if outcome == "won":
        fee = -sum(one["fee"] for one in found["balance_transactions"]) if fee_returned else 0
        _book(tx, found, found["amount"], fee, "dispute_reversal", f"Chargeback reversal for {found['charge']}")
        _tell(tx, "funds_reinstated", found, charge)
    tx.save(found)
    _tell(tx, "closed", found, charge)
    return found


def _withdraw(tx: Transaction, found: Json) -> None:
    text = f"Chargeback withdrawal for {found['charge']}"
    _book(tx, found, -found["amount"], tx.dials.dispute_fee, "dispute", text)


def _book(tx: Transaction, found: Json, amount: int, fee: int, category: str, text: str) -> None:
    moved = move(tx, "adjustment", amount, found["currency"], found["id"], fee=fee, category=category, description=text)
    found["balance_transactions"].append(moved)
    tx.save(found)


def _tell(tx: Transaction, what: str, found: Json, charge: Json) -> None:
    emit(tx, f"charge.dispute.{what}", found, lane=charge["customer"] or found["payment_intent"])


def _update(tx: Transaction, params: Json, id: str) -> Json:
    found = tx.get("dispute", id)
    if found["status"] in OVER:
        raise invalid("This dispute is already closed.", None, "dispute_already_closed")
    if "metadata" in params:
        found["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    given = params.get("evidence", {})
    found["evidence"] |= given
    details = found["evidence_details"]
    details["has_evidence"] = details["has_evidence"] or bool(given)
    if given and params.get("submit", True):
        details |= {"submission_count": details["submission_count"] + 1, "submission_method": "manual"}
        found["status"] = "warning_under_review" if found["status"] in INQUIRY else "under_review"
    tx.save(found)
    _tell(tx, "updated", found, tx.get("charge", found["charge"]))
    word = WORDS.get(found["evidence"]["uncategorized_text"] or "")
    if found["status"] == "under_review" and word:
        resolve(tx, found, word)
    elif found["status"] == "warning_under_review" and word == "won":
        resolve(tx, found, "warning_closed")
    return found


def _close(tx: Transaction, params: Json, id: str) -> Json:
    """Give up: the dispute is lost (https://docs.stripe.com/api/disputes/close)."""
    found = tx.get("dispute", id)
    return resolve(tx, found, "warning_closed" if found["status"] in INQUIRY else "lost")


def _list(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("charge", "payment_intent")}
    return objects.list_of("/v1/disputes", *tx.page("dispute", params, where))


ENDPOINTS = (
    Endpoint("GET", "/v1/disputes", FOR_CHARGE, _list),
    Endpoint("GET", "/v1/disputes/<id>", {}, lambda tx, params, id: tx.get("dispute", id)),
    Endpoint("POST", "/v1/disputes/<id>", {"evidence": EVIDENCE, "metadata": "metadata", "submit": "bool"}, _update),
    Endpoint("POST", "/v1/disputes/<id>/close", {}, _close),
)
