"""The balance at Stripe and every movement on it (https://docs.stripe.com/api/balance_transactions).

Rule: money moves here and nowhere else; the balance is the sum of the movements. Whether a movement is available is not
stored, it follows from the clock.
"""

from __future__ import annotations

from sandbox.stripe import objects, objects_money
from sandbox.stripe.errors import Json
from sandbox.stripe.params import LISTING, Endpoint
from sandbox.stripe.store import Transaction

DAY = 86400
INCOMING = ("charge", "payment")
"""Types that take some days to become available; everything else is so at once."""

OUTGOING = ("payout", "payout_failure", "payout_cancel")
"""To the bank, in the currency in which it lies here."""


def move(
    tx: Transaction,
    type: str,
    amount: int,
    currency: str,
    source: str | None,
    *,
    fee: int = 0,
    description: str | None = None,
    category: str | None = None,
    at_once: bool = False,
    payout: str | None = None,
) -> Json:
    """Move money: `amount` gross and signed, `fee` on top of it, both in minor units. Returns the movement.

    What is not in the currency in which the account is settled is exchanged on the way, both ways.
    """
    rate = None
    if tx.dials.settles_in not in ("", currency) and type not in OUTGOING:
        rate, currency = tx.dials.exchange_rate, tx.dials.settles_in
        amount, fee = round(amount * rate), round(fee * rate)
    fields: Json = {
        "exchange_rate": rate,
        "type": type,
        "amount": amount,
        "fee": fee,
        "currency": currency,
        "source": source,
        "description": description,
        "reporting_category": category or type,
    }
    if type in INCOMING and not at_once:
        fields["available_on"] = (tx.now // DAY + tx.dials.available_days) * DAY
    made = objects_money.balance_transaction(tx.now, fields)
    tx.add(made, payout=payout)
    if payout is None:
        plan_payout(tx)
    return shown(tx, made)


def plan_payout(tx: Transaction) -> None:
    """Make sure that the next night looks for money to pay out."""
    name = f"payout {tx.account}"
    night = (tx.now // DAY + 1) * DAY
    if int(tx.fact(name, lambda: "0")) < night:
        tx.put_fact(name, str(night))
        tx.later(night, "pay_out", tx.account)


def shown(tx: Transaction, movement: Json) -> Json:
    """A movement as it stands now."""
    return movement | {"status": "available" if movement["available_on"] <= tx.now else "pending"}


def _balance(tx: Transaction, params: Json) -> Json:
    sums: dict[bool, dict[str, int]] = {True: {}, False: {}}
    rows = tx.db.execute(
        "SELECT json_extract(body, '$.currency'), json_extract(body, '$.available_on') <= ?, "
        "sum(json_extract(body, '$.net')) FROM objects WHERE kind = 'balance_transaction' AND account = ? "
        "GROUP BY 1, 2",
        (tx.now, tx.account),
    ).fetchall()
    for currency, available, net in rows or [(tx.dials.default_currency, 1, 0)]:
        sums[bool(available)][currency] = net
        sums[not available].setdefault(currency, 0)
    return objects_money.balance(sums[True], sums[False])


def _list(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("type", "payout", "source", "currency")}
    found, more = tx.page("balance_transaction", params, where)
    return objects.list_of("/v1/balance_transactions", [shown(tx, one) for one in found], more)


FILTERS = {"type": "text", "payout": "text", "source": "text", "currency": "text", "created": "range"}
ENDPOINTS = (
    Endpoint("GET", "/v1/balance", {}, _balance),
    Endpoint("GET", "/v1/balance_transactions", {**LISTING, **FILTERS}, _list),
    Endpoint(
        "GET",
        "/v1/balance_transactions/<id>",
        {},
        lambda tx, params, id: shown(tx, tx.get("balance_transaction", id)),
    ),
)
