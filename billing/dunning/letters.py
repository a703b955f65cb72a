"""What a dunning message says to one payer about one invoice."""

from collections.abc import Mapping
from datetime import date

from base.business import Business
from base.money import Money
from billing.dunning.cases import Payer
from billing.dunning.policy import MESSAGES, Step
from billing.dunning.rules import Case, late_fee
from billing.letters import reminder_letter
from billing.mail_words import Sources
from billing.outbox import Outgoing


def write_letter(
    business: Business,
    sources: Sources,
    payer: Payer,
    case: Case,
    step: Step,
    key: str,
    named: Mapping[str, date],
    fee: Money | None,
    ahead: Money | None,
    owed: Money,
    today: date,
    link: str,
) -> Outgoing:
    """The message of a step: `named` are the dates it announces, `fee` what was added with it,
    `ahead` the fee of the next message; both with tax. `link` pays the invoice.
    """
    since = walled_since(payer, today)
    letter = reminder_letter(
        business,
        kind=step.act,
        name=payer.name,
        number=case.number,
        due_on=case.due_on,
        open=case.open,
        owed=owed,
        reduce_on=named.get("reduce") if since is None else None,
        wall_on=since or named.get("wall"),
        end_on=named.get("end"),
        today=today,
        fee=fee,
        fee_ahead=ahead,
        link=link,
        language=payer.language,
        sources=sources,
    )
    return Outgoing(payer.id, step.act, key, letter.subject, letter.body, case.invoice_id)


def walled_since(payer: Payer, today: date) -> date | None:
    """The day on which debt walled this payer's services in; None: it has not."""
    days = [case.walled_on for case in payer.cases if case.walled_now and case.walled_on is not None]
    return min(days, default=None) if payer.at_stake else None


def fee_ahead(payer: Payer, case: Case, step: Step) -> Money | None:
    """The fee that the next message will bring, without tax."""
    later = payer.policy.steps[payer.policy.place(step.act) + 1 :]
    following = next((each for each in later if each.act in MESSAGES), None)
    if following is None or following.fee is None or case.fee_charged:
        return None
    return late_fee(payer.policy, following.fee, case) or None
