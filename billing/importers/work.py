"""One reading of a file under way: what it looks things up with, and what it gathers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.business import Business
from base.crypto import Vault
from base.money import Money
from base.tables import subscriber
from billing.importers.cells import Cells, Fault
from billing.importers.reader import Raw

MOST_FAULTS = 10_000  # are kept; the others are counted


@dataclass(slots=True)
class Work:
    """One reading; a second one, that writes, begins anew."""

    tx: Connection
    vault: Vault
    business: Business
    actor: str
    now: datetime
    today: date
    decimal: str
    quiet_days: int
    known: int = 0
    "Rows that are here already."
    left_out: int = 0
    "Rows that say nothing, such as a balance of zero."
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    sums: dict[tuple[str, str], int] = field(default_factory=dict)
    "(what, currency) -> minor units."
    counts: dict[str, int] = field(default_factory=dict)
    "Sentence with a place for a number -> that number."
    seen: dict[object, int] = field(default_factory=dict)
    "What may come once -> the line on which it came."
    touched: set[int] = field(default_factory=set)
    "Subscribers whose money moves."
    cache: dict[str, Any] = field(default_factory=dict)
    "What the module of the kind loads once."

    def tell(self, fault: Fault) -> None:
        """Note what is wrong."""
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)

    def fault(self, line: int, column: str, sentence: str) -> None:
        """Note what is wrong with a cell."""
        self.tell(Fault(line, column, sentence))

    def once(self, key: object, line: int, column: str, what: str) -> bool:
        """Whether `key` comes for the first time; else it is a fault that names both lines."""
        first = self.seen.setdefault(key, line)
        if first != line:
            self.fault(line, column, f"{what} stands in line {first} already.")
        return first == line

    def check(self, raws: Iterable[Raw], check: Callable[[Cells], Any]) -> list[Any]:
        """The rows that are right in themselves."""
        found = []
        for raw in raws:
            cells = Cells(raw.line, raw.cells, self.decimal)
            row = check(cells)
            for fault in cells.faults:
                self.tell(fault)
            if row is not None:
                found.append(row)
        return found

    def add(self, what: str, amount: Money) -> None:
        """Count an amount under what it is."""
        key = (what, amount.currency)
        self.sums[key] = self.sums.get(key, 0) + amount.minor

    def count(self, sentence: str) -> None:
        """Count once more what `sentence` tells."""
        self.counts[sentence] = self.counts.get(sentence, 0) + 1

    def subscribers(self, numbers: Sequence[str]) -> dict[str, Row[Any]]:
        """Subscribers by their account number."""
        query = select(subscriber).where(subscriber.c.number == func.any(sorted(set(numbers))))
        return {row.number: row for row in self.tx.execute(query)}
