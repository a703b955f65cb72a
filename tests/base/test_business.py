"""Business settings: documented, checked, encrypted where secret, used from the next transaction on."""

import base64
import struct
import zlib

import pytest
from sqlalchemy import select

from base.business import FIELDS, WrongBusinessSetting, check, load_business, set_business
from base.tables import business_setting, trail
from console.described import business_texts


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(bytes(2)))
    + _chunk(b"IEND", b"")
)


def test_every_business_setting_is_documented():
    assert set(business_texts()) == set(FIELDS)
    assert all(text.endswith(".") for text in business_texts().values())


def test_what_was_set_is_what_is_read(database):
    with database.engine.begin() as tx:
        set_business(tx, database.vault, "staff:1", company_name="Ünïcode <b>ISP</b>", due_days="30")
        business = load_business(tx, database.vault)
    assert (business.company_name, business.due_days) == ("Ünïcode <b>ISP</b>", 30)


def test_secrets_are_encrypted_and_stay_out_of_trail_and_repr(database):
    with database.engine.begin() as tx:
        set_business(tx, database.vault, "staff:1", stripe_secret_key="sk_test_visible")
        business = load_business(tx, database.vault)
        stored = str(tx.execute(select(business_setting)).all()) + str(tx.execute(select(trail)).all())
    assert business.stripe_secret_key == "sk_test_visible"
    assert "sk_test_visible" not in stored
    assert "sk_test_visible" not in repr(business)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("due_days", "soon", "whole number"),
        ("due_days", "-1", "0 or more"),
        ("time_zone", "Mars/Olympus", "Europe/Paris"),
        ("currency", "euro", "ISO 4217"),
        ("language", "Klingon", "such as en"),
        ("colour", "red", "no business setting"),
        ("company_country", "Germany", "two letters such as DE"),
        ("company_country", "EU", "two letters such as DE"),
        ("company_colour", "red", "such as #0b5f79"),
        ("company_colour", "#0b5f7", "such as #0b5f79"),
        ("company_logo", "a b!", "not base64"),
        ("company_logo", base64.b64encode(b"GIF89a").decode(), "neither a PNG nor an SVG"),
        ("company_logo", base64.b64encode(b"<html/>").decode(), "not an SVG"),
        ("company_logo", base64.b64encode(PNG[:-5]).decode(), "cut off or damaged"),
        ("company_logo", base64.b64encode(PNG.replace(b"IDAT", b"IDAX")).decode(), "cut off or damaged"),
        ("company_logo", base64.b64encode(PNG + bytes(200_000)).decode(), "at most 200,000"),
        ("bank_iban", "DE89 3704 0044 0532 0130 01", "check digits do not fit"),
        ("bank_iban", "12345", "not an IBAN"),
        ("bank_bic", "COMMERZ", "not a BIC"),
        ("e_invoice", "zugferd", "one of nothing, factur-x"),
    ],
)
def test_wrong_values_are_refused_in_words(database, key, value, words):
    with database.engine.begin() as tx, pytest.raises(WrongBusinessSetting, match=words):
        set_business(tx, database.vault, "staff:1", **{key: value})


def test_what_the_company_looks_like_is_kept_in_one_form(database):
    packed = base64.b64encode(PNG).decode()
    with database.engine.begin() as tx:
        set_business(
            tx,
            database.vault,
            "staff:1",
            company_country=" de",
            company_colour="#0B5F79",
            company_logo=packed[:40] + "\n" + packed[40:],
            bank_iban="de89 3704 0044 0532 0130 00",
            bank_bic="cobadeffxxx",
        )
        business = load_business(tx, database.vault)
        kept = str(tx.execute(select(trail.c.detail)).all())
    assert (business.company_country, business.company_colour) == ("DE", "#0b5f79")
    assert (business.company_logo, packed in kept, packed in repr(business)) == (packed, False, False)
    assert (business.bank_iban, business.bank_bic) == ("DE89370400440532013000", "COBADEFFXXX")


def test_what_was_set_can_be_emptied(database):
    for key in ("company_country", "company_logo", "bank_iban", "bank_bic", "e_invoice"):
        assert check(key, "") == ""
