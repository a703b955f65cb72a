"""Who paid, from one line of a bank statement: by reference, amount, account of old and name. Pure.

Law: money goes by itself only where one subscriber is meant and nobody else can be. A reference is one slip away from
somebody else's, so an amount that fits both needs another sign (name, or an account that paid before). Never on an
amount alone. What is not safe becomes candidates for a person, the likeliest first, each with its reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from base.i18n import decimal_text
from base.money import Money, total
from billing.bank.book import Book, Owed, Paid, Payer, sum_of
from billing.bank.names import FAMILY, FULL, NOT, agreement, keys_within, words
from billing.bank.references import BARE, EXACT, NEAR, NONE, SHORT, mentions
from billing.bank.statement import Line

MOST_CANDIDATES = 5
MOST_LIKELY = 0.8
"Of a candidate: a person is asked because nothing more is certain."
WRONG_SUM, PAID_BEFORE, FITS = range(3)
"How an amount goes with what a subscriber owes."


@dataclass(frozen=True, slots=True)
class Part:
    """So much of a line belongs to a subscriber, for these invoices first."""

    subscriber_id: int
    amount: Money
    invoice_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """Money whose owner is clear."""

    parts: tuple[Part, ...]
    "They sum to the line."
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may have paid."""

    subscriber_id: int
    invoice_ids: tuple[int, ...]
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """Money that waits for a person."""

    candidates: tuple[Candidate, ...]
    "The likeliest first."
    why: str


@dataclass(frozen=True, slots=True)
class Signs:
    """All that speaks for one subscriber."""

    payer: Payer
    quality: int = NONE
    "Of the clearest mention."
    named: tuple[Owed, ...] = ()
    "Open invoices that are named as clearly as anything of theirs."
    paid: tuple[Paid, ...] = ()
    "Paid ones that are."
    mentions: int = 0
    "How many things of theirs are named clearly."
    has_account: bool = False
    "The account that pays has paid for them before."
    name: int = NOT
    fit: int = WRONG_SUM
    meant: tuple[Owed, ...] = ()
    "Open invoices that the amount is for."

    @property
    def backing(self) -> int:
        """What speaks for them beside the reference and the amount."""
        return 2 * self.has_account + self.name + (1 if self.mentions > 1 else 0)


def match(line: Line, book: Book) -> Match | Unsure:
    """Whose money a line is. It came in (amount above zero), in the book's currency."""
    found = [_with_fit(each, line.amount) for each in _signs(line, book)]
    found.sort(key=lambda each: (each.quality, each.fit, each.backing, each.payer.id), reverse=True)
    if line.returned:
        return _unsure(found, line, book, "The bank says that this is money which came back.")
    divided = _divided(found, line)
    if divided is not None:
        return divided
    safe = [(each, rule) for each in found if (rule := _safe(each, found, line)) is not None]
    if len(safe) == 1:
        each, (confidence, why) = safe[0]
        invoices = tuple(owed.invoice_id for owed in (each.meant or each.named))
        return Match((Part(each.payer.id, line.amount, invoices),), confidence, why)
    return _unsure(found, line, book, "Two are as likely as each other." if safe else "")


def as_unsure(found: Match | Unsure, why: str) -> Unsure:
    """What is not carried out because of something else, for a person."""
    if isinstance(found, Unsure):
        return Unsure(found.candidates, why)
    some = (Candidate(part.subscriber_id, part.invoice_ids, MOST_LIKELY, found.why) for part in found.parts)
    return Unsure(tuple(some), why)


