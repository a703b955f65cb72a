"""Plays a made statement against a book in memory: what is matched, rightly or not, and what waits. For many seeds."""

import sys
from collections import Counter
from datetime import date

from base.money import Money
from billing.bank.book import Book, Owed, Paid, Payer
from billing.bank.match import Match, match
from billing.bank.statement import Line
from tests.billing.bank_500 import MONTHS, World, make


def open_book(world: World) -> Book:
    """The provider's book on the day before the statement."""
    book = Book("EUR")
    for person in world.people:
        bills = [bill for bill in world.bills if bill.payer == person.at]
        owed = tuple(
            Owed(int(bill.number[-6:]), bill.number, date(2026, bill.month, 15), Money(bill.minor, "EUR"))
            for bill in bills
            if bill.month > MONTHS[0] or not person.paid_march
        )
        book.put(Payer(person.at + 1, person.number, person.name, owed))
        if person.paid_march:
            bill = bills[0]
            book.put_paid([Paid(int(bill.number[-6:]), bill.number, person.at + 1, Money(bill.minor, "EUR"))])
            if person.known:
                book.learn(person.iban, person.at + 1)
    return book


def spend(book: Book, payer_id: int, minor: int, first: tuple[int, ...]) -> None:
    """Use money for the invoices named, then for the oldest, as the ledger does."""
    payer = book.payers[payer_id]
    left = {each.invoice_id: each for each in payer.owed}
    for each in sorted(payer.owed, key=lambda each: (each.invoice_id not in first, each.due_on)):
        taken = min(minor, each.open.minor)
        minor -= taken
        rest = each.open.minor - taken
        left[each.invoice_id] = Owed(each.invoice_id, each.number, each.due_on, Money(rest, "EUR"))
    owed = tuple(each for each in left.values() if each.open)
    book.put(Payer(payer.id, payer.number, payer.name, owed))


def play(world: World, show: bool = False) -> Counter[str]:
    """How many lines are matched, wrong or waiting; `show` prints those that are wrong or wait."""
    book, found = open_book(world), Counter[str]()
    for row in world.rows:
        if row.minor < 0 or "STRIPE" in row.name.upper():
            continue
        whose = {int(number): minor for number, minor in row.truth.parts.items()}
        result = match(Line(0, row.day, Money(row.minor, "EUR"), row.name, row.iban, row.text), book)
        if isinstance(result, Match):
            right = {part.subscriber_id: part.amount.minor for part in result.parts} == whose
            word = "matched" if right else "wrong"
            for part in result.parts:
                spend(book, part.subscriber_id, part.amount.minor, part.invoice_ids)
                book.learn(row.iban, part.subscriber_id)
        else:
            word = "waiting" if whose else "nobody"
            if whose and result.candidates:
                found["first is right"] += result.candidates[0].subscriber_id in whose
        found[word] += 1
        if show and word in ("wrong", "waiting"):
            best = result.why if isinstance(result, Match) else (result.why, [c.why for c in result.candidates[:2]])
            print(word, row.truth.kind, whose, row.truth.invoices, row.minor, row.name, "|", row.text, "|", best)
    return found


if __name__ == "__main__":
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        counts = play(make(seed), show="show" in sys.argv)
        share = counts["matched"] / (counts["matched"] + counts["waiting"] + counts["wrong"])
        print(seed, dict(counts), f"{share:.1%}")
