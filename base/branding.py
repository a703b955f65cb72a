"""What a provider's documents look like: colour, logo and country, checked when they are saved."""

import base64
import binascii
import re
import struct
import zlib
from xml.etree import ElementTree

from base.i18n import is_country

LARGEST_LOGO = 200_000
"Bytes: the logo is in every PDF."


def checked_country(text: str) -> str:
    """An ISO 3166-1 alpha-2 code in capitals; '' stays ''. ValueError with a sentence otherwise."""
    code = text.strip().upper()
    if code and not is_country(code):
        raise ValueError(f"{text!r} is not a country code of two letters such as DE.")
    return code


def checked_colour(text: str) -> str:
    """#rrggbb in small letters. ValueError with a sentence otherwise."""
    colour = text.strip().lower()
    if not re.fullmatch(r"#[0-9a-f]{6}", colour):
        raise ValueError(f"{text!r} is not a colour such as #0b5f79.")
    return colour


def checked_logo(text: str) -> str:
    """A PNG or SVG as base64 text without line breaks; '' stays ''. ValueError with a sentence otherwise."""
    packed = "".join(text.split())
    if not packed:
        return ""
    try:
        image = base64.b64decode(packed, validate=True)
    except binascii.Error:
        raise ValueError("the logo is not base64 text; `tollkeeper logo FILE` makes it from a file.") from None
    if len(image) > LARGEST_LOGO:
        raise ValueError(f"the logo has {len(image):,} bytes; at most {LARGEST_LOGO:,} are taken.")
    logo_type(image)
    return packed


def logo_type(image: bytes) -> str:
    """'image/png' or 'image/svg+xml'. ValueError with a sentence when it is neither, or broken."""
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        if not _is_whole_png(image):
            raise ValueError("the logo is a PNG that is cut off or damaged.")
        return "image/png"
    try:
        root = ElementTree.fromstring(image)  # noqa: S314 - typed by the owner, and expat stops entities that explode
    except (ElementTree.ParseError, ValueError):
        raise ValueError("the logo is neither a PNG nor an SVG.") from None
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        raise ValueError("the logo is XML, but not an SVG.")
    return "image/svg+xml"


def _is_whole_png(image: bytes) -> bool:
    """Whether every chunk is there and carries its own CRC (PNG specification, section 5.3)."""
    at, kind = 8, b""
    while kind != b"IEND":
        if at + 12 > len(image):
            return False
        (size,) = struct.unpack_from(">I", image, at)
        kind, chunk, crc = image[at + 4 : at + 8], image[at + 4 : at + 8 + size], image[at + 8 + size : at + 12 + size]
        if len(crc) != 4 or zlib.crc32(chunk) != int.from_bytes(crc):
            return False
        at += 12 + size
    return True