def _signs(line: Line, book: Book) -> Iterator[Signs]:
    """Everybody for whom anything speaks but the amount."""
    named = mentions(f"{line.text} | {line.end_to_end}", book.numbers)
    by_payer: dict[int, list[tuple[int, int | None]]] = {}
    for each in named:
        by_payer.setdefault(each.named.subscriber_id, []).append((each.quality, each.named.invoice_id))
    payers_of = book.accounts.get(line.iban, {}) if line.iban else {}
    said = words(line.name)
    in_text = words(line.text)
    by_name = {payer for key in keys_within(said) | keys_within(in_text) for payer in book.by_name.get(key, ())}
    alike = {payer for payer in by_name if _name(book.payers[payer], said, in_text) == FULL}
    for payer_id in sorted(by_payer.keys() | payers_of.keys() | alike):
        payer = book.payers.get(payer_id)
        if payer is None:
            continue
        theirs = by_payer.get(payer_id, [])
        quality = max((each for each, _ in theirs), default=NONE)
        clear = {invoice for each, invoice in theirs if each == quality or each >= BARE}
        yield Signs(
            payer=payer,
            quality=quality,
            named=tuple(each for each in payer.owed if each.invoice_id in clear),
            paid=tuple(book.paid[each] for each in sorted(each for each in clear if each) if each in book.paid),
            mentions=sum(each >= BARE for each, _ in theirs),
            has_account=payer_id in payers_of,
            name=_name(payer, said, in_text),
        )


def _name(payer: Payer, said: Sequence[str], in_text: Sequence[str]) -> int:
    """The payer's own name, or in the text all of the name of the one who is paid for."""
    return max(agreement(payer.name, said), FULL if agreement(payer.name, in_text) == FULL else NOT)


def _with_fit(signs: Signs, amount: Money) -> Signs:
    owed = signs.payer.owed
    if signs.named and sum_of(signs.named, amount.currency) == amount:
        return replace(signs, fit=FITS, meant=signs.named)
    if owed and signs.payer.total == amount.minor:
        return replace(signs, fit=FITS, meant=owed)
    if not signs.named:
        oldest = [owed[:count] for count in range(1, len(owed))]
        for some in (*oldest, *((each,) for each in owed)):
            if sum_of(some, amount.currency) == amount:
                return replace(signs, fit=FITS, meant=some)
    sums = [each.total for each in signs.paid]
    if sums and (amount in sums or total(sums, amount.currency) == amount):
        return replace(signs, fit=PAID_BEFORE)
    return signs


def _safe(signs: Signs, all_signs: Sequence[Signs], line: Line) -> tuple[float, str] | None:
    """(confidence, why) if it is certain that this subscriber is meant."""
    others = [each for each in all_signs if each.payer.id != signs.payer.id]
    if any(_stands_against(other, signs) for other in others):
        return None
    backed = signs.backing > 0
    only_account = signs.has_account and not any(other.has_account for other in others)
    only_paid = bool(signs.paid) and not signs.named
    if signs.fit == FITS and signs.quality >= BARE and (signs.backing > 1 or not only_paid):
        confidence = 0.99 if signs.backing > 1 else 0.97 if backed else 0.9
        return (confidence if signs.quality == EXACT else confidence - 0.02), _because(signs, line)
    if signs.fit == FITS and signs.quality in (NEAR, SHORT) and signs.backing > 1 and not only_paid:
        return 0.92, _because(signs, line)
    if signs.quality == EXACT and signs.backing > 1:  # too much, too little, or paid twice
        return 0.87, _because(signs, line)
    if signs.fit == FITS and only_account and signs.quality == NONE:
        return 0.9, _because(signs, line)
    return None


def _stands_against(other: Signs, signs: Signs) -> bool:
    """Whether somebody else may be meant as well."""
    if other.quality == EXACT:
        return True
    if other.quality == BARE and (other.fit == FITS or other.backing > 0):
        return True
    if other.quality == BARE and signs.quality < BARE:
        return True
    if other.quality in (NEAR, SHORT):
        likelier = other.backing > 0 or (signs.fit == PAID_BEFORE and not signs.has_account)
        if other.fit == FITS and signs.fit != FITS and likelier:
            return True  # paying what is owed, with a slip, is more common than paying twice
        if other.fit == FITS or (other.fit == PAID_BEFORE and other.backing > 0):
            return other.backing >= signs.backing
        return other.backing > signs.backing
    if other.backing > signs.backing and (other.fit == FITS or signs.fit != FITS):
        return signs.backing == 0 or signs.quality < EXACT or signs.fit != FITS
    # an account that pays for several proves none of them; a name in the text may name the one who is meant
    return signs.quality < BARE and other.fit == FITS and other.backing >= min(signs.backing, FULL)


