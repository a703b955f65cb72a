"""Sessions are brought in line with their policies, whatever the NAS says, on a real database with real peers."""

import asyncio
import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from base import clock, sessions, wire
from base.database import transaction
from coa.client import Client
from coa.errands import WINDOW
from coa.reconcile import Reconciler
from coa.targets import read_different
from radius.packet import Code
from tests.coa.device import ack, device, nak, nak_coa, silence
from tests.coa.isp import QUICK, wait_for

RATE_LIMIT = (14988, 8)


def codes(peer):
    return [got.packet.code for got in peer.received]


def test_a_walled_session_is_disconnected_once_and_everything_is_kept(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.reconcile()
    assert peer.received == []
    isp.suspend([line])
    isp.reconcile(looks=3)
    [got] = peer.received
    assert got.packet.code == Code.DISCONNECT_REQUEST
    assert [type for type, _ in got.packet.attributes] == [80, 1, 44, 8, 32, 55]
    assert got.session == line.acct_session_id
    [attempt] = isp.attempts(line)
    assert (attempt.step, attempt.result, attempt.error_cause, attempt.sends) == ("disconnect", "ack", None, 1)
    assert attempt.target == f"{peer.host}:{peer.port}"
    assert ["User-Name", "line1"] in attempt.request
    assert 0 <= attempt.milliseconds < 1000
    assert attempt.milliseconds <= attempt.commit_to_answer_ms < 5000
    state = isp.state(line)
    assert (state.applied_version, state.version, state.stopped_at) == (2, 2, None)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("mikrotik", Code.COA_REQUEST), ("wispr", Code.DISCONNECT_REQUEST), ("cisco", Code.DISCONNECT_REQUEST)],
)
def test_another_speed_is_a_change_in_place_where_the_nas_can(isp, peer, kind, code):
    line = isp.line(isp.nas(peer, kind), peer.host)
    isp.set_rates(300_000_000, 50_000_000)
    isp.reconcile(looks=2)
    assert codes(peer) == [code]
    rates = peer.received[0].packet.vendor(*RATE_LIMIT)
    assert rates == ([b"50M/300M"] if kind == "mikrotik" else [])
    assert isp.state(line).applied_version == 2
    isp.set_rates(100_000_000, 20_000_000)
    isp.reconcile(looks=2)
    assert codes(peer) == [code, code]
    assert isp.state(line).applied_version == 3


