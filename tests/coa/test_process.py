"""The real process, with what happens to processes: killed, doubled, deaf, and without its database."""

import threading
import time
from statistics import quantiles

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from base.database import transaction
from tests.coa.device import ack, nak, silence
from tests.coa.isp import wait_for
from tests.patience import at_most

TAKE_OVER = 5.0  # seconds within which another process leads


def slowly(seconds):
    """A NAS that takes its time for each answer."""

    def answer(got):
        time.sleep(seconds)
        return ack(got)

    return answer


def leaders(isp):
    """How many processes hold the sender's lock."""
    query = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with transaction(isp.engine) as tx:
        return tx.scalar(query)


def listeners(isp):
    """The backends that listen."""
    with transaction(isp.engine) as tx:
        return list(
            tx.scalars(
                text(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'tollkeeper-listen' "
                    "AND datname = current_database()"
                )
            )
        )


def test_a_suspension_is_on_the_wire_and_acknowledged_within_milliseconds(isp, peer, start, record_property):
    lines = isp.some_lines(20, isp.nas(peer), peer.host)
    start()
    wait_for(lambda: leaders(isp) == 1)
    time.sleep(0.2)
    for line in lines:
        isp.suspend([line])
        wait_for(lambda line=line: isp.state(line).in_line)
    took = [isp.attempts(line)[0].commit_to_answer_ms for line in lines]
    record_property("commit_to_ack_ms", sorted(took))
    print("commit to ACK, ms:", sorted(took))
    assert quantiles(took, n=2)[0] < 500  # the machine may be busy; the budget is for a quiet one
    assert len(peer.received) == 20


def test_a_notification_that_is_lost_is_made_good(isp, peer, start):
    line = isp.line(isp.nas(peer), peer.host)
    start()
    wait_for(lambda: leaders(isp) == 1)
    time.sleep(0.5)
    isp.change_silently(line)
    took = wait_for(lambda: isp.state(line).in_line, 15)
    assert len({each.octets for each in peer.received}) == 1  # one request; on a busy machine perhaps sent again
    print(f"after {took:.1f} s")


def test_the_sweep_needs_neither_bell_nor_feed(isp, peer, start):
    """What a NAS refused is tried again when its pause is over; that is nobody's news."""
    line = isp.line(isp.nas(peer), peer.host)
    peer.answers = nak(504)
    start()
    isp.suspend([line])
    wait_for(lambda: isp.state(line).failures == 1)
    peer.answers = ack
    wait_for(lambda: isp.state(line).in_line, 30)
    first, second = isp.attempts(line)
    assert 5 <= (second.sent_at - first.sent_at).total_seconds() < 20


def test_nothing_is_lost_with_the_connection_that_listens(isp, peer, start):
    line = isp.line(isp.nas(peer), peer.host)
    start()
    wait_for(lambda: leaders(isp) == 1)
    time.sleep(0.2)
    [backend] = listeners(isp)
    isp.execute("SELECT pg_terminate_backend(:pid)", pid=backend)
    isp.suspend([line])
    wait_for(lambda: isp.state(line).in_line, 15)
    assert len(peer.received) == 1
    wait_for(lambda: listeners(isp) not in ([], [backend]))


def test_two_processes_send_once_and_one_takes_over_from_the_other(isp, peer, start):
    lines = isp.some_lines(30, isp.nas(peer), peer.host)
    first = start("first")
    wait_for(lambda: leaders(isp) == 1)
    second = start("second")
    isp.suspend(lines[:10])
    wait_for(lambda: isp.behind() == 0)
    assert leaders(isp) == 1
    assert len(peer.received) == 10
    first.kill()
    isp.suspend(lines[10:20])
    took = wait_for(lambda: isp.behind() == 0, TAKE_OVER)
    print(f"taken over in {took:.1f} s")
    third = start("third")
    code, _ = second.end()
    assert code == 0
    isp.suspend(lines[20:])
    wait_for(lambda: isp.behind() == 0, TAKE_OVER)
    assert len(peer.received) == 30
    assert third.end()[0] == 0


