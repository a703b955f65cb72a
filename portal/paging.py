"""Lists come in pages of fifty."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select

PER_PAGE = 50
LAST_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `more` says whether another follows."""

    rows: list[Row[Any]]
    number: int
    more: bool


def fetch_page(tx: Connection, query: Select[Any], number: int, per_page: int = PER_PAGE) -> Page:
    """The page `number` (1 = the first) of what the query finds in its order."""
    found = list(tx.execute(query.limit(per_page + 1).offset((number - 1) * per_page)))
    return Page(found[:per_page], number, len(found) > per_page)


def page_number(text: str | None) -> int:
    """The page that an address asks for; the first when it asks for none, or for nonsense."""
    return int(text) if text and text.isascii() and text.isdigit() and 1 <= int(text[:7]) <= LAST_PAGE else 1
