"""The order in which the post likes letters: by country, postcode, and address. Pure."""

import re

_POSTCODE = re.compile(
    r"(?<![\w])(?:[A-Z]{1,2}-)?(\d{2}-\d{3}|\d{3} \d{2}|\d{4} [A-Z]{2}|\d{4,6}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})(?![\w])"
)
"As countries write them: 00-950, 111 22, 1012 AB, 20457, SW1A 1AA."


def post_key(country: str, home: str, address: str) -> tuple[bool, str, str, str]:
    """What letters to addresses of several lines are sorted by: those within `home` first, then country, postcode."""
    abroad = bool(country) and country != home
    return (abroad, country if abroad else "", postcode(address), " ".join(reversed(address.split("\n"))).casefold())


def postcode(address: str) -> str:
    """The postcode in the lowest line that has one; '' where none is found."""
    for line in reversed(address.splitlines()):
        if found := _POSTCODE.search(line.upper()):
            return found[1]
    return ""
