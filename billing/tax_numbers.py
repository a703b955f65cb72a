"""Tax numbers of subscribers: checked for their format, and asked about at the European Commission's VIES.

The one door for python-stdnum. Reverse charge rests on the check, so what was found and when is kept.
"""

import json
from collections.abc import Callable
from datetime import date
from http.client import HTTPException
from typing import Literal
from urllib.parse import quote
from urllib.request import urlopen

from sqlalchemy import Connection, select, update
from stdnum import get_cc_module
from stdnum.eu import vat
from stdnum.exceptions import ValidationError

from base import trail
from base.business import Business
from base.tables import subscriber
from billing.refused import Refused

TREATMENTS = ("normal", "exempt", "reverse_charge")
VIES = "https://ec.europa.eu/taxation_customs/vies/rest-api"
VIES_SECONDS = 5.0

Answer = Literal["valid", "invalid", "unavailable"]


def check_format(country: str, number: str) -> str | None:
    """The number as it is written on documents, or None when it cannot be one of `country` (ISO 3166-1 alpha-2).

    Numbers of the European Union carry their prefix, EL for Greece (EN 16931 BR-CO-9); XI, of Northern Ireland, is a
    country here. Length, letters and check digits are looked at, not whether somebody has the number.
    """
    country = country.strip().upper()
    if country == "EU" or not (len(country) == 2 and country.isascii() and country.isalpha()):
        return None
    try:
        if not _in_vies(country):
            module = get_cc_module(country, "vat")
            return None if module is None else module.validate(number)
        return _eu_number(country, number)
    except ValidationError:
        return None


def ask_vies(country: str, number: str, base_url: str = VIES) -> Answer:
    """Whether somebody has the number (without its prefix; EL for Greece) today, as VIES says. Never raises.

    'unavailable' is everything that is no answer: no connection, a member state that is down, too many requests.
    Source: https://ec.europa.eu/taxation_customs/vies/ (REST, GET /ms/{country}/vat/{number}).
    """
    url = f"{base_url}/ms/{quote(country, safe='')}/vat/{quote(number, safe='')}"
    try:
        with urlopen(url, timeout=VIES_SECONDS) as response:  # noqa: S310 - the address is ours or the test's
            said = json.loads(response.read(65536))
    except (OSError, HTTPException, ValueError):
        return "unavailable"
    if not isinstance(said, dict):
        return "unavailable"
    # isValid is false, too, when a member state did not answer: only userError tells the two apart
    match said.get("isValid"), said.get("userError"):
        case True, "VALID":
            return "valid"
        case False, "INVALID" | "INVALID_INPUT":
            return "invalid"
    return "unavailable"


def set_tax_treatment(
    tx: Connection,
    actor: str,
    subscriber_id: int,
    treatment: str,
    *,
    tax_number: str = "",
    country: str = "",
    reason: str = "",
    today: date,
    seller: str = "",
    vies: Callable[[str, str], Answer] | None,
) -> None:
    """Say how a subscriber is taxed from the next invoice on; `country` '' keeps the one on record.

    A number is kept as typed unless its format is right. For reverse charge it must be, and VIES (None: not asked) must
    not say that nobody has it; tax_number_check is then 'vies' when VIES said yes, else 'format', as of `today`.
    Refused in words, as is reverse charge within the country `seller` ('': unknown), where the seller owes the tax.
    VIES is asked before anything is locked.
    """
    if treatment not in TREATMENTS:
        raise Refused(f"A treatment is one of {', '.join(TREATMENTS)}.", "treatment")
    on_record = tx.execute(select(subscriber.c.country).where(subscriber.c.id == subscriber_id)).one_or_none()
    if on_record is None:
        raise Refused("There is no such subscriber.", "subscriber_id")
    if treatment == "exempt" and not reason.strip():
        raise Refused("An exemption needs its reason: it is printed on the invoices.", "reason")
    country = country.strip().upper() or on_record.country
    tax_number = tax_number.strip()
    normalised = check_format(country, tax_number) if tax_number else None
    check = "format" if normalised else ""
    answer: Answer | None = None
    if treatment == "reverse_charge":
        if not country:
            raise Refused("Reverse charge needs the country of the tax number.", "country")
        if country == seller:
            raise Refused(
                f"Reverse charge is for customers abroad: {country} is your own country, so tax is charged.", "country"
            )
        if not tax_number:
            raise Refused("Reverse charge needs the subscriber's tax number.", "tax_number")
        if not normalised:
            raise Refused(f"{tax_number!r} is not a tax number of {country}, so tax is charged.", "tax_number")
        if vies is not None and _in_vies(country):
            answer = vies(normalised[:2], normalised[2:])
        if answer == "invalid":
            raise Refused(f"VIES says that nobody has the number {normalised}, so tax is charged.", "tax_number")
        if answer == "valid":
            check = "vies"
    values = {
        "tax_treatment": treatment,
        "tax_number": normalised or tax_number,
        "tax_number_check": check,
        "tax_number_checked_on": today if check else None,
        "country": country,
        "exemption_reason": reason.strip(),
    }
    tx.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(values))
    trail.record(
        tx, actor, "subscriber.tax_treatment_set", subject="subscriber", subject_id=subscriber_id,
        detail={"treatment": treatment, "tax_number": normalised or tax_number, "check": check, "vies": answer},
    )  # fmt: skip


def seller_country(business: Business) -> str:
    """The provider's country: as set, else what its own tax number begins with; '' when neither says it."""
    begins = "GR" if business.company_tax_number[:2] == "EL" else business.company_tax_number[:2].upper()
    return business.company_country or (begins if begins.isalpha() and _in_vies(begins) else "")


def _in_vies(country: str) -> bool:
    return country.lower() in vat.MEMBER_STATES


def _eu_number(country: str, number: str) -> str:
    prefix = "EL" if country == "GR" else country
    bare = "".join(letter for letter in number.upper() if letter.isalnum())
    return vat.validate(prefix + (bare[2:] if bare[:2] in (country, prefix) else bare))
