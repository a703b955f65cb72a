"""What about a bill should be looked at by a person before it goes out. Pure: bills, history and limits come in.

Prices are compared as those of a whole period of the same thing on the same plan, so a part of a period, a new add-on,
a change of plan or a discount explains itself and is not named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from itertools import combinations

from base.calendar import Period
from base.money import Money
from billing.draft import overlap

EACH_PERIOD = ("plan", "product")
Key = tuple[int | None, int | None]  # service, and its add-on (None: the plan itself)
Shown = Callable[[Money], str]


class Severity(Enum):
    """Whether a bill had better wait for somebody."""

    SEVERE = "severe"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that a person should look at."""

    kind: str
    "jump, never_billed, duplicate, empty, negative, unreachable or unchecked."
    severity: Severity
    sentence: str
    subscriber_id: int
    amount: Money
    "What is in question: of a jump the difference, of a duplicate what would be paid twice, else the bill."


@dataclass(frozen=True, slots=True)
class Limits:
    """A price is named that differs by more than `percent` of the last one, and by more than `least` minor units."""

    percent: int
    least: int
    charge_days: int = 7
    "A charge of the same text and amount is a duplicate within so many days."


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill, drafted or issued."""

    kind: str
    service_id: int | None
    service_product_id: int | None
    text: str
    amount: Money
    "As priced: net, or gross where tax is in the price."
    days: Period | None
    whole: Period | None = None
    "The period that `days` are a part of, where it is known."
    by_day: bool = True
    "Else it costs what a whole period costs, however many days it covers."
    on_day: date | None = None
    "Of supply, of a charge."

    @property
    def key(self) -> Key:
        """What it is charged for."""
        return self.service_id, self.service_product_id

    @property
    def full_price(self) -> Money:
        """What a whole period would cost."""
        if self.days is None or self.whole is None or not self.by_day or not self.days.days:
            return self.amount
        return self.amount.portion(self.whole.days, self.days.days)


@dataclass(frozen=True, slots=True)
class Payer:
    """Who gets the bill."""

    subscriber_id: int
    name: str
    reachable: bool
    unchecked: bool
    "Reverse charge is wanted, and the tax number was never checked."


@dataclass(frozen=True, slots=True)
class Bill:
    """What is judged."""

    payer: Payer
    lines: tuple[Line, ...]
    total: Money


@dataclass(frozen=True, slots=True)
class Before:
    """What was billed before."""

    last: Mapping[Key, Line]
    "The last line of each thing that recurs."
    covered: Mapping[Key, Sequence[Period]]
    "Days of each thing that invoices cover, and nobody was given back."
    charges: Mapping[int, Sequence[Line]]
    "Charges that a subscriber was billed lately."


@dataclass(frozen=True, slots=True)
class Unbilled:
    """A service that no invoice ever had a line for."""

    service_id: int
    subscriber_id: int
    login: str
    active_from: date
    cycle_end: date
    "First day after its first whole period."
    price: Money


def judge(bill: Bill, before: Before, limits: Limits, shown: Shown) -> list[Anomaly]:
    """Everything that is odd about a bill; `shown` puts an amount in words."""
    return [
        *_jumps(bill, before, limits, shown),
        *_billed_twice(bill, before, shown),
        *_charged_twice(bill, before, limits, shown),
        *_odd_total(bill, shown),
        *_payer(bill),
    ]


def never_billed(each: Unbilled, day: date, days_before: int, *, now: bool) -> Anomaly | None:
    """Whether a service should have had an invoice by `day`; `now`: the run that is looked at brings the first one."""
    if not each.price or each.cycle_end + timedelta(days=days_before) >= day:
        return None
    words = "is billed for the first time now" if now else "was never billed"
    severity = Severity.LIGHT if now else Severity.SEVERE
    sentence = f"{each.login} has been active since {each.active_from} and {words}."
    return Anomaly("never_billed", severity, sentence, each.subscriber_id, each.price)


def _jumps(bill: Bill, before: Before, limits: Limits, shown: Shown) -> Iterable[Anomaly]:
    seen: set[Key] = set()
    for line in bill.lines:
        if line.kind not in EACH_PERIOD or line.key in seen:
            continue
        last = before.last.get(line.key)
        if last is None or last.text != line.text or last.amount.currency != line.amount.currency:
            continue  # new, or another plan: nothing to compare with
        old, new = last.full_price.minor, line.full_price.minor
        if abs(new - old) <= limits.least or abs(new - old) * 100 <= abs(old) * limits.percent:
            continue
        seen.add(line.key)
        costs, cost = shown(Money(new, line.amount.currency)), shown(last.full_price)
        sentence = f"{line.text} costs {costs} for a whole period, and {cost} the last time."
        yield _severe("jump", sentence, bill, Money(new - old, line.amount.currency))


def _billed_twice(bill: Bill, before: Before, shown: Shown) -> Iterable[Anomaly]:
    lines = [line for line in bill.lines if line.kind in EACH_PERIOD and line.days is not None and line.amount]
    by_text: dict[tuple[int | None, str], list[Line]] = {}
    for line in lines:
        by_text.setdefault((line.service_id, line.text), []).append(line)
    for same in by_text.values():
        for one, other in combinations(same, 2):
            assert one.days is not None
            assert other.days is not None
            if common := overlap(one.days, other.days):
                sentence = f"{one.text} is on the bill twice for {_days(common)}."
                yield _severe("duplicate", sentence, bill, min(one.amount, other.amount))
    for line in lines:
        assert line.days is not None
        for days in before.covered.get(line.key, ()):
            if common := overlap(line.days, days):
                sentence = f"{line.text} was billed for {_days(common)} before ({shown(line.amount)} now)."
                yield _severe("duplicate", sentence, bill, line.amount)
                break


def _charged_twice(bill: Bill, before: Before, limits: Limits, shown: Shown) -> Iterable[Anomaly]:
    earlier = list(before.charges.get(bill.payer.subscriber_id, ()))
    for line in bill.lines:
        if line.on_day is None:
            continue
        if any(_same_charge(line, other, limits.charge_days) for other in earlier):
            sentence = f"{line.text} ({shown(line.amount)}) is charged twice within {limits.charge_days} days."
            yield _severe("duplicate", sentence, bill, line.amount)
        earlier.append(line)


def _same_charge(one: Line, other: Line, days: int) -> bool:
    assert one.on_day is not None
    assert other.on_day is not None
    alike = (one.text, one.amount, one.service_id) == (other.text, other.amount, other.service_id)
    return alike and abs((one.on_day - other.on_day).days) <= days


def _odd_total(bill: Bill, shown: Shown) -> Iterable[Anomaly]:
    if bill.total.minor < 0:
        yield _severe("negative", f"The bill comes to {shown(bill.total)}.", bill, bill.total)
    elif not bill.total:
        yield _light("empty", "The bill comes to nothing.", bill)


def _payer(bill: Bill) -> Iterable[Anomaly]:
    if not bill.payer.reachable:
        sentence = f"{bill.payer.name} has neither a mail address that works nor a postal address."
        yield _light("unreachable", sentence, bill)
    if bill.payer.unchecked:
        sentence = f"{bill.payer.name} has reverse charge, but the tax number was never checked: tax is charged."
        yield _light("unchecked", sentence, bill)


def _severe(kind: str, sentence: str, bill: Bill, amount: Money) -> Anomaly:
    return Anomaly(kind, Severity.SEVERE, sentence, bill.payer.subscriber_id, amount)


def _light(kind: str, sentence: str, bill: Bill) -> Anomaly:
    return Anomaly(kind, Severity.LIGHT, sentence, bill.payer.subscriber_id, bill.total)


def _days(days: Period) -> str:
    return f"{days.start}" if days.days == 1 else f"{days.start} to {days.last_day}"
