"""A card as people know it. Pure."""

from typing import Any


def shown(row: Any) -> str:
    """Brand and last digits of a `card` row: 'Visa … 4242'."""
    return f"{str(row.brand).replace('_', ' ').title()} … {row.last4}"
