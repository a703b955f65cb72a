"""The words for states and causes, and the way through pages."""

from datetime import UTC, date, datetime, timedelta

import pytest

from base.access import AccessLevel, Reason
from billing.invoice_states import InvoiceState
from portal import words
from portal.paging import page_number

TODAY = date(2026, 3, 10)


def test_every_state_of_an_invoice_has_a_word():
    assert set(words.INVOICE_STATES) == set(words.MY_INVOICE_STATES) == set(InvoiceState)
    assert words.INVOICE_STATES[InvoiceState.WRITTEN_OFF][0] == "Written off"
    assert words.MY_INVOICE_STATES[InvoiceState.WRITTEN_OFF][0] == "Closed"


def test_causes_and_actors_have_names():
    names = {"staff:3": "Olga"}
    assert words.cause("staff:3", names) == "Olga"
    assert words.cause("staff:4", names) == "Member of staff 4"
    assert words.cause("payment:12", names) == "Payment 12"
    assert words.cause("time", names) == "The date"
    assert words.actor("staff:3", names) == "Olga"
    assert words.actor("subscriber:9", names) == "Subscriber 9"
    assert words.actor("system", names) == "Tollkeeper"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3720, "1 h 2 min"), (90061, "1 d 1 h"), (86400, "1 d"), (-5, "0 s")],
)
def test_durations(seconds, expected):
    assert words.lasted(seconds) == expected


def test_a_reason_of_a_newer_release_is_left_out():
    assert words.reasons(["debt", "bad_weather"]) == [Reason.DEBT]


def test_every_error_cause_has_a_sentence_and_its_number():
    assert words.error_cause(503) == "The NAS does not know this session. (503)"
    assert "999" in words.error_cause(999)
    assert words.error_cause(None) == ""


def test_a_node_is_silent_after_ten_seconds():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert words.node_state(now - timedelta(seconds=3), now)[0] == "Answering"
    assert words.node_state(now - timedelta(hours=2), now)[0] == "Silent for 2 h"


def test_what_is_coming_for_a_subscriber():
    full, blocked = AccessLevel.FULL.value, AccessLevel.BLOCKED.value
    assert words.coming(full, [], None, None, True) is None
    assert words.coming(full, [], TODAY, None, True)[0].startswith("If what you owe is not paid before")
    assert words.coming(full, [], TODAY, TODAY, False)[0] == "It ends on"
    assert words.coming(blocked, ["not_active_yet"], TODAY, None, False)[0] == "It starts on"


@pytest.mark.parametrize(("text", "number"), [("3", 3), (None, 1), ("", 1), ("0", 1), ("-2", 1), ("x", 1), ("٣", 1)])
def test_page_numbers(text, number):
    assert page_number(text) == number
