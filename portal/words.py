"""Words for states, causes and answers, as the pages say them. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from base.access import AccessLevel, Reason
from billing.gateway.offers import methods
from billing.invoice_states import InvoiceState, state_of

WALLED, BLOCKED = AccessLevel.WALLED, AccessLevel.BLOCKED

# RFC 5176 §3.6, Error-Cause: what the NAS means by its refusal.
ERROR_CAUSES = {
    201: "The session was removed, but something of it remains.",
    202: "The NAS did not understand an EAP packet.",
    401: "The NAS does not know an attribute of the request.",
    402: "The NAS misses an attribute in the request.",
    403: "The request names another NAS.",
    404: "The NAS calls the request invalid.",
    405: "The NAS does not offer this service.",
    406: "The NAS does not know this extension.",
    407: "The NAS does not accept the value of an attribute.",
    501: "The NAS is configured to refuse this.",
    502: "The request could not be passed on to the NAS.",
    503: "The NAS does not know this session.",
    504: "The NAS cannot remove this session.",
    505: "A proxy on the way failed.",
    506: "The NAS lacks the resources to do this.",
    507: "The NAS has begun to do this.",
    508: "The NAS found several sessions and takes one at a time only.",
}

RESULTS = {
    "ack": ("Done", "good"),
    "nak": ("Refused", "bad"),
    "silence": ("No answer", "bad"),
    "not_sent": ("Not sent", "notice"),
}
STEPS = {"coa": "Change", "disconnect": "Disconnect"}
METHODS = {
    "cash": "Cash",
    **{name: each.name for name, each in methods().items()},
    "cheque": "Cheque",
    "voucher": "Voucher",
    "opening": "Taken over",
}
MESSAGE_STATES = {
    "queued": ("Waiting", "neutral"),
    "sending": ("Under way", "neutral"),
    "sent": ("Sent", "good"),
    "uncertain": ("Uncertain", "notice"),
    "refused": ("Refused", "bad"),
    "withdrawn": ("Withdrawn", "neutral"),
    "bounced": ("Came back", "bad"),
    "paper": ("To be printed", "notice"),
    "none": ("No way to reach", "bad"),
}
JOB_STATES = {
    "ready": ("Waiting", "neutral"),
    "sent": ("At work", "notice"),
    "done": ("Done", "good"),
    "dead": ("Gave up", "bad"),
}
ORDERS = {"none": "None", "suspended": "Suspended", "blocked": "Blocked"}
# Of an invoice, for staff; subscribers read "Closed" where nobody waits for their money any more.
INVOICE_STATES = {
    InvoiceState.OPEN: ("Open", "neutral"),
    InvoiceState.PART_PAID: ("Part paid", "notice"),
    InvoiceState.OVERDUE: ("Overdue", "bad"),
    InvoiceState.PAID: ("Paid", "good"),
    InvoiceState.CANCELLED: ("Cancelled", "neutral"),
    InvoiceState.WRITTEN_OFF: ("Written off", "notice"),
}
MY_INVOICE_STATES = {**INVOICE_STATES, InvoiceState.WRITTEN_OFF: ("Closed", "neutral")}
CYCLES = {1: "month", 3: "quarter", 12: "year"}


def error_cause(code: int | None) -> str:
    """What an Error-Cause means, with its number."""
    if code is None:
        return ""
    return f"{ERROR_CAUSES.get(code, 'The NAS gives a reason that RFC 5176 does not name.')} ({code})"


def row_state(row: Row[Any], today: date) -> InvoiceState:
    """What has become of an invoice of a list (portal.queries_money.invoices)."""
    return state_of(
        total=row.total_minor, open=row.open_minor, credited=row.credited_minor, written_off=row.given_up_minor,
        due_on=row.due_on, today=today,
    )  # fmt: skip


def reasons(names: Sequence[str]) -> list[Reason]:
    """The reasons of a stored policy; one that this release does not know is left out."""
    known = {reason.value for reason in Reason}
    return [Reason(name) for name in names if name in known]


def cause(because: str, names: Mapping[str, str]) -> str:
    """'payment:12' → 'Payment 12', 'staff:3' → who that is, 'time' → 'The date'."""
    kind, _, number = because.partition(":")
    if kind == "staff":
        return names.get(because, f"Member of staff {number}")
    if kind == "time":
        return "The date"
    return f"{kind.capitalize()} {number}".strip()


def actor(name: str, names: Mapping[str, str]) -> str:
    """Who did it: a member of staff by name, a subscriber, or the system."""
    kind, _, number = name.partition(":")
    if kind == "staff":
        return names.get(name, f"Member of staff {number}")
    return f"Subscriber {number}" if kind == "subscriber" else "Tollkeeper"


def named(sentence: str, names: Mapping[str, str]) -> str:
    """A sentence that begins with 'staff:3', with that person's name instead."""
    first, blank, rest = sentence.partition(" ")
    return names.get(first, first) + blank + rest


def act(name: str) -> str:
    """'service.suspended' → 'Service suspended'."""
    return name.replace(".", " ").replace("_", " ").capitalize()


def lasted(seconds: int) -> str:
    """A duration in its two largest units: '3 h 12 min'."""
    minutes, second = divmod(max(0, seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "d"), (hour, "h"), (minute, "min"), (second, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def per_cycle(unit: str, length: int) -> str:
    """'month', 'quarter', 'year', '6 months', 'week' or '10 days'."""
    if unit == "month" and length in CYCLES:
        return CYCLES[length]
    return unit if length == 1 else f"{length} {unit}s"


def node_state(seen_at: datetime, now: datetime) -> tuple[str, str]:
    """Whether a radius node reports: live nodes do so several times in ten seconds (real time)."""
    silent = now - seen_at
    if silent < timedelta(seconds=10):
        return "Answering", "good"
    return f"Silent for {lasted(int(silent.total_seconds()))}", "bad"


def obeyed_in_words(obeyed: Mapping[str, Any] | None, format_rate: Any) -> str:
    """'100 Mbit/s down, 20 Mbit/s up, pool main' of what a session must obey."""
    if not obeyed:
        return ""
    down, up = (format_rate(obeyed[key]) if obeyed.get(key) else "unlimited" for key in ("rate_down", "rate_up"))
    parts = [f"{down} down", f"{up} up"]
    for way in ("down", "up"):
        if obeyed.get(f"burst_rate_{way}"):
            parts.append(f"bursts of {format_rate(obeyed[f'burst_rate_{way}'])} {way}")
    parts += [f"pool {obeyed['pool']}"] if obeyed.get("pool") and not obeyed.get("address") else []
    parts += [f"address {obeyed['address']}"] if obeyed.get("address") else []
    parts += [f"list {obeyed['address_list']}"] if obeyed.get("address_list") else []
    parts += [f"{name} = {value}" for name, value, _ in obeyed.get("extras", ())]
    return ", ".join(parts)


def reasons_of(services: Sequence[Any]) -> list[Reason]:
    """The reasons of several services, each once."""
    return list(dict.fromkeys(reason for each in services for reason in reasons(each.reasons or [])))


def coming(
    level: int | None, names: Sequence[str], review_on: date | None, ends_on: date | None, owing: object
) -> tuple[str, str] | None:
    """What time alone will change for a subscriber: the words before and after its date; None when nothing."""
    if review_on is None:
        return None
    if Reason.NOT_ACTIVE_YET.value in names:
        return "It starts on", "."
    if review_on == ends_on:
        return "It ends on", "."
    if level == AccessLevel.FULL and owing:
        return "If what you owe is not paid before", ", your line opens only the payment pages from that day on."
    return None
