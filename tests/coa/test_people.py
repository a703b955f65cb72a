"""What people ask of a session is answered in words, in the row of their request."""

import pytest

from base import wire
from radius.packet import Code
from tests.coa.device import ack, nak, nak_coa, silence


def codes(peer):
    return [got.packet.code for got in peer.received]


def test_disconnect(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    asked = isp.ask(wire.Act.DISCONNECT, line)
    isp.reconcile(looks=2)
    assert codes(peer) == [Code.DISCONNECT_REQUEST]
    assert isp.answer(asked).startswith("Disconnect acknowledged after ")
    [attempt] = isp.attempts(line)
    assert attempt.wire_request_id == asked
    assert attempt.commit_to_answer_ms is None  # no commit caused it


@pytest.mark.parametrize(("kind", "word"), [("mikrotik", "CoA"), ("wispr", "Disconnect")])
def test_reapply(isp, peer, kind, word):
    asked = isp.ask(wire.Act.REAPPLY, isp.line(isp.nas(peer, kind), peer.host))
    isp.reconcile(looks=2)
    assert len(peer.received) == 1
    assert isp.answer(asked).startswith(f"{word} acknowledged after ")


def test_reapply_of_what_should_be_walled_in_is_not_a_new_speed(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    asked = isp.ask(wire.Act.REAPPLY, line)
    isp.reconcile(looks=2)
    assert codes(peer) == [Code.DISCONNECT_REQUEST]
    assert isp.answer(asked).startswith("Disconnect acknowledged after ")


def test_refused(isp, peer):
    asked = isp.ask(wire.Act.DISCONNECT, isp.line(isp.nas(peer), peer.host))
    peer.answers = nak(504)
    isp.reconcile()
    assert isp.answer(asked).endswith(" ms: Session context not removable (504).")


def test_refused_in_place_and_then_disconnected(isp, peer):
    asked = isp.ask(wire.Act.REAPPLY, isp.line(isp.nas(peer), peer.host))
    peer.answers = nak_coa(None)
    isp.reconcile()
    said = isp.answer(asked)
    assert said.startswith("CoA refused after ")
    assert "no cause given. Disconnect acknowledged after " in said


def test_silence(isp, peer):
    asked = isp.ask(wire.Act.DISCONNECT, isp.line(isp.nas(peer), peer.host))
    peer.answers = silence
    isp.reconcile()
    assert isp.answer(asked) == "Disconnect: the NAS did not answer."


def test_ended(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    asked = isp.ask(wire.Act.DISCONNECT, line)
    isp.execute("UPDATE session SET stopped_at = clock_timestamp()")
    isp.reconcile()
    assert peer.received == []
    assert isp.answer(asked) == "The session had ended already."


def test_two_people_at_once_both_get_an_answer(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    asked = [isp.ask(wire.Act.DISCONNECT, line), isp.ask(wire.Act.REAPPLY, line)]
    isp.reconcile(looks=3)
    assert all(isp.answer(each) for each in asked)


def test_a_pause_after_failures_does_not_hold_up_a_person(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = silence
    isp.reconcile()
    peer.answers = ack
    asked = isp.ask(wire.Act.DISCONNECT, line)
    isp.reconcile()
    assert isp.answer(asked).startswith("Disconnect acknowledged after ")
