"""The words: levels are ordered, every reason can be said, secrets have no repr."""

from dataclasses import replace

from base.access import AccessLevel, AccessPolicy, Reason

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