def test_a_session_that_the_nas_does_not_know_is_over(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = nak(503)
    isp.reconcile(looks=2)
    assert len(peer.received) == 1
    state = isp.state(line)
    assert state.stopped_at is not None
    assert state.terminate_cause == sessions.UNKNOWN_TO_NAS  # an interim that comes nevertheless opens it again
    assert state.terminate_cause in sessions.INFERRED
    assert state.applied_version is None
    [attempt] = isp.attempts(line)
    assert (attempt.result, attempt.error_cause) == ("nak", 503)


@pytest.mark.parametrize("cause", [401, 405, 501, None])
def test_a_refused_change_is_followed_by_a_disconnect(isp, peer, cause):
    line = isp.line(isp.nas(peer), peer.host)
    isp.set_rates(300_000_000, 50_000_000)
    peer.answers = nak_coa(cause)
    isp.reconcile(looks=2)
    assert codes(peer) == [Code.COA_REQUEST, Code.DISCONNECT_REQUEST]
    kept = [(attempt.step, attempt.result, attempt.error_cause) for attempt in isp.attempts(line)]
    assert kept == [("coa", "nak", cause), ("disconnect", "ack", None)]
    assert isp.state(line).in_line


def test_a_busy_nas_is_asked_again_later_and_drops_nobody(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.set_rates(300_000_000, 50_000_000)
    peer.answers = nak_coa(506)
    isp.reconcile(looks=2)
    assert codes(peer) == [Code.COA_REQUEST]
    assert isp.state(line).failures == 1


@pytest.mark.parametrize("answers", [silence, nak(504)])
def test_what_fails_is_tried_again_after_a_pause_that_doubles(isp, peer, answers):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = answers
    for failures, pause in enumerate((5, 10, 20), start=1):
        isp.reconcile(looks=2)
        state = isp.state(line)
        assert (state.failures, state.applied_version) == (failures, None)
        assert timedelta(seconds=pause - 2) < state.pause <= timedelta(seconds=pause)
        assert len(isp.attempts(line)) == failures
        isp.execute("UPDATE enforcement SET next_try_at = clock_timestamp()")
    peer.answers = ack
    isp.reconcile(looks=2)
    state = isp.state(line)
    assert (state.applied_version, state.failures, state.next_try_at) == (2, 0, None)


def test_a_newer_policy_does_not_wait_for_the_pause_of_an_older_one(isp, peer):
    """Who pays is restored at once, though the NAS did not answer a moment ago."""
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    isp.reconcile()
    peer.answers = silence
    isp.restore([line])
    isp.reconcile(looks=2)
    assert isp.state(line).failures == 1
    peer.answers = ack
    isp.set_rates(200_000_000, 50_000_000)
    isp.reconcile(looks=2)
    state = isp.state(line)
    assert (state.in_line, state.failures) == (True, 0)


def test_who_was_not_suspended_after_all_gets_no_packet(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = silence
    isp.reconcile()
    isp.restore([line])
    peer.received.clear()
    isp.reconcile(looks=2)
    assert peer.received == []
    assert isp.state(line).in_line


def test_a_change_that_was_not_answered_may_have_been_made(isp, peer):
    """The same speed as before is sent all the same: only the answer may have been lost."""
    line = isp.line(isp.nas(peer), peer.host)
    isp.set_rates(300_000_000, 50_000_000)
    peer.answers = silence
    isp.reconcile()
    isp.set_rates(100_000_000, 20_000_000)
    peer.answers = ack
    isp.reconcile(looks=2)
    assert [got.packet.vendor(*RATE_LIMIT) for got in peer.received] == [[b"50M/300M"]] * 2 + [[b"20M/100M"]]
    assert isp.state(line).in_line
    isp.set_rates(300_000_000, 50_000_000)
    isp.set_rates(100_000_000, 20_000_000)
    isp.reconcile(looks=2)
    assert len(peer.received) == 3  # and then nobody doubts any more


def test_silence_is_kept_as_such(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = silence
    isp.reconcile()
    [attempt] = isp.attempts(line)
    assert (attempt.result, attempt.sends, attempt.answered_at) == ("silence", 2, None)
    assert (attempt.milliseconds, attempt.commit_to_answer_ms) == (None, None)


def test_a_session_without_class_has_what_was_current_when_it_began(isp, peer):
    nas_id = isp.nas(peer)
    old = isp.line(nas_id, peer.host, accepted_version=None)
    isp.set_rates(300_000_000, 50_000_000)
    with transaction(isp.engine) as tx:
        new_id, _ = isp.session(
            tx, nas_id, peer.host, old.service_id, "line1", {"accepted_version": None, "acct_session_id": "new"}
        )
    isp.reconcile(looks=2)
    [got] = peer.received
    assert got.session == old.acct_session_id
    assert isp.state(old).applied_version == 2
    assert isp.state(old._replace(session_id=new_id)).applied_version == 2  # noted without a packet


def test_a_session_older_than_its_service_is_asked_to_come_back(isp, peer):
    line = isp.line(isp.nas(peer), peer.host, accepted_version=None, started_at=clock.now() - timedelta(days=1))
    isp.reconcile(looks=2)
    assert codes(peer) == [Code.DISCONNECT_REQUEST]
    [attempt] = isp.attempts(line)
    assert attempt.commit_to_answer_ms < 5000


@pytest.mark.parametrize("where", ["class", "applied"])
def test_a_version_that_nobody_knows_is_corrected_once(isp, peer, where):
    """A restored backup, for instance, does not know what was handed out after it was made."""
    line = isp.line(isp.nas(peer), peer.host, accepted_version=99 if where == "class" else 1)
    if where == "applied":
        isp.execute("INSERT INTO enforcement (session_id, applied_version) VALUES (:id, 99)", id=line.session_id)
    isp.reconcile(looks=3)
    assert codes(peer) == [Code.DISCONNECT_REQUEST]
    assert isp.state(line).in_line


def test_how_long_enforcement_took_is_not_told_of_sessions_that_began_behind(isp, peer):
    """A session that logged in before the change and was counted after it waited for nobody's commit."""
    nas_id = isp.nas(peer)
    line = isp.line(nas_id, peer.host)
    isp.suspend([line])
    isp.execute("UPDATE session SET started_at = :at", at=clock.now() + timedelta(seconds=1))
    isp.reconcile()
    [attempt] = isp.attempts(line)
    assert attempt.result == "ack"
    assert attempt.commit_to_answer_ms is None


def test_a_session_that_goes_on_after_its_disconnect_was_acknowledged_is_asked_again(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    isp.reconcile(looks=2)
    isp.execute("UPDATE enforcement SET disconnected_at = disconnected_at - interval '59 s'")
    isp.reconcile()
    assert len(peer.received) == 1
    isp.execute("UPDATE enforcement SET disconnected_at = disconnected_at - interval '2 s'")
    peer.answers = nak(503)
    isp.reconcile(looks=2)
    assert codes(peer) == [Code.DISCONNECT_REQUEST] * 2
    assert isp.state(line).stopped_at is not None


def test_a_session_whose_policy_is_gone_ends_once(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.execute("DELETE FROM policy")
    isp.reconcile(looks=3)
    assert codes(peer) == [Code.DISCONNECT_REQUEST]
    [attempt] = isp.attempts(line)
    assert attempt.version == 0


def test_a_secret_that_cannot_be_read_stops_only_its_own_nas(isp, peer):
    with device(host="127.0.0.2") as other:
        broken = isp.line(isp.nas(other), other.host)
        line = isp.line(isp.nas(peer), peer.host)
        isp.execute("UPDATE nas SET secret = 'nonsense' WHERE name = '127.0.0.2'")
        isp.suspend([broken, line])
        asked = isp.ask(wire.Act.DISCONNECT, broken)
        isp.reconcile(looks=2)
        assert other.received == []
    assert isp.state(line).in_line
    assert isp.state(broken).failures == 1
    assert isp.answer(asked) == "It could not be done; the log of coa says why."


def test_what_came_back_and_was_no_answer_is_counted(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = lambda got: [*ack(got, b"a guess"), *ack(got)]
    isp.reconcile(looks=2)
    isp.restore([line])
    isp.reconcile(looks=2)
    with transaction(isp.engine) as tx:
        found = tx.execute(text("SELECT name, host(source), count FROM drop_count")).all()
    assert [tuple(row) for row in found] == [("coa_bad_authenticator", peer.host, 2)]


class Gate:
    """A NAS that answers when it is told to."""

    def __init__(self, peer):
        self.open = threading.Event()
        self.peer = peer
        peer.answers = self.hold
        self.held = []

    def hold(self, got):
        if self.open.is_set():
            return ack(got)
        self.held.append(got)
        return []

    def release(self):
        self.open.set()
        for got in self.held:
            self.peer._socket.sendto(ack(got)[0], ("127.0.0.1", got.source))


async def arrived(peer, number):
    while len(peer.received) < number:
        await asyncio.sleep(0.01)


def running(isp, work):
    """Run `work(reconciler)` with requests that are sent once and waited for."""

    async def run():
        client = Client(None)
        reconciler = Reconciler(isp.engine, isp.vault, client)
        try:
            await asyncio.wait_for(work(reconciler), 60)
            await reconciler.finish(20)
        finally:
            client.close()

    asyncio.run(run())


def test_who_pays_overtakes_those_who_do_not(isp, peer):
    """Restorations go first where both are found at once, and pass a queue that is there already."""
    nas_id = isp.nas(peer)
    paying = isp.some_lines(4, nas_id, peer.host)
    late = isp.some_lines(2 * WINDOW, nas_id, peer.host)
    isp.suspend(paying)
    isp.reconcile()
    peer.received.clear()
    gate = Gate(peer)

    async def work(reconciler):
        isp.suspend(late)
        isp.restore(paying[:1])
        await reconciler.look()
        await arrived(peer, WINDOW)
        isp.restore(paying[1:])
        await reconciler.look()
        await arrived(peer, WINDOW + 3)
        gate.release()

    running(isp, work)
    order = [got.session for got in peer.received]
    assert order[0] == paying[0].acct_session_id
    assert set(order[WINDOW : WINDOW + 3]) == {line.acct_session_id for line in paying[1:]}
    assert isp.behind() == 0


def test_one_request_under_way_per_session(isp, peer):
    """However often it is looked, and whatever changes meanwhile: the next one leaves after the answer."""
    line = isp.line(isp.nas(peer), peer.host)
    gate = Gate(peer)

    async def work(reconciler):
        for number in range(1, 4):
            isp.set_rates(100_000_000 * (number + 1), 50_000_000)
            await (reconciler.sweep() if number == 2 else reconciler.look())
            await asyncio.sleep(0.1)
        asked = isp.ask(wire.Act.REAPPLY, line)
        await reconciler.look()
        await asyncio.sleep(0.1)
        assert len(peer.received) == 1
        gate.release()
        while isp.answer(asked) is None:
            await asyncio.sleep(0.01)

    running(isp, work)
    assert [got.packet.vendor(*RATE_LIMIT) for got in peer.received] == [[b"50M/200M"], [b"50M/400M"]]
    assert isp.state(line).in_line


def test_a_reading_older_than_the_acknowledgement_repeats_nothing(isp, peer):
    """A sweep and a look may read at once; the later of the two is taken up when the session is done with."""
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])

    async def work(reconciler):
        with isp.engine.connect() as tx:
            stale = read_different(tx, busy=())
        assert [each.session_id for each in stale] == [line.session_id]
        await reconciler.look()
        await reconciler.finish(10)
        reconciler._add(stale)
        await reconciler.finish(10)
        assert codes(peer) == [Code.DISCONNECT_REQUEST]
        isp.ask(wire.Act.DISCONNECT, line)
        await reconciler.look()
        await reconciler.finish(10)
        assert codes(peer) == [Code.DISCONNECT_REQUEST] * 2

    running(isp, work)


def test_a_reading_older_than_a_refusal_does_not_shorten_the_pause(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    peer.answers = nak(504)

    async def work(reconciler):
        with isp.engine.connect() as tx:
            stale = read_different(tx, busy=())
        await reconciler.look()
        await reconciler.finish(10)
        reconciler._add(stale)
        await reconciler.finish(10)
        assert (len(peer.received), isp.state(line).failures) == (1, 1)

    running(isp, work)


def test_a_bell_brings_only_what_it_is_about(isp, peer):
    """Between sweeps: services named in the feed, sessions that are new; not others."""
    nas_id = isp.nas(peer)
    one, other = isp.some_lines(2, nas_id, peer.host)

    async def work(reconciler):
        await reconciler.look()
        isp.execute("UPDATE session SET accepted_version = 0 WHERE id = :id", id=other.session_id)
        isp.suspend([one])
        await reconciler.look()
        await arrived(peer, 1)
        new = isp.line(nas_id, peer.host, accepted_version=0)
        await reconciler.look()
        await arrived(peer, 2)
        assert [got.session for got in peer.received] == [one.acct_session_id, new.acct_session_id]
        await reconciler.sweep()
        await arrived(peer, 3)
        assert peer.received[2].session == other.acct_session_id

    running(isp, work)


def test_a_look_that_failed_is_made_good_by_the_next(isp, peer):
    """The feed is read in memory's name: what a failed look had read must not be lost."""
    line = isp.line(isp.nas(peer), peer.host)

    async def work(reconciler):
        await reconciler.look()
        isp.suspend([line])
        isp.execute("ALTER TABLE wire_request RENAME TO hidden")
        with pytest.raises(Exception, match="wire_request"):
            await reconciler.look()
        isp.execute("ALTER TABLE hidden RENAME TO wire_request")
        await reconciler.look()
        await arrived(peer, 1)

    running(isp, work)
    assert isp.state(line).in_line


def test_nothing_is_begun_while_another_process_leads(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    leads = [False]

    async def run():
        client = Client(None, QUICK)
        reconciler = Reconciler(isp.engine, isp.vault, client, lambda: leads[0])
        await reconciler.look()
        await reconciler.finish(1)
        assert peer.received == []
        leads[0] = True
        await reconciler.look()
        await reconciler.finish(5)
        client.close()

    asyncio.run(run())
    wait_for(lambda: len(peer.received) == 1)
    assert isp.state(line).in_line
