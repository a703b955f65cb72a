"""A dunning policy as a value: steps in days from the due date, fees, notices and limits; checked when it is saved.

Pure. A policy holds for a group of subscribers; `STANDARD` is what a new provider begins with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from base.access import Reason
from billing.dunning.window import ALWAYS, Window
from billing.refused import need

MESSAGES = ("due_notice", "reminder_1", "reminder_2", "final_notice")
"Acts that tell the subscriber something, in the order in which they may come."
TAKING = ("reduce", "wall", "end")
"Acts that take something away; each needs a notice naming its date. 'end': the service is cancelled."
FEE_AS = ("document", "line")
"A late fee is an invoice of its own, or a line of the next invoice."
CAUSES = (Reason.DEBT.value, Reason.STAFF_SUSPENDED.value, Reason.STAFF_BLOCKED.value)
"What a service can be cut off for so that coming back may cost something."


@dataclass(frozen=True, slots=True)
class Fee:
    """A late fee: flat, a percentage of what is open, or the greater of the two."""

    flat: int = 0
    "Minor units of the policy's currency; 0: none."
    percent: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens so many days after the due date."""

    days: int
    act: str
    "One of MESSAGES or TAKING; no act comes twice in a policy, so it is also the step's name."
    fee: Fee | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How the debts of a group of subscribers are dunned."""

    id: int
    name: str
    currency: str
    "Of fees and the minimum; who pays in another currency is charged no flat fee."
    steps: tuple[Step, ...]
    notice_days: int = 5
    "A taking act's notice has to arrive so many days before."
    minimum: int = 0
    "Minor units; who is overdue with less is left alone."
    window: Window = ALWAYS
    fee_as: str = "document"
    fee_tax_class_id: int | None = None
    reconnection: Mapping[str, int] = field(default_factory=dict)
    "Minor units by cause (CAUSES); none: coming back is free."
    reconnection_first: bool = False
    "The fee after debt has to be paid before the service comes back, else it is on the next invoice."
    promise_days: int = 7
    "A promise to pay reaches so many days ahead at most; 0: subscribers cannot promise."
    promises_a_year: int = 2

    def step(self, act: str) -> Step | None:
        """The step with this act."""
        return next((step for step in self.steps if step.act == act), None)

    def place(self, act: str) -> int:
        """Its place among the steps; -1 for an act that the policy does not have (any more)."""
        return next((place for place, step in enumerate(self.steps) if step.act == act), -1)

    def announces(self, act: str) -> tuple[Step, ...]:
        """The taking steps whose dates the message `act` names: those before which no other message comes."""
        place = self.place(act)
        if place < 0 or act not in MESSAGES:
            return ()
        later = self.steps[place + 1 :]
        return tuple(
            step
            for index, step in enumerate(later)
            if step.act in TAKING and not any(each.act in MESSAGES for each in later[:index])
        )

    def announcer(self, act: str) -> Step:
        """The message that names the date of a taking act."""
        return next(step for step in self.steps if step.act in MESSAGES and self.step(act) in self.announces(step.act))

    @property
    def fee(self) -> Fee | None:
        """The late fee, whichever step brings it."""
        return next((step.fee for step in self.steps if step.fee is not None), None)

    @property
    def fee_tax_class(self) -> int:
        """The tax class of its fees; `check_policy` saw to it that a policy with fees has one."""
        if self.fee_tax_class_id is None:
            raise ValueError(f"the dunning policy {self.name!r} has fees, and no tax class for them")
        return self.fee_tax_class_id


STANDARD = (
    Step(0, "due_notice"),
    Step(3, "reminder_1"),
    Step(7, "reminder_2"),
    Step(14, "final_notice"),
    Step(21, "wall"),
)


def check_policy(policy: Policy) -> None:
    """Refuse a policy that cannot be kept, with a sentence that says why."""
    _check_steps(policy)
    need(0 <= policy.notice_days <= 60, "A notice arrives 0 to 60 days before its date.", "notice_days")
    need(policy.minimum >= 0, "The minimum debt is 0 or more.", "minimum")
    need(
        policy.window.weekdays_off <= set(range(1, 8)) and len(policy.window.weekdays_off) < 7,
        "Weekdays without cut-offs are 1 (Monday) to 7 (Sunday), and one at least must be left.",
        "weekdays_off",
    )
    closes = policy.window.closes
    need(closes is None or policy.window.opens < closes, "The hours of cut-offs end after they begin.", "hours")
    need(policy.fee_as in FEE_AS, "A late fee is a document of its own or a line of the next invoice.", "fee_as")
    for cause, minor in policy.reconnection.items():
        need(cause in CAUSES, f"A reconnection fee is for one of {', '.join(CAUSES)}.", "reconnection")
        need(minor > 0, "A reconnection fee is more than nothing.", "reconnection")
    costs = policy.fee is not None or bool(policy.reconnection)
    need(
        not costs or policy.fee_tax_class_id is not None,
        "A policy with fees needs the tax class of its fees: in some countries late fees are taxed, in some they are "
        "not.",
        "fee_tax_class",
    )
    need(0 <= policy.promise_days <= 90, "A promise reaches 0 to 90 days ahead.", "promise_days")
    need(0 <= policy.promises_a_year <= 52, "Promises a year are 0 to 52.", "promises_a_year")


def _check_steps(policy: Policy) -> None:
    acts = [step.act for step in policy.steps]
    for step in policy.steps:
        need(step.act in MESSAGES + TAKING, f"A step is one of {', '.join(MESSAGES + TAKING)}.", "steps")
        need(0 <= step.days <= 730, "A step comes 0 to 730 days after the due date.", "steps")
        need(step.fee is None or step.act in MESSAGES, "A fee comes with a message, not with what is taken.", "steps")
        if step.fee is not None:
            need(step.fee.flat >= 0 and 0 <= step.fee.percent <= 100, "A fee is 0 or more, 100 % at most.", "steps")
            need(step.fee.flat or step.fee.percent, "A fee is an amount, a percentage or both.", "steps")
    need(len(set(acts)) == len(acts), "Each act comes once in a policy.", "steps")
    days = [step.days for step in policy.steps]
    need(days == sorted(set(days)), "One step a day, in the order of their days.", "steps")
    for order in (MESSAGES, TAKING):
        found = [act for act in acts if act in order]
        need(found == sorted(found, key=order.index), f"The order is {', '.join(order)}.", "steps")
    need(sum(step.fee is not None for step in policy.steps) <= 1, "A late fee is charged once.", "steps")
    for step in policy.steps:
        if step.act in TAKING:
            notice = [each for each in policy.steps if step in policy.announces(each.act)]
            need(
                notice and step.days - notice[0].days >= policy.notice_days,
                f"{step.act!r} needs a message {policy.notice_days} days or more before it, which names its date.",
                "steps",
            )
    need("end" not in acts or "wall" in acts, "Nobody's service ends before it was walled in.", "steps")


def steps_to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Steps as they are stored."""
    return [
        {"days": step.days, "act": step.act}
        | ({} if step.fee is None else {"fee": {"flat": step.fee.flat, "percent": str(step.fee.percent)}})
        for step in steps
    ]


def steps_from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """What `steps_to_json` wrote."""
    return tuple(Step(each["days"], each["act"], _fee(each["fee"]) if each.get("fee") else None) for each in stored)


def _fee(stored: Mapping[str, Any]) -> Fee:
    return Fee(int(stored["flat"]), Decimal(stored["percent"]))
