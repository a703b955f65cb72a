"""The operator's dunning policies: stored, loaded, given to groups of subscribers; and days without cut-offs."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import trail
from base.business import Business
from base.tables import subscriber
from billing.dunning.agenda import forget_all
from billing.dunning.policy import Policy, check_policy, steps_from_json, steps_to_json
from billing.dunning.tables import dunning_group, dunning_policy, holiday
from billing.dunning.window import Window
from billing.refused import Refused, need


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies, and who is in which group."""

    default: Policy
    by_id: dict[int, Policy]

    def of(self, policy_id: int | None) -> Policy:
        """The policy of a group; of those in none: the default."""
        return self.default if policy_id is None else self.by_id[policy_id]

    def named(self, name: str) -> Policy:
        """The policy with this name; Refused when there is none."""
        for policy in self.by_id.values():
            if policy.name == name:
                return policy
        names = ", ".join(sorted(policy.name for policy in self.by_id.values()))
        raise Refused(f"There is no dunning policy {name!r}; there are {names}.", "name")


def load_policies(tx: Connection, business: Business) -> Policies:
    """Every policy with the holidays in its window."""
    holidays = frozenset(tx.scalars(select(holiday.c.day)))
    found = {row.id: _policy(row, business, holidays) for row in tx.execute(select(dunning_policy))}
    default = tx.scalars(select(dunning_policy.c.id).where(dunning_policy.c.is_default)).one()
    return Policies(found[default], found)


def save_policy(tx: Connection, actor: str, policy: Policy) -> int:
    """Store a new policy (id 0) or the changed one, after checking it; returns its id. Refused with a sentence.

    What was announced already keeps its date. `preview.compare` says beforehand whom a change would hit.
    """
    policy = replace(policy, name=" ".join(policy.name.split()))
    need(policy.name, "A dunning policy needs a name.", "name")
    check_policy(policy)
    other = select(dunning_policy.c.id).where(dunning_policy.c.name == policy.name, dunning_policy.c.id != policy.id)
    need(tx.scalar(other) is None, f"There is a dunning policy {policy.name!r} already.", "name")
    values = {
        "name": policy.name,
        "currency": policy.currency,
        "steps": steps_to_json(policy.steps),
        "notice_days": policy.notice_days,
        "minimum_minor": policy.minimum,
        "weekdays_off": sorted(policy.window.weekdays_off),
        "opens": policy.window.opens,
        "closes": policy.window.closes,
        "fee_as": policy.fee_as,
        "fee_tax_class_id": policy.fee_tax_class_id,
        "reconnection": dict(policy.reconnection),
        "reconnection_first": policy.reconnection_first,
        "promise_days": policy.promise_days,
        "promises_a_year": policy.promises_a_year,
    }
    if policy.id:
        changed = update(dunning_policy).where(dunning_policy.c.id == policy.id).values(values)
        policy_id = tx.scalar(changed.returning(dunning_policy.c.id))
        need(policy_id is not None, "There is no such dunning policy.", "id")
        forget_all(tx)
    else:
        policy_id = tx.scalar(insert(dunning_policy).values(values).returning(dunning_policy.c.id))
    assert policy_id is not None
    detail = {**values, "opens": str(policy.window.opens), "closes": policy.window.closes and str(policy.window.closes)}
    trail.record(tx, actor, "dunning.policy", subject="dunning_policy", subject_id=policy_id, detail=detail)
    return int(policy_id)


def drop_policy(tx: Connection, actor: str, name: str, policies: Policies) -> None:
    """Remove a policy that nobody is dunned by; Refused while it is the default or somebody's."""
    policy = policies.named(name)
    need(policy.id != policies.default.id, f"{name!r} is the policy of all who are in no group.", "name")
    members = tx.scalar(select(func.count()).where(dunning_group.c.policy_id == policy.id))
    need(not members, f"{members} subscribers are dunned by {name!r}; give them another policy first.", "name")
    tx.execute(delete(dunning_policy).where(dunning_policy.c.id == policy.id))
    trail.record(tx, actor, "dunning.policy_dropped", subject="dunning_policy", subject_id=policy.id)


def assign(tx: Connection, actor: str, subscriber_ids: Collection[int], policy: Policy | None) -> None:
    """Dun these subscribers by a policy from now on; None: by the default."""
    known = set(tx.scalars(select(subscriber.c.id).where(subscriber.c.id == func.any(list(subscriber_ids)))))
    need(known == set(subscriber_ids), "There is no such subscriber.", "subscriber_id")
    if policy is None:
        tx.execute(delete(dunning_group).where(dunning_group.c.subscriber_id == func.any(list(subscriber_ids))))
    elif subscriber_ids:
        rows = [{"subscriber_id": each, "policy_id": policy.id} for each in sorted(known)]
        statement = upsert(dunning_group)
        changed = {"policy_id": statement.excluded.policy_id}
        tx.execute(statement.on_conflict_do_update(index_elements=["subscriber_id"], set_=changed), rows)
    forget_all(tx, known)
    detail = {"policy": None if policy is None else policy.name}
    for each in sorted(known):
        trail.record(tx, actor, "dunning.assigned", subject="subscriber", subject_id=each, detail=detail)


def add_holiday(tx: Connection, actor: str, day: date, name: str) -> None:
    """Cut nobody off on this day."""
    need(name.strip(), "A holiday needs a name.", "name")
    statement = upsert(holiday).values(day=day, name=name.strip())
    tx.execute(statement.on_conflict_do_update(index_elements=["day"], set_={"name": name.strip()}))
    trail.record(tx, actor, "dunning.holiday", subject="holiday", detail={"day": str(day), "name": name.strip()})


def drop_holiday(tx: Connection, actor: str, day: date) -> None:
    """It is a day like any other; Refused when it was."""
    need(tx.execute(delete(holiday).where(holiday.c.day == day)).rowcount, f"{day} is no holiday.", "day")
    trail.record(tx, actor, "dunning.holiday_dropped", subject="holiday", detail={"day": str(day)})


def list_holidays(tx: Connection) -> list[Row[Any]]:
    """Every holiday, in order."""
    return list(tx.execute(select(holiday).order_by(holiday.c.day)))


def _policy(row: Row[Any], business: Business, holidays: frozenset[date]) -> Policy:
    return Policy(
        id=row.id,
        name=row.name,
        currency=row.currency or business.currency,
        steps=steps_from_json(row.steps),
        notice_days=row.notice_days,
        minimum=row.minimum_minor,
        window=Window(frozenset(row.weekdays_off), holidays, row.opens, row.closes),
        fee_as=row.fee_as,
        fee_tax_class_id=row.fee_tax_class_id,
        reconnection=row.reconnection,
        reconnection_first=row.reconnection_first,
        promise_days=row.promise_days,
        promises_a_year=row.promises_a_year,
    )
