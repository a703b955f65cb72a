"""Before a Disconnect: a dropped session redials at once, and whoever answers it must know the new policy by then."""

import threading
import time
from datetime import timedelta

import pytest

NODE = "INSERT INTO radius_node (id, feed_position, seen_at) VALUES (gen_random_uuid(), :position, "


def node(isp, position, seconds_ago=0.0):
    isp.execute(f"{NODE} clock_timestamp() - :ago)", position=position, ago=timedelta(seconds=seconds_ago))


def beat(isp, stop, **changes):
    """Keep all nodes alive, as their heartbeat does; after 0.7 s they have changed."""
    began = time.monotonic()
    while not stop.wait(0.1):
        isp.execute("UPDATE radius_node SET seen_at = clock_timestamp()")
        if changes and time.monotonic() - began > 0.7:
            isp.execute("UPDATE radius_node SET " + ", ".join(f"{name} = :{name}" for name in changes), **changes)


def enforce(isp, **changes):
    stop = threading.Event()
    heart = threading.Thread(target=beat, args=(isp, stop), kwargs=changes)
    heart.start()
    began = time.time()
    try:
        isp.reconcile()
    finally:
        stop.set()
        heart.join()
    return began


@pytest.mark.parametrize("how", ["position", "ahead"])
def test_a_live_node_that_has_not_read_is_waited_for(isp, peer, how):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    xid = isp.feed_xid(line)
    node(isp, xid)
    node(isp, xid + 1)
    read = {"feed_position": xid + 1} if how == "position" else {"feed_ahead": [xid]}
    began = enforce(isp, **read)
    [got] = peer.received
    assert 0.7 < got.at - began < 1.95
    assert isp.state(line).in_line


def test_a_stale_node_is_not_waited_for(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    node(isp, isp.feed_xid(line), seconds_ago=2.5)
    began = time.time()
    isp.reconcile()
    assert peer.received[0].at - began < 1.5


def test_no_node_holds_a_disconnect_up_for_longer_than_two_seconds(isp, peer):
    lines = isp.some_lines(3, isp.nas(peer), peer.host)
    isp.suspend(lines)
    node(isp, 1)
    began = enforce(isp)
    assert len(peer.received) == 3
    assert all(1.9 < got.at - began < 3.0 for got in peer.received)


def test_a_change_in_place_does_not_wait(isp, peer):
    isp.line(isp.nas(peer), peer.host)
    isp.set_rates(300_000_000, 50_000_000)
    node(isp, 1)
    began = time.time()
    isp.reconcile()
    assert peer.received[0].at - began < 1.5


def test_who_paid_while_it_was_held_up_is_not_dropped(isp, peer):
    line = isp.line(isp.nas(peer), peer.host)
    isp.suspend([line])
    node(isp, 1)
    payment = threading.Timer(0.4, isp.restore, [[line]])
    payment.start()
    enforce(isp)
    payment.join()
    assert peer.received == []
    assert isp.state(line).in_line
