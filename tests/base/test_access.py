"""The words: levels are ordered, every reason can be said, secrets have no repr."""

import json
from dataclasses import replace

from base.access import AccessLevel, AccessPolicy, Extra, Reason, read_obeyed

POLICY = AccessPolicy(
    service_id=1,
    version=3,
    level=AccessLevel.FULL,
    login="ana@isp",
    password="hunter2",
    rate_down=100_000_000,
    rate_up=20_000_000,
    pool="main",
    address=None,
    address_list=None,
    session_timeout=None,
    interim_interval=300,
)


def test_worse_is_greater():
    assert AccessLevel.FULL < AccessLevel.REDUCED < AccessLevel.WALLED < AccessLevel.BLOCKED


def test_every_reason_has_a_sentence_for_both_sides():
    for reason in Reason:
        for sentence in (reason.for_subscriber, reason.for_staff):
            assert sentence.endswith(".")
            assert sentence[0].isupper()


def test_the_password_is_not_shown():
    assert "hunter2" not in repr(POLICY)


def test_what_an_open_session_must_obey_leaves_credentials_out():
    assert POLICY.obeyed() == replace(POLICY, password="other", version=4).obeyed()
    assert POLICY.obeyed() != replace(POLICY, rate_up=1).obeyed()
    assert "password" not in POLICY.obeyed()


NEWEST = replace(POLICY, burst_rate_down=5, burst_seconds_down=9, extras=(Extra("Filter-Id", "x", ("mikrotik",)),))


def test_what_is_obeyed_comes_back_from_json_as_it_was():
    for policy in (POLICY, NEWEST):
        kept = json.loads(json.dumps(policy.obeyed()))
        assert kept == policy.obeyed()
        read = AccessPolicy(service_id=1, version=3, login="ana@isp", password="hunter2", **read_obeyed(kept))
        assert read == policy
        assert type(read.level) is AccessLevel


def test_rows_of_the_release_before_and_of_the_one_after_are_read():
    before = {
        "level": 2, "rate_down": 1, "rate_up": 1, "pool": None, "address": None, "address_list": "w",
        "session_timeout": None, "interim_interval": 300,
    }  # fmt: skip
    known = {"service_id": 1, "version": 3, "login": "ana", "password": None}
    old = AccessPolicy(**known, **read_obeyed(before))
    assert (old.burst_rate_down, old.extras, old.level) == (0, (), AccessLevel.WALLED)
    assert old.obeyed() == before
    assert AccessPolicy(**known, **read_obeyed({**before, "colour": "red"})) == old
