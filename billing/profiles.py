"""What a plan says beyond its price and its rates: bursts, slower and walled profiles, extra attributes, a data cap.

A change reaches every service that has the plan, and so every open session: first the plan and the date of the review
of its services are written in one transaction, then `refresh_plan` does these reviews; where it is stopped, the tick
does the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, update

from base import trail
from base.crypto import open_vault
from base.dictionary import BadAttribute
from base.extras import check_extras
from base.offers import plan
from base.settings import settings
from base.tables import service
from billing.apply import ask_for_review
from billing.deed import plan_of
from billing.refused import Refused, need
from billing.sweep import sweep
from billing.tick import CHUNK, review
from billing.usage import ACTIONS, COUNTS

FASTEST = 10**12  # bit/s: more is a slip of the hand
LARGEST = 10**18  # octets; the same
LONGEST_BURST = 3600  # seconds
RATES = (
    "burst_rate_down", "burst_rate_up", "burst_threshold_down", "burst_threshold_up", "reduced_rate_down",
    "reduced_rate_up", "walled_rate_down", "walled_rate_up",
)  # fmt: skip
SECONDS = ("burst_seconds_down", "burst_seconds_up")
NAMES = ("walled_pool", "walled_address_list")
FIELDS = (*RATES, *SECONDS, *NAMES, "extra_attributes", "cap_octets", "cap_counts", "cap_action")
"Columns of `plan` that make its profile."


def set_profile(tx: Connection, actor: str, plan_id: int, values: Mapping[str, Any], now: datetime) -> list[int]:
    """Change what `values` names (of FIELDS) and leave the rest; returns the services for `refresh_plan`.

    Rates and thresholds in bit/s, the cap in octets per period; None takes a value away, so that nothing or the
    business setting holds. cap_counts is total, down or up; cap_action is none (mails only), reduce or wall;
    extra_attributes are dicts of name, value, when and kinds (base.extras.check_extras), all of them anew. Raises
    Refused.
    """
    row = plan_of(tx, plan_id)
    fresh = dict(values)
    if "extra_attributes" in fresh:
        try:
            fresh["extra_attributes"] = check_extras(fresh["extra_attributes"])
        except BadAttribute as error:
            raise Refused(str(error), "extra_attributes") from error
    whole = {name: getattr(row, name) for name in FIELDS} | fresh
    _check(row, whole)
    changed = {name: value for name, value in fresh.items() if value != getattr(row, name)}
    if changed:
        tx.execute(update(plan).where(plan.c.id == plan_id).values(changed))
        detail = {"name": row.name, **changed}
        trail.record(tx, actor, "plan.profile_changed", subject="plan", subject_id=plan_id, detail=detail)
    return ask_for_review(tx, now, service.c.plan_id == plan_id)


def refresh_plan(
    plan_id: int,
    service_ids: Sequence[int],
    now: datetime,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[int]:
    """Decide anew for the services of a plan, in small transactions; returns those whose access changed.

    `progress` hears (done, of) after each part. Raises sweep.Unfinished at the end when some could not be decided.
    """
    vault = open_vault(settings().secret_keys)
    seen: set[int] = set()

    def act(tx: Connection, ids: list[int]) -> list[int]:
        changed = review(tx, vault, ids, now, f"plan:{plan_id}")
        seen.update(ids)
        progress(len(seen), len(service_ids))
        return changed

    return sweep("profile", service_ids, act, size=CHUNK)


def _check(row: Row[Any], whole: Mapping[str, Any]) -> None:
    for name in RATES:
        rate = whole[name]
        need(rate is None or 1 <= rate <= FASTEST, "A rate is 1 bit/s to 1,000,000 Mbit/s, or none.", name)
    for name in SECONDS:
        seconds = whole[name]
        need(seconds is None or 1 <= seconds <= LONGEST_BURST, "A burst is counted over 1 to 3600 seconds.", name)
    for way in ("down", "up"):
        _check_burst(way, getattr(row, f"rate_{way}"), whole)
    for name in NAMES:
        text = whole[name]
        usable = text is None or (0 < len(text.encode()) <= 200 and text.isprintable() and text == text.strip())
        need(usable, "The name of a pool or list is 1 to 200 letters, without spaces around it, or none.", name)
    cap = whole["cap_octets"]
    need(cap is None or 1 <= cap <= LARGEST, "A data cap is 1 byte to 1,000,000 TB, or none.", "cap_octets")
    need(whole["cap_counts"] in COUNTS, f"A cap counts {', '.join(COUNTS)}.", "cap_counts")
    need(whole["cap_action"] in ACTIONS, f"What follows a cap is {', '.join(ACTIONS)}.", "cap_action")
    need(cap is not None or whole["cap_action"] == "none", "Without a cap nothing can follow it.", "cap_action")


def _check_burst(way: str, rate: int, whole: Mapping[str, Any]) -> None:
    burst, threshold = whole[f"burst_rate_{way}"], whole[f"burst_threshold_{way}"]
    if burst is None:
        alone = threshold is None and whole[f"burst_seconds_{way}"] is None
        need(alone, f"A threshold and a time need a burst rate {way}.", f"burst_rate_{way}")
        return
    need(rate, f"The plan's rate {way} is not limited, so there is nothing to burst above.", f"burst_rate_{way}")
    need(burst > rate, f"A burst is faster than the plan's rate {way}.", f"burst_rate_{way}")
    need(threshold is None or threshold < burst, "A threshold is below the burst rate.", f"burst_threshold_{way}")
