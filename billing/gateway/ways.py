"""The words in which a gateway says what it is and what a payer has to do. Pure."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Method:
    """How a payment is recorded."""

    name: str
    "For people, translated where base.i18n knows it."
    account: str
    "Key of the account in which the money lies."


@dataclass(frozen=True, slots=True)
class Resting:
    """A clearing account: what was paid to a gateway, until it pays out."""

    account: str
    "Key of the account."
    name: str
    code: str
    "By default."
    holds: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """The payer's browser goes there."""

    url: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the payer does by themselves."""

    lines: tuple[tuple[str, str], ...]
    "(what, value), in the order in which they are read."
    reference: str
    "By which the money is known when it comes."
    qr: str
    "What a code for the banking app says; '' where there cannot be one."


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a gateway told by itself."""

    id: str
    "Unique with that gateway."
    kind: str
    body: dict[str, Any]
