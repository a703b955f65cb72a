"""What the bill run of a day would issue, with nothing written, locked or numbered.

The drafts come from the run's own code, chunk by chunk, in transactions that the database keeps read-only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from base import clock
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import open_vault
from base.database import transaction
from base.money import Money
from base.settings import settings
from billing.anomalies import Anomaly, Severity, never_billed
from billing.bill_facts import find_unbilled, judge_drafts
from billing.bill_holds import released
from billing.bill_runs import sentence_of
from billing.issue import Draft, draft_for_subscribers, due_subscribers

CHUNK = 100
Progress = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True, slots=True)
class PreviewBill:
    """One bill that would be issued, or held back."""

    subscriber_id: int
    number: str
    "Of the account."
    name: str
    services: int
    net: Money
    tax: Money
    total: Money
    held: bool


@dataclass(slots=True)
class Sum:
    """What bills of one currency come to, in minor units."""

    invoices: int = 0
    services: int = 0
    net: int = 0
    tax: int = 0
    total: int = 0


@dataclass(slots=True)
class Preview:
    """What a run would do; bills that would be held back are in `bills` and in no sum."""

    day: date
    sums: dict[str, Sum] = field(default_factory=dict)
    "By currency."
    plans: dict[tuple[str, str], Sum] = field(default_factory=dict)
    "By currency, and plan, product or kind of charge: its lines (as invoices) and their net."
    taxes: dict[tuple[str, str], Sum] = field(default_factory=dict)
    "By currency and tax, such as 'VAT 20 %'."
    bills: list[PreviewBill] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    "Subscribers that could not be billed, each with the reason."


def preview_run(day: date, progress: Progress = lambda done, of: None) -> Preview:
    """What the run of `day` will issue; of a later day, after the runs of the days until then."""
    with _looking() as (tx, business):
        due = due_subscribers(tx, day, business.issue_days_before)
        today = local_date(clock.now(), business.zone)
    runs_before = [today + timedelta(days=ahead) for ahead in range((day - today).days)]
    preview, billed = Preview(day), set[int]()
    for begin in range(0, len(due), CHUNK):
        chunk = due[begin : begin + CHUNK]
        for drafts, anomalies, out in _judged(chunk, day, runs_before, preview.failures):
            preview.anomalies += anomalies
            held = {each.subscriber_id for each in anomalies if each.severity is Severity.SEVERE} - out
            for draft in drafts:
                billed |= {line.service_id for line in draft.lines if line.service_id is not None}
                _add(preview, draft, held=draft.payer.id in held)
        progress(begin + len(chunk), len(due))
    with _looking() as (tx, business):
        for one in find_unbilled(tx, day, runs_before[-1] if runs_before else None, business.issue_days_before):
            odd = never_billed(one, day, business.issue_days_before, now=one.service_id in billed)
            preview.anomalies += [odd] if odd else []
    return preview


@contextmanager
def _looking() -> Iterator[tuple[Connection, Business]]:
    with transaction() as tx:
        tx.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield tx, load_business(tx, open_vault(settings().secret_keys))


def _judged(
    subscriber_ids: Sequence[int], day: date, runs_before: Sequence[date], failures: dict[int, str]
) -> Iterator[tuple[list[Draft], list[Anomaly], set[int]]]:
    """Drafts, what is odd about them, and whose bills go out all the same; one by one where a bad one is among them."""
    try:
        with _looking() as (tx, business):
            drafts = draft_for_subscribers(tx, business, subscriber_ids, day, keep=False, runs_before=runs_before)
            holds = business.bill_run_hold == "anomalies"
            out = released(tx, subscriber_ids) if holds else set(subscriber_ids)
            found = drafts, judge_drafts(tx, business, drafts), out
    except OperationalError:
        raise
    except Exception as error:
        if len(subscriber_ids) == 1:
            failures[subscriber_ids[0]] = sentence_of(error)
            return
        for each in subscriber_ids:
            yield from _judged([each], day, runs_before, failures)
        return
    yield found


def _add(preview: Preview, draft: Draft, *, held: bool) -> None:
    services = len({line.service_id for line in draft.lines if line.service_id is not None})
    totals, payer, currency = draft.totals, draft.payer, draft.payer.currency
    bill = PreviewBill(payer.id, payer.number, payer.name, services, totals.net, totals.tax, totals.total, held)
    preview.bills.append(bill)
    if held:
        return
    _count(preview.sums.setdefault(currency, Sum()), services, totals.net, totals.tax)
    for group in totals.groups:
        name = f"{group.name} {group.percent.normalize():f} %"
        _count(preview.taxes.setdefault((currency, name), Sum()), services, group.net, group.tax)
    for line, net in zip(draft.lines, totals.nets, strict=True):
        # 'Home 100 (login)': what was sold, without the line that it was sold to
        name = line.text.rpartition(" (")[0] if line.kind in ("plan", "product") else line.kind
        _count(preview.plans.setdefault((currency, name), Sum()), 1, net, Money(0, currency))


def _count(into: Sum, services: int, net: Money, tax: Money) -> None:
    into.invoices += 1
    into.services += services
    into.net += net.minor
    into.tax += tax.minor
    into.total += net.minor + tax.minor
