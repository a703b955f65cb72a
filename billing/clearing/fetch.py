"""What moved at Stripe is fetched, and each movement booked once.

Movements are stored oldest first, so a fetch that breaks off leaves nothing out: the next one begins a little before
the newest that is known, and knows every movement by its id. The first fetch begins with our first card payment; what
lay at Stripe before is an opening balance.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, union_all, update
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from base.log import logger
from base.money import Money
from billing.clearing.book import kind_of, postings
from billing.clearing.tables import payout, stripe_balance, stripe_transaction
from billing.collect.account import learn_account
from billing.collect.tables import checkout, collection
from billing.gateway.balance import Lying, Movement, Payout, list_movements, list_payouts, read_balance
from billing.gateway.words import GatewayError, NotConfigured
from billing.ledger import Entry, Posting, first_open_day, post_all
from billing.tables import payment

OVERLAP = timedelta(hours=1)  # movements show up in the list a little late
LIVELY = timedelta(days=30)  # how long a payout may still change; Stripe: a bank may send it back for days
CHUNK = 500  # movements to a transaction
STILL = 3  # times the first fetch waits for a moment in which nothing moves

stored = stripe_transaction.c


def fetch(vault: Vault) -> int:
    """Fetch what moved at Stripe since the last time and book it; returns how many movements were new.

    Raises GatewayError; what was booked until then stays.
    """
    account = learn_account(vault).account
    with transaction() as tx:
        business = load_business(tx, vault)
        begun = tx.scalar(select(stripe_balance.c.read_at).where(stripe_balance.c.account == account).limit(1))
        newest: datetime | None = tx.scalar(select(func.max(stored.made_at)).where(stored.account == account))
        since = newest - OVERLAP if newest is not None else _beginning(tx)
    if begun is None:
        return _begin(business, account, since)
    found = list(list_movements(business, since=since))[::-1]
    known = _known(found)
    fresh = sorted((each for each in found if each.id not in known), key=lambda each: each.made_at)
    count = 0
    for at in range(0, len(fresh), CHUNK):
        with transaction() as tx:
            count += len(keep(tx, business, account, fresh[at : at + CHUNK]))
    _fetch_payouts(business, account)
    lying = read_balance(business)
    with transaction() as tx:
        _keep_balance(tx, account, lying, {})
    _look_at_the_bank()
    return count


def fetch_or_say(vault: Vault) -> int:
    """The same, with trouble said in the log: the next fetch takes up what this one could not."""
    try:
        return fetch(vault)
    except NotConfigured:
        return 0
    except GatewayError as error:
        logger().warning("stripe.balance_not_fetched", because=str(error))
        return 0


def keep(tx: Connection, business: Business, account: str, found: Sequence[Movement]) -> list[str]:
    """Store and book movements that are new; returns their ids. One that is known, or comes at once, is left alone."""
    ours = _ours(tx, found)
    kinds = {each.id: kind_of(each, ours=each.payment in ours or each.token in ours) for each in found}
    rows = [
        {
            "txn_id": each.id,
            "account": account,
            "type": each.type,
            "category": each.category,
            "amount_minor": each.amount.minor,
            "fee_minor": each.fee.minor,
            "currency": each.amount.currency,
            "charged_minor": None if each.charged is None else each.charged.minor,
            "charged_currency": None if each.charged is None else each.charged.currency,
            "source_id": each.source,
            "payment_ref": each.payment,
            "description": each.description,
            "kind": kinds[each.id],
            "made_at": each.made_at,
            "fetched_at": clock.real(),
        }
        for each in found
    ]
    if not rows:
        return []
    taken = insert(stripe_transaction).values(rows).on_conflict_do_nothing(index_elements=["txn_id"])
    fresh = set(tx.scalars(taken.returning(stored.txn_id)))
    earliest = first_open_day(tx)
    entries: dict[str, Entry] = {}
    for each in found:
        sides = postings(each, kinds[each.id])
        if each.id in fresh and sides:
            day = local_date(each.made_at, business.zone)
            day = day if earliest is None else max(day, earliest)
            text = f"Stripe {each.type.replace('_', ' ')} {each.source or each.id}"
            entries[each.id] = Entry(day, text, f"stripe:{each.id}", sides)
    for txn_id, entry_id in zip(entries, post_all(tx, list(entries.values())), strict=True):
        tx.execute(update(stripe_transaction).where(stored.txn_id == txn_id).values(entry_id=entry_id))
    return [each.id for each in found if each.id in fresh]


def _beginning(tx: Connection) -> datetime:
    """A day before our first card payment was asked for; now when there is none."""
    asked = union_all(
        select(func.min(payment.c.created_at).label("at")).where(payment.c.gateway_id.is_not(None)),
        select(func.min(collection.c.opened_at)),
        select(func.min(checkout.c.created_at)),
    ).subquery()
    first: datetime | None = tx.scalar(select(func.min(asked.c.at)))
    return clock.now() if first is None else first - timedelta(days=1)


def _begin(business: Business, account: str, since: datetime) -> int:
    """The first fetch: all movements since then, and what lay there before them, in one commit."""
    for _ in range(STILL):
        before = read_balance(business)
        found = list(list_movements(business, since=since))[::-1]
        lying = read_balance(business)
        if lying == before:
            break
    else:
        raise GatewayError("Stripe's balance moves all the time; it is read again later.")
    for code in {each.net.currency for each in found} - lying.keys():
        lying[code] = Lying(Money(0, code), Money(0, code))
    opening = {code: each.all for code, each in lying.items()}
    for each in found:
        opening[each.net.currency] -= each.net
    with transaction() as tx:
        if not _keep_balance(tx, account, lying, opening):
            return 0  # somebody else began meanwhile
        day = local_date(clock.now(), business.zone)
        entries = [
            Entry(
                max(day, first_open_day(tx) or day),
                "What lay at Stripe before",
                f"stripe:opening:{account}:{code}",
                (Posting("stripe", None, amount), Posting("opening", None, -amount)),
            )
            for code, amount in opening.items()
            if amount
        ]
        post_all(tx, entries)
        count = 0
        for at in range(0, len(found), CHUNK):
            count += len(keep(tx, business, account, found[at : at + CHUNK]))
    _fetch_payouts(business, account)
    _look_at_the_bank()
    return count


def _look_at_the_bank() -> None:
    """A payout may have been at the bank, and in its statement, before it was fetched."""
    from billing.bank.payouts import match_payout_lines  # which records payments

    with transaction() as tx:
        match_payout_lines(tx, clock.now())


def _fetch_payouts(business: Business, account: str) -> None:
    """What became of the payouts of the last weeks; of those that are new, what they paid out."""
    with transaction() as tx:
        newest = tx.scalar(select(func.max(stored.made_at)).where(stored.account == account))
    if newest is None:
        return
    for each in list_payouts(business, newest - LIVELY):
        with transaction() as tx:
            fresh = _keep_payout(tx, account, each)
        if fresh:
            contents = [one.id for one in list_movements(business, payout=each.id)]
            with transaction() as tx:
                tx.execute(update(stripe_transaction).where(stored.txn_id.in_(contents)).values(payout_id=each.id))
                _new_payout(tx, account, each)


def _keep_payout(tx: Connection, account: str, found: Payout) -> bool:
    """Keep what a known payout became; True for one that is not known."""
    values: dict[str, object] = {"state": found.state, "failure": found.failure, "traces": list(found.traces)}
    values["arrives_on"] = found.arrives_on
    return not tx.execute(update(payout).where(payout.c.payout_id == found.id).values(**values)).rowcount


def _new_payout(tx: Connection, account: str, found: Payout) -> None:
    row = {
        "payout_id": found.id,
        "account": account,
        "amount_minor": found.amount.minor,
        "currency": found.amount.currency,
        "arrives_on": found.arrives_on,
        "state": found.state,
        "failure": found.failure,
        "traces": list(found.traces),
        "made_at": found.made_at,
    }
    tx.execute(insert(payout).values(row).on_conflict_do_nothing(index_elements=["payout_id"]))


def _keep_balance(tx: Connection, account: str, lying: Mapping[str, Lying], opening: Mapping[str, Money]) -> bool:
    """Keep what lies at Stripe by currency, one that is empty by now too; False: nothing could be begun anew."""
    values = {"available_minor": 0, "pending_minor": 0, "read_at": clock.real()}
    tx.execute(update(stripe_balance).where(stripe_balance.c.account == account).values(**values))
    rows = [
        {
            "account": account,
            "currency": code,
            "available_minor": each.available.minor,
            "pending_minor": each.pending.minor,
            "opening_minor": opening[code].minor if code in opening else 0,
            "read_at": clock.real(),
        }
        for code, each in lying.items()
    ]
    new = insert(stripe_balance).values(rows)
    kept = {name: new.excluded[name] for name in ("available_minor", "pending_minor", "read_at")}
    if opening:
        taken = new.on_conflict_do_nothing().returning(stripe_balance.c.currency)
        return len(tx.scalars(taken).all()) == len(rows)
    tx.execute(new.on_conflict_do_update(index_elements=["account", "currency"], set_=kept))
    return True


def _known(found: Sequence[Movement]) -> set[str]:
    with transaction() as tx:
        return set(tx.scalars(select(stored.txn_id).where(stored.txn_id == func.any([each.id for each in found]))))


def _ours(tx: Connection, found: Iterable[Movement]) -> set[str]:
    """Which of their payments and words are ours: asked for by us, recorded, or known as ours before."""
    movements = list(found)
    tokens = [each.token for each in movements if each.token]
    refs = [each.payment for each in movements if each.payment]
    words = set(
        tx.scalars(
            union_all(
                select(collection.c.token).where(collection.c.token == func.any(tokens)),
                select(checkout.c.token).where(checkout.c.token == func.any(tokens)),
                select(payment.c.gateway_id).where(payment.c.gateway_id == func.any(refs)),
                select(collection.c.intent_id).where(collection.c.intent_id == func.any(refs)),
                select(stored.payment_ref).where(
                    stored.payment_ref == func.any(refs), stored.kind.in_(("ours", "converted"))
                ),
            )
        )
    )
    return words | {each.payment for each in movements if each.token in words and each.payment}
