"""The sockets: real peers on loopback that acknowledge, refuse, keep silent, lie, answer late, or are not there."""

import asyncio
import socket
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest

from coa.client import Client
from coa.exchange import Ack, Nak, Silence, Waits
from radius.packet import Code, check_message_authenticator, check_request_authenticator, reply
from tests.coa.device import POSITIVE, SECRET, Device, ack, device, nak, silence

QUICK = Waits(first=0.1, longest=0.8, sends=3, life=2.0)
WHO = [("User-Name", "ana"), ("Acct-Session-Id", "81000001")]


def send(peer, code=Code.DISCONNECT_REQUEST, waits=QUICK):
    """Send one request to a peer; the answer, how many datagrams it took, and what was dropped, by name."""

    async def run():
        client = Client(None, waits)
        answer, sends = await client.send(code, WHO, SECRET, peer.host, peer.port)
        await asyncio.sleep(0.05)  # what comes late
        client.close()
        return answer, sends, {name: count for (name, host), count in client.drops.items() if host == peer.host}

    return asyncio.run(run())


@pytest.mark.parametrize("code", [Code.COA_REQUEST, Code.DISCONNECT_REQUEST])
def test_ack(code):
    with device() as peer:
        answer, sends, drops = send(peer, code=code)
    assert (answer, sends) == (Ack(), 1)
    assert not drops
    [got] = peer.received
    assert got.packet.code == code
    assert got.packet.attributes[0][0] == 80  # Message-Authenticator goes first
    assert check_request_authenticator(got.packet, SECRET)
    assert check_message_authenticator(got.packet, SECRET) == "valid"
    assert abs(int.from_bytes(got.packet.first(55), "big") - time.time()) < 5


@pytest.mark.parametrize("cause", [401, 503, None])
def test_nak(cause):
    with device(nak(cause)) as peer:
        answer, sends, _ = send(peer)
    assert (answer, sends) == (Nak(cause), 1)


def test_silence_after_identical_retransmissions_from_one_port():
    with device(silence) as peer:
        answer, sends, drops = send(peer)
    assert (answer, sends) == (Silence(), 3)
    assert not drops
    assert len(peer.received) == 3
    assert len({(got.source, got.octets) for got in peer.received}) == 1
    first, second = (late.at - early.at for early, late in pairwise(peer.received))
    assert 0.09 <= first < 0.2
    assert 1.8 * first < second + 0.1  # it doubles, but for the scheduler's delays


def test_a_lost_answer_is_asked_for_again():
    with device() as peer:
        peer.answers = lambda got: ack(got) if len(peer.received) == 2 else []
        answer, sends, _ = send(peer)
    assert (answer, sends) == (Ack(), 2)


def test_forged_and_foreign_answers_are_counted_and_the_true_one_is_taken():
    def lie(got):
        code, identifier, authenticator = POSITIVE[got.packet.code], got.packet.identifier, got.packet.authenticator
        return [
            b"",
            b"\x29",
            b"\x29" + bytes((identifier,)) + b"\0\x10",
            reply(code, identifier, authenticator, b"", b"a guess"),
            reply(code, identifier, bytes(16), b"", SECRET),
            reply(code, (identifier + 1) % 256, authenticator, b"", SECRET),
            reply(Code.COA_ACK, identifier, authenticator, b"", SECRET),
            *ack(got),
            *ack(got),
        ]

    with device(lie) as peer:
        answer, sends, drops = send(peer)
    assert (answer, sends) == (Ack(), 1)
    assert drops == {"unexpected_answer": 4, "too_short": 1, "bad_authenticator": 2, "late_answer": 1}


