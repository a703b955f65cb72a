"""What was measured: a small table for people, and a line of JSON per bench that is kept."""

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path("var/bench/results.jsonl")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours, beside the peer's where there is one."""

    name: str
    ours: float
    peer: float | None = None
    more_is_better: bool = True
    p50_ms: float | None = None
    "Of ours, as p99_ms."
    p99_ms: float | None = None
    runs: dict[str, Any] = field(default_factory=dict)
    "Everything behind the medians, for the kept line."
    key: str = ""
    "What --json calls it; '' for what it does not tell."

    @property
    def ratio(self) -> float | None:
        """How many times as good as the peer: above 1 ours is better, whichever way better is."""
        if not self.peer or not self.ours:
            return None
        return self.ours / self.peer if self.more_is_better else self.peer / self.ours


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def table(rows: Sequence[Row]) -> str:
    """The rows under each other; what was not measured is a dash."""
    head = ["", "ours", "peer", "ratio", "p50 ms", "p99 ms"]
    lines = [head]
    for row in rows:
        figures = [_figure(row.ours), _figure(row.peer)]
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append([row.name, *figures, ratio, _figure(row.p50_ms), _figure(row.p99_ms)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def keep(bench: str, circumstances: dict[str, Any], rows: Sequence[Row]) -> None:
    """Append what was measured, and under which circumstances, to the results."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "bench": bench,
        **circumstances,
        "load_average": os.getloadavg(),
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
