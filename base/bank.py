"""Bank accounts as people write them: IBAN (ISO 13616) and BIC (ISO 9362). The one importer of stdnum.iban and bic.

Stands in base because business settings are checked where they are saved.
"""


def checked_iban(text: str) -> str:
    """The IBAN without spaces, in capitals; '' stays ''. ValueError with a sentence when it cannot be one."""
    if not text.strip():
        return ""
    from stdnum import iban
    from stdnum.exceptions import InvalidChecksum, ValidationError

    try:
        return str(iban.validate(text))
    except InvalidChecksum:
        raise ValueError(f"{text!r} is not an IBAN: its check digits do not fit, so something is mistyped.") from None
    except ValidationError:
        raise ValueError(f"{text!r} is not an IBAN such as DE89 3704 0044 0532 0130 00.") from None


def checked_bic(text: str) -> str:
    """The BIC in capitals, 8 or 11 letters and digits; '' stays ''. ValueError with a sentence otherwise."""
    if not text.strip():
        return ""
    from stdnum import bic
    from stdnum.exceptions import ValidationError

    try:
        return str(bic.validate(text))
    except ValidationError:
        raise ValueError(f"{text!r} is not a BIC such as COBADEFFXXX.") from None


def grouped(iban: str) -> str:
    """An IBAN in groups of four, as it is read aloud."""
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))