def _divided(found: Sequence[Signs], line: Line) -> Match | None:
    """Invoices of several subscribers in one transfer: named exactly, adding up, and each of them backed."""
    clear = [each for each in found if each.quality == EXACT]
    if len(clear) < 2 or not all(each.named for each in clear):
        return None
    parts = [(each, sum_of(each.named, line.amount.currency)) for each in clear]
    if total((amount for _, amount in parts), line.amount.currency) != line.amount:
        return None
    for each, amount in parts:
        near = [other for other in found if other.quality in (NEAR, SHORT, BARE)]
        rivals = [other for other in near if any(owed.open == amount for owed in other.payer.owed)]
        if any(other.backing >= each.backing for other in rivals):
            return None
    names = " and ".join(each.payer.name for each, _ in parts)
    return Match(
        tuple(Part(each.payer.id, amount, tuple(owed.invoice_id for owed in each.named)) for each, amount in parts),
        0.93,
        f"Invoices of {names} are named, and together they leave open what was paid.",
    )


def _because(signs: Signs, line: Line) -> str:
    """The signs in a sentence."""
    numbers = ", ".join(each.number for each in signs.named) or ", ".join(each.number for each in signs.paid)
    what = numbers or f"account {signs.payer.number}"
    how = {
        EXACT: f"{what} is named",
        BARE: f"{what} is named without its prefix",
        SHORT: f"a number like {what} is named",
        NEAR: f"a number one slip away from {what} is named",
        NONE: "no number is named",
    }[signs.quality]
    currency = line.amount.currency
    if signs.fit == FITS:
        sums = f"the amount is what {', '.join(each.number for each in signs.meant)} left open"
    elif signs.fit == PAID_BEFORE:
        sums = f"{', '.join(each.number for each in signs.paid)} was paid before, by the same amount"
    elif signs.payer.owed:
        due = sum_of(signs.named or signs.payer.owed, currency)
        difference = line.amount - due
        more = "more" if difference.minor > 0 else "less"
        sums = f"{decimal_text(Money(abs(difference.minor), currency))} {currency} {more} than is open"
    else:
        sums = "nothing is open"
    backing = [
        "the account has paid for them before" if signs.has_account else "",
        "the name is theirs" if signs.name == FULL else "the family name is theirs" if signs.name == FAMILY else "",
    ]
    sentence = "; ".join(part for part in (how, sums, *backing) if part)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _unsure(found: Sequence[Signs], line: Line, book: Book, why: str) -> Unsure:
    """Candidates for a person: those with signs, and where there are few, who owes just so much."""
    by_sum = book.by_sum.get(line.amount.minor, set()) - {each.payer.id for each in found}
    listed = [each for each in found if each.quality >= SHORT or each.fit == FITS or each.backing > 0]
    if len(by_sum) <= MOST_CANDIDATES - len(listed):
        listed += [_with_fit(Signs(book.payers[each]), line.amount) for each in sorted(by_sum)]
    ranked = sorted(listed, key=lambda each: (-_likelihood(each), each.payer.id))[:MOST_CANDIDATES]
    candidates = tuple(
        Candidate(
            each.payer.id,
            tuple(owed.invoice_id for owed in (each.meant or each.named)),
            _likelihood(each),
            _because(each, line),
        )
        for each in ranked
    )
    if not why and not candidates:
        why = "Nothing in it names anybody."
    elif not why and len(candidates) > 1 and candidates[0].confidence - candidates[1].confidence < 0.1:
        why = "Several may be meant."
    return Unsure(candidates, why or "One sign is not enough.")


def _likelihood(signs: Signs) -> float:
    """From 0 to MOST_LIKELY: enough to put candidates in order."""
    reference = {EXACT: 0.4, BARE: 0.3, SHORT: 0.15, NEAR: 0.1, NONE: 0.0}[signs.quality]
    amount = {FITS: 0.2, PAID_BEFORE: 0.1, WRONG_SUM: 0.0}[signs.fit]
    return round(min(MOST_LIKELY, reference + amount + 0.1 * min(signs.backing, 3)), 2)
