"""The one funnel for access: whatever happened, `refresh_access` decides anew and writes what differs.

Law: nothing else writes policy or access_history. Calling it too often is harmless; it writes only differences.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import feed
from base.access import AccessLevel, Reason
from base.bulk import update_rows
from base.business import load_business
from base.crypto import Vault
from base.log import alarm
from base.tables import access_history, policy, service
from billing.decide import decide_access
from billing.dunning.reconnection import charge_reconnections
from billing.facts import Known, load_facts
from billing.notices import Change, announce_access
from billing.terms import build_obeyed
from billing.usage import watched
from billing.usage_mails import announce_usage

_WAITS = ("review_at", "usage_from", "usage_threshold", "usage_counts")  # for what the next review waits


@dataclass(frozen=True, slots=True)
class _Outcome:
    row: dict[str, Any]
    rises: bool
    "The version rises: an open session must obey something new."
    told: bool
    "Level, reasons or terms changed: worth a line of history."
    noticed: bool
    "A login would notice: radius must read the row again."


def refresh_access(
    tx: Connection,
    vault: Vault,
    service_ids: Sequence[int],
    now: datetime,
    because: str | Mapping[int, str],
    *,
    renewed: bool = False,
) -> list[int]:
    """Decide for each service from facts read under lock, and write policy, history and feed where something differs.

    `because` names the cause for people, of all or of each: 'payment:12', 'staff:3', 'service:4', 'time'. Returns
    the services whose access changed. A service whose decision fails keeps its last one, and an alarm names it. Only
    who has `renewed` them just before (billing.prepaid.renewal) walls in prepaid services that would renew themselves;
    others leave that to the tick, so that nobody is walled in whose balance pays.
    """
    if not service_ids:
        return []
    business = load_business(tx, vault)
    known = load_facts(tx, business, service_ids, now, lock=True, renewed=renewed)
    before = {
        row.service_id: row
        for row in tx.execute(
            select(policy).where(policy.c.service_id == func.any([k.facts.service_id for k in known]))
        )
    }
    outcomes: list[_Outcome] = []
    for each in known:
        try:
            decision = decide_access(each.facts, now)
            obeyed = build_obeyed(each.line, decision, business)
        except Exception:
            alarm("access_not_decided", service_id=each.facts.service_id, because=str(because))
            continue
        fresh = {
            "level": int(decision.level),
            "reasons": [reason.value for reason in decision.reasons],
            "review_at": decision.review_at,
            "obeyed": obeyed,
            **watched(each.facts.usage, each.counts),
        }
        outcomes.append(_compare(each, before.get(each.facts.service_id), fresh, now))
    _write(tx, outcomes, before, because)
    changes = _changes(outcomes, before)
    if demands := charge_reconnections(tx, business, changes, now):
        from billing.demands import issue_demands  # a bill, which ends in this funnel as everything does

        issue_demands(tx, vault, business, demands, now)
    announce_access(tx, business, changes, now)
    announce_usage(tx, business, {each.facts.service_id: each.facts.usage for each in known if each.facts.usage}, now)
    return [outcome.row["service_id"] for outcome in outcomes if outcome.told]


def refresh_payers(tx: Connection, vault: Vault, payer_ids: Collection[int], now: datetime, because: str) -> list[int]:
    """The same for every service that these subscribers pay for: debt is the payer's."""
    paid_for = tx.scalars(select(service.c.id).where(service.c.payer_id == func.any(sorted(payer_ids))))
    return refresh_access(tx, vault, list(paid_for), now, because)


def _changes(outcomes: list[_Outcome], before: dict[int, Row[Any]]) -> list[Change]:
    """The services whose level or reasons differ; one that had none yet is no news."""
    return [
        Change(
            service_id=row["service_id"],
            version=row["version"],
            before=AccessLevel(before[row["service_id"]].level),
            now=AccessLevel(row["level"]),
            reasons=tuple(Reason(reason) for reason in row["reasons"]),
            reasons_before=tuple(Reason(reason) for reason in before[row["service_id"]].reasons),
        )
        for row in (outcome.row for outcome in outcomes)
        if row["service_id"] in before
        and (before[row["service_id"]].level, list(before[row["service_id"]].reasons)) != (row["level"], row["reasons"])
    ]


def _compare(each: Known, old: Row[Any] | None, fresh: dict[str, Any], now: datetime) -> _Outcome:
    rises = old is None or old.obeyed != fresh["obeyed"]
    told = rises or old is None or list(old.reasons) != fresh["reasons"]
    credentials = old is None or (old.login, bytes(old.password or b"")) != (each.login, each.password)
    version = 1 if old is None else old.version + rises
    row = {
        "service_id": each.facts.service_id,
        "version": version,
        "login": each.login,
        "password": each.password,
        "changed_at": now if told or old is None else old.changed_at,
        **fresh,
    }
    return _Outcome(row=row, rises=rises, told=told, noticed=told or credentials)


def _write(
    tx: Connection, outcomes: list[_Outcome], before: dict[int, Row[Any]], because: str | Mapping[int, str]
) -> None:
    """The rows that differ; where only the time of the next review does, as after a bill run, all in one statement."""
    changed, reviewed = [], []
    for outcome in outcomes:
        old = before.get(outcome.row["service_id"])
        if old is None or outcome.noticed:
            changed.append(outcome.row)
        elif any(getattr(old, name) != outcome.row[name] for name in _WAITS):
            reviewed.append({name: outcome.row[name] for name in ("service_id", *_WAITS)})
    update_rows(tx, policy, reviewed)
    if changed:
        statement = upsert(policy)
        columns = [column.name for column in policy.c if column.name != "service_id"]
        changes = {name: statement.excluded[name] for name in columns}
        tx.execute(statement.on_conflict_do_update(index_elements=["service_id"], set_=changes), changed)
    history = [
        {
            "service_id": outcome.row["service_id"],
            "version": outcome.row["version"],
            "level": outcome.row["level"],
            "reasons": outcome.row["reasons"],
            "because": because if isinstance(because, str) else because[outcome.row["service_id"]],
            "obeyed": outcome.row["obeyed"],
            "at": outcome.row["changed_at"],
        }
        for outcome in outcomes
        if outcome.told
    ]
    if history:
        tx.execute(insert(access_history), history)
    feed.publish(tx, "policy", [outcome.row["service_id"] for outcome in outcomes if outcome.noticed])


def ask_for_review(tx: Connection, now: datetime, *where: ColumnElement[bool]) -> list[int]:
    """Make the review of every `service` row due now, so that the tick does what nobody else does before it."""
    having = select(policy.c.service_id).join(service, service.c.id == policy.c.service_id)
    found = list(tx.scalars(having.where(*where).order_by(policy.c.service_id).with_for_update(of=policy)))
    tx.execute(
        update(policy)
        .where(policy.c.service_id == func.any(found), or_(policy.c.review_at.is_(None), policy.c.review_at > now))
        .values(review_at=now)
    )
    return found


def due_for_review(tx: Connection, now: datetime, limit: int = 1000) -> list[int]:
    """Services whose decision time alone has changed, earliest first."""
    query = select(policy.c.service_id).where(policy.c.review_at <= now).order_by(policy.c.review_at).limit(limit)
    return list(tx.scalars(query))
