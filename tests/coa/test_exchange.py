"""The life of one request: identical retransmissions, an authentic answer, or silence. Time is an argument."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coa.exchange import Ack, Nak, Silence, Transaction, Waits
from radius.packet import Code, attribute, reply, request

SECRET = b"shared"
WAITS = Waits()


def start(code=Code.DISCONNECT_REQUEST, seed=1):
    return Transaction(code, request(code, 7, attribute(1, b"ana"), SECRET), SECRET, 100.0, Random(seed), WAITS)


def answer(transaction, code, attributes=b"", secret=SECRET, identifier=7, signed=True):
    return reply(code, identifier, transaction.datagram[4:20], attributes, secret, signed)


@given(st.integers(0, 2**32))
def test_silence_after_five_identical_datagrams(seed):
    transaction, now, sent = start(seed=seed), 100.0, []
    while transaction.answer is None:
        octets = transaction.on_timer(now)
        if octets is not None:
            sent.append((now, octets))
        now = max(now + 0.001, transaction.next_at)
    assert transaction.answer == Silence()
    assert 2 <= len(sent) <= WAITS.sends
    assert {octets for _, octets in sent} == {transaction.datagram}
    waits = [later - earlier for (earlier, _), (later, _) in pairwise(sent)]
    assert 1.8 <= waits[0] <= 2.2
    assert all(1.8 * short <= long <= 2.2 * short or long >= 14 for short, long in pairwise(waits))
    assert now - 100.0 <= WAITS.life + 0.01


@pytest.mark.parametrize(
    ("code", "positive", "negative"),
    [
        (Code.DISCONNECT_REQUEST, Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
        (Code.COA_REQUEST, Code.COA_ACK, Code.COA_NAK),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_ack_and_nak(code, positive, negative, signed):
    transaction = start(code)
    assert transaction.on_datagram(answer(transaction, positive, signed=signed)) is None
    assert transaction.answer == Ack()
    transaction = start(code)
    cause = attribute(101, (503).to_bytes(4, "big"))
    assert transaction.on_datagram(answer(transaction, negative, cause, signed=signed)) is None
    assert transaction.answer == Nak(503)
    transaction = start(code)
    transaction.on_datagram(answer(transaction, negative))
    assert transaction.answer == Nak(None)


def test_what_is_no_answer_is_dropped_by_name():
    transaction = start()
    ack = answer(transaction, Code.DISCONNECT_ACK)
    assert transaction.on_datagram(answer(transaction, Code.DISCONNECT_ACK, secret=b"other")) == "bad_authenticator"
    assert transaction.on_datagram(answer(transaction, Code.COA_ACK)) == "unexpected_answer"
    assert transaction.on_datagram(answer(transaction, Code.DISCONNECT_ACK, identifier=8)) == "unexpected_answer"
    assert transaction.on_datagram(ack[:19]) == "too_short"
    spoilt = reply(Code.DISCONNECT_ACK, 7, transaction.datagram[4:20], attribute(80, bytes(16)), SECRET, False)
    assert transaction.on_datagram(spoilt) == "bad_message_authenticator"
    assert transaction.answer is None
    assert transaction.on_datagram(ack) is None
    assert transaction.on_datagram(ack) == "late_answer"


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_an_answer_by_chance(octets):
    transaction = start()
    assert transaction.on_datagram(octets) is not None
    assert transaction.answer is None
