"""Why a service has the access it has: the rule, the invoice or the person behind each reason, and what comes next."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from base.access import AccessLevel, Decision, Reason
from base.business import Business
from base.calendar import local_midnight
from base.i18n import format_date, format_instant, format_money, format_octets
from base.offers import skipped_period
from base.tables import service, trail
from billing.cheques.waiting import waiting_of
from billing.decide import Facts, decide_access
from billing.dunning.cases import load_payers
from billing.facts import Known, load_facts
from billing.instalments.agreed import active_plans
from billing.instalments.rules import breaks_on, left_of, next_part


@dataclass(frozen=True, slots=True)
class Cause:
    """What stands behind one reason."""

    reason: Reason
    sentence: str
    "For staff; names the invoice, the date or the person."
    invoice_id: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer to "why?" at one instant."""

    level: AccessLevel
    causes: tuple[Cause, ...]
    "Worst first; empty when the service has its full plan."
    next_at: datetime | None
    "When time alone will change it (UTC)."
    next: str
    "What will happen then, in a sentence; empty when nothing will."
    waits: tuple[str, ...] = ()
    "Instalment plans and cheques under way that dunning waits for, each in a sentence."


def explain(tx: Connection, business: Business, service_id: int, now: datetime) -> Explanation:
    """Decide anew from the facts as they are, without writing anything, and say what each reason rests on."""
    known = load_facts(tx, business, [service_id], now, lock=False)[0]
    decision = decide_access(known.facts, now)
    return Explanation(
        level=decision.level,
        causes=tuple(_cause(tx, business, known, reason, now) for reason in decision.reasons),
        next_at=decision.review_at,
        next=_next(business, known.facts, decision),
        waits=waits_of(tx, business, known.payer_id),
    )


def _cause(tx: Connection, business: Business, known: Known, reason: Reason, now: datetime) -> Cause:
    facts, language = known.facts, business.language
    if reason in (Reason.DEBT, Reason.DEBT_SLOWED):
        return _indebted(tx, business, known, reason, now)
    if reason in (Reason.STAFF_SUSPENDED, Reason.STAFF_BLOCKED):
        return Cause(reason, _ordered(tx, business, known))
    if reason is Reason.ENDED and facts.ends_on is not None:
        return Cause(reason, f"The service ended on {format_date(facts.ends_on, language)}.")
    if reason is Reason.PREPAID_OVER and facts.paid_until is not None:
        return Cause(reason, f"It was paid until {format_instant(facts.paid_until, business.zone, language)}.")
    if reason is Reason.NOT_ACTIVE_YET:
        return Cause(reason, f"The service begins on {format_date(facts.starts_on, language)}.")
    if reason is Reason.CAP_REACHED and (usage := facts.usage) is not None:
        since, until = (format_date(day, language) for day in (usage.period.start, usage.period.end))
        of = f"{format_octets(usage.used)} of {format_octets(usage.cap)}"
        return Cause(reason, f"Since {since} it has used {of}; on {until} the count starts anew.")
    if reason is Reason.PAUSED and (paused := _pause(tx, facts)) is not None:
        since = format_date(paused.start_on, language)
        until = f" until {format_date(paused.end_on, language)}" if paused.end_on else ""
        note = f" They noted: “{paused.note}”." if paused.note else ""
        return Cause(reason, f"It has been paused since {since}{until}, by {paused.author}.{note}")
    return Cause(reason, reason.for_staff)


def _indebted(tx: Connection, business: Business, known: Known, reason: Reason, now: datetime) -> Cause:
    """The notice whose day has come, and the invoice that it was about."""
    language = business.language
    payer = load_payers(tx, business, [known.payer_id], now)[known.payer_id]
    act = "wall" if reason is Reason.DEBT else "reduce"
    named = [(case.notices[act], case) for case in payer.cases if act in case.notices and case.notices[act].in_time]
    if not named:
        return Cause(reason, "A fee for coming back is open, which has to be paid first.")
    notice, case = min(named, key=lambda each: each[0].on)
    assert notice.arrived_on is not None
    return Cause(
        reason,
        f"Invoice {case.number} was due on {format_date(case.due_on, language)}; "
        f"{format_money(case.open, language)} of it is open. The notice that arrived on "
        f"{format_date(notice.arrived_on, language)} named {format_date(notice.on, language)} "
        f"(dunning policy “{payer.policy.name}”).",
        case.invoice_id,
    )


