"""Business settings: documented, checked, encrypted where secret, used from the next transaction on."""

import pytest
from sqlalchemy import select

from base.business import FIELDS, WrongBusinessSetting, load_business, set_business
from base.tables import business_setting, trail
from console.described import business_texts


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
        ("colour", "red", "no business setting"),
    ],
)
def test_wrong_values_are_refused_in_words(database, key, value, words):
    with database.engine.begin() as tx, pytest.raises(WrongBusinessSetting, match=words):
        set_business(tx, database.vault, "staff:1", **{key: value})