def test_killed_in_the_middle_of_fifty_suspensions(isp, peer, start):
    """Each session ends applied.

    What may repeat: an acknowledgement counts from the commit that keeps it. Where the process dies between a request
    and that commit, the next one cannot know, and asks again: once more for each session whose answer was not kept, at
    most as many as were under way. A session whose acknowledgement was kept is left alone.
    """
    lines = isp.some_lines(50, isp.nas(peer), peer.host)
    first = start("first")
    wait_for(lambda: leaders(isp) == 1)
    peer.answers = slowly(0.01)
    isp.suspend(lines)
    wait_for(lambda: isp.behind() < 35)
    first.kill()
    time.sleep(0.5)  # until the peer has answered what had arrived
    kept = {line.acct_session_id for line in lines if isp.state(line).in_line}
    before = {(got.source, got.packet.identifier): got.session for got in peer.received}
    assert 10 < len(kept) < 50
    start("second")
    wait_for(lambda: isp.behind() == 0, TAKE_OVER)
    time.sleep(0.3)
    after = {(got.source, got.packet.identifier): got.session for got in peer.received}
    again = [session for key, session in after.items() if key not in before]
    assert not kept & set(again)
    assert len(again) == len(set(again)) == 50 - len(kept)
    repeated = set(again) & set(before.values())
    print(
        f"kept {len(kept)}, repeated {len(repeated)}, first sent by the second process {50 - len(set(before.values()))}"
    )


def test_killed_while_a_change_is_under_way_nobody_believes_the_old_speed(isp, peer, start):
    """The NAS may have made the change; when the plan then is what it was, it is sent nevertheless."""
    line = isp.line(isp.nas(peer), peer.host)
    first = start("first")
    peer.answers = silence
    isp.set_rates(300_000_000, 50_000_000)
    wait_for(lambda: peer.received)
    first.kill()
    isp.set_rates(100_000_000, 20_000_000)
    peer.answers = ack
    start("second")
    wait_for(lambda: isp.state(line).in_line)
    assert peer.received[-1].packet.vendor(14988, 8) == [b"20M/100M"]


def test_the_database_goes_away_for_a_while(isp, peer, start):
    """What is under way is answered and kept when the database is back; nothing is sent twice, nothing is forgotten."""
    lines = isp.some_lines(40, isp.nas(peer), peer.host)
    process = start()
    wait_for(lambda: leaders(isp) == 1)
    gate = threading.Event()

    def hold(got):
        gate.wait(10)
        return ack(got)

    peer.answers = hold
    isp.suspend(lines[:20])
    wait_for(lambda: peer.received)
    url = make_url(isp.database.url)
    name = url.database
    server = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as admin:
        isp.engine.dispose()
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        gate.set()
        time.sleep(3)
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    took = wait_for(lambda: isp.behind() == 0, 15)
    print(f"in line {took:.1f} s after the database was back")
    isp.suspend(lines[20:])
    wait_for(lambda: isp.behind() == 0, 15)
    sent = {(got.source, got.packet.identifier) for got in peer.received}
    assert len(sent) == 40
    assert len(isp.attempts()) == 40
    assert "alarm" not in process.output()


@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_within_three_seconds(isp, peer, start, busy):
    lines = isp.some_lines(3, isp.nas(peer), peer.host)
    process = start()
    if busy:
        peer.answers = silence
        isp.suspend(lines)
        wait_for(lambda: len(peer.received) >= 3)
    code, seconds = process.end()
    assert code == 0
    assert seconds < at_most(3)
    assert "Traceback" not in process.output()
    assert [attempt.result for attempt in isp.attempts()] == ["silence"] * 3 * busy


def test_an_answer_that_comes_while_it_ends_is_kept(isp, peer, start):
    line = isp.line(isp.nas(peer), peer.host)
    process = start()
    peer.answers = slowly(0.5)
    isp.suspend([line])
    wait_for(lambda: peer.received)
    process.end()
    assert isp.state(line).in_line
