"""Sentences of ours that are kept in English in the books, and are said to subscribers in their language. Pure."""

import re
from functools import cache

from base.i18n import translations

SENTENCES = (
    # on a subscriber's account: texts of entries
    "Invoice %(number)s, taken over",
    "Invoice %(number)s",
    "Payment %(receipt)s",
    "Cheque %(receipt)s",
    "Credit note %(note)s for invoice %(number)s",
    "Credit taken over",
    "Written off: invoice %(number)s",
    "Paid after it was written off: invoice %(number)s",
    "Write-off taken back: invoice %(number)s",
    # why something is given back: what a credit note says
    "End of the service",
    "Deposit returned",
    "The service goes on",
    "Fee waived",
    "Pause",
    "End of a pause",
    "Not used: walled in",
    "An add-on has ended",
    "Change from %(old)s to %(new)s",
    # what is charged beside the plan: lines of an invoice
    "Set-up of %(plan)s (%(login)s)",
    "End before the minimum term (%(login)s)",
    "Paper invoice %(number)s",
    "Open of invoice %(number)s",
)
"Each with its places; the more special before the more general."


def say(text: str, language: str) -> str:
    """A text of ours (a SENTENCE with its places filled) in a language; what somebody typed stays as it is."""
    for sentence, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return translations(language).gettext(sentence) % found.groupdict()
    return text


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Numbers have no blanks in them, names may."""
    words = ((sentence, re.escape(sentence)) for sentence in SENTENCES)
    return tuple((sentence, re.compile(re.sub(r"%\\\((\w+)\\\)s", _place, escaped))) for sentence, escaped in words)


def _place(found: re.Match[str]) -> str:
    inside = r"\S+" if found[1] in ("number", "receipt", "note") else ".+"
    return f"(?P<{found[1]}>{inside})"