def waits_of(tx: Connection, business: Business, payer_id: int) -> tuple[str, ...]:
    """What dunning waits for: the payer's instalment plan and cheques under way, each in a sentence."""
    return (*_plans(tx, business, payer_id), *_cheques(tx, business, payer_id))


def _plans(tx: Connection, business: Business, payer_id: int) -> list[str]:
    """What is agreed with the payer, and when that would break."""
    language, found = business.language, []
    for plan in active_plans(tx, [payer_id]).values():
        place, breaks = next_part(plan.parts, plan.open), breaks_on(plan.parts, plan.open, plan.grace_days)
        if place is None or breaks is None:
            continue
        left, part = left_of(plan.parts, plan.open)[place], plan.parts[place]
        found.append(
            f"{', '.join(plan.numbers)} is paid in {len(plan.parts)} parts, agreed by {plan.author} on "
            f"{format_date(plan.made_on, language)}: {format_money(plan.open, language)} is open, the next "
            f"{format_money(left, language)} on {format_date(part.due_on, language)}. Dunning waits; the plan breaks "
            f"on {format_date(breaks, language)} unless that is paid."
        )
    return found


def _cheques(tx: Connection, business: Business, payer_id: int) -> list[str]:
    """Cheques under way, and when they count."""
    language = business.language
    return [
        f"The cheque {each.receipt} of {format_money(each.amount, language)} counts on "
        f"{format_date(each.counts_on, language)}. What it pays in full takes no further step until then."
        for each in waiting_of(tx, [payer_id]).get(payer_id, [])
    ]


def _pause(tx: Connection, facts: Facts) -> Row[Any] | None:
    query = select(skipped_period).where(
        skipped_period.c.service_id == facts.service_id, skipped_period.c.reason == "pause"
    )
    return tx.execute(query.order_by(skipped_period.c.start_on.desc()).limit(1)).one_or_none()


def _ordered(tx: Connection, business: Business, known: Known) -> str:
    deed = tx.execute(
        select(trail.c.actor, trail.c.at)
        .where(
            trail.c.subject == "service",
            trail.c.subject_id == known.facts.service_id,
            trail.c.act == f"service.{known.facts.staff_order}",
        )
        .order_by(trail.c.id.desc())
        .limit(1)
    ).one_or_none()
    note = tx.scalar(select(service.c.staff_order_note).where(service.c.id == known.facts.service_id))
    said = f" They noted: “{note}”." if note else ""
    if deed is None:
        return f"It was {known.facts.staff_order} by staff.{said}"
    when = format_instant(deed.at, business.zone, business.language)
    return f"{deed.actor} ordered it on {when}.{said}"


def _next(business: Business, facts: Facts, decision: Decision) -> str:
    if decision.review_at is None:
        return ""
    then = decide_access(facts, decision.review_at)
    when = format_instant(decision.review_at, business.zone, business.language)
    anew = facts.usage is not None and decision.review_at == local_midnight(facts.usage.period.end, facts.zone)
    if anew and (then.level, then.reasons) == (decision.level, decision.reasons):
        return f"On {when} the count of its data starts anew."
    words = " ".join(reason.for_staff for reason in then.reasons) or "Nothing will speak against the full plan."
    fresh = set(then.reasons) - set(decision.reasons)
    unless = ", unless it is paid before" if fresh & {Reason.DEBT, Reason.DEBT_SLOWED} else ""
    unless = ", unless the balance pays for the next period" if Reason.PREPAID_OVER in fresh else unless
    return f"On {when} it becomes {then.level.name}{unless}. {words}"