def test_an_answer_from_another_address_does_not_even_arrive():
    """The NAS answers from the port that was asked; anybody else who guesses our port is not heard."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, device(silence) as peer:
        stranger.bind(("127.0.0.1", 0))

        def answer_from_elsewhere(got):
            stranger.sendto(ack(got)[0], ("127.0.0.1", got.source))
            return []

        peer.answers = answer_from_elsewhere
        answer, sends, drops = send(peer)
    assert (answer, sends) == (Silence(), 3)
    assert not drops


def test_an_answer_after_giving_up_is_late():
    waiting = []
    with device(silence) as peer:

        def keep(got):
            waiting.append(got)
            return []

        async def run():
            client = Client(None, Waits(first=0.05, longest=0.1, sends=1, life=1))
            peer.answers = keep
            answer = await client.send(Code.COA_REQUEST, WHO, SECRET, peer.host, peer.port)
            peer.answers = ack
            [got] = waiting
            peer._socket.sendto(ack(got)[0], ("127.0.0.1", got.source))
            await asyncio.sleep(0.05)
            # ... and does not disturb the next request
            again = await client.send(Code.COA_REQUEST, WHO, SECRET, peer.host, peer.port)
            client.close()
            return answer, again, client.drops

        answer, again, drops = asyncio.run(run())
    assert (answer, again) == ((Silence(), 1), (Ack(), 1))
    assert drops == {("late_answer", "127.0.0.1"): 1}


def test_no_identifier_leaves_a_source_port_twice():
    """A receiver may remember it for 300 s (RFC 5176 section 2.3): the 257th request leaves from a new port."""

    async def run(peer):
        client = Client(None, QUICK)
        for _ in range(256):
            assert await client.send(Code.COA_REQUEST, WHO, SECRET, peer.host, peer.port) == (Ack(), 1)
        assert len({got.source for got in peer.received}) == 1
        answers = await asyncio.gather(
            *(client.send(Code.COA_REQUEST, WHO, SECRET, peer.host, peer.port) for _ in range(300))
        )
        client.close()
        return answers

    with device() as peer:
        answers = asyncio.run(run(peer))
    assert {answer for answer, _ in answers} == {Ack()}
    sent = {(got.source, got.packet.identifier): got.octets for got in peer.received}
    assert len(sent) == 556
    assert len({source for source, _ in sent}) == 3
    used = Counter(source for source, _ in sent)
    assert sorted(used.values()) == [44, 256, 256]


def test_each_device_has_its_own_identifiers():
    async def run(one, other):
        client = Client(None, QUICK)
        for peer in (one, other, one):
            await client.send(Code.COA_REQUEST, WHO, SECRET, peer.host, peer.port)
        client.close()

    with device() as one, device(host="127.0.0.2") as other:
        asyncio.run(run(one, other))
    assert [got.packet.identifier for got in one.received] == [0, 1]
    assert [got.packet.identifier for got in other.received] == [0]


def test_a_closed_port_does_not_end_the_transaction():
    """A NAS that restarts answers with ICMP for a while; the retransmissions go on."""
    gone = Device()
    place = {"host": gone.host, "port": gone.port}
    gone.close()
    reborn = []
    timer = threading.Timer(0.15, lambda: reborn.append(Device(**place)))
    timer.start()
    answer, sends, drops = send(gone, waits=Waits(first=0.1, longest=0.3, sends=8, life=3.0))
    timer.join()
    reborn[0].close()
    assert answer == Ack()
    assert sends >= 2
    assert drops["unreachable"] >= 1


def test_what_cannot_be_sent_is_silence_with_no_datagram():
    async def run():
        client = Client("192.0.2.1", QUICK)  # no address of this machine
        answer = await client.send(Code.COA_REQUEST, WHO, SECRET, "127.0.0.1", 3799)
        client.close()
        return answer

    assert asyncio.run(run()) == (Silence(), 0)


def test_nothing_leaves_while_another_process_may_be_sending():
    allowed = [True]

    async def run(peer):
        client = Client(None, QUICK, lambda: allowed[0])
        sending = asyncio.create_task(client.send(Code.COA_REQUEST, WHO, SECRET, peer.host, peer.port))
        await asyncio.sleep(0.05)
        allowed[0] = False
        answer = await sending
        client.close()
        return answer

    with device(silence) as peer:
        assert asyncio.run(run(peer)) == (Silence(), 1)
    assert len(peer.received) == 1


def test_requests_leave_from_the_address_that_was_set():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        async def run():
            client = Client("127.0.0.3", Waits(first=0.05, longest=0.1, sends=1, life=1))
            await client.send(Code.COA_REQUEST, WHO, SECRET, *listening.getsockname())
            client.close()

        asyncio.run(run())
        assert listening.recvfrom(4096)[1][0] == "127.0.0.3"
