"""hostapd's Dynamic Authorization Server judges the Disconnect-Requests that coa sends.

It runs without a radio (driver=none), insists on Message-Authenticator and Event-Timestamp, answers any attribute that
it does not know with NAK 401, drops what is not authentic or not fresh without a word, and says in its log why.
A station is let in through its control socket; it then accounts for it like any other.
"""

import asyncio
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from base import clock
from coa.client import Client
from coa.decide import decide_step
from coa.exchange import Ack, Answer, Nak, Silence, Waits
from radius.accounting import SessionChange, Status, understand
from radius.dialects import SessionIdentity
from radius.packet import Code, parse, reply
from tests.coa.isp import Isp, wait_for
from tests.peers.peer import require_peer

pytestmark = pytest.mark.peer("hostapd")

SECRET = b"shared with the access point"
STATION = "02:00:00:00:00:01"
NOBODY = SessionIdentity("ana", "00000000DEADBEEF", "100.64.0.7", "", "tower-1", "127.0.0.1")
QUICK = Waits(first=0.3, longest=0.3, sends=2, life=1.0)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class AccessPoint:
    """hostapd in a folder of its own, with the accounting server that it reports to."""

    def __init__(self, program: str, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._accounting = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._accounting.bind(("127.0.0.1", 0))
        self._accounting.settimeout(10)
        lines = {
            "interface": "lo",
            "driver": "none",
            "ctrl_interface": folder / "control",
            "nas_identifier": "tower-1",
            "own_ip_addr": "127.0.0.1",
            "acct_server_addr": "127.0.0.1",
            "acct_server_port": self._accounting.getsockname()[1],
            "acct_server_shared_secret": SECRET.decode(),
            "radius_das_port": self.port,
            "radius_das_client": f"127.0.0.1 {SECRET.decode()}",
            "radius_das_require_event_timestamp": 1,
            "radius_das_require_message_authenticator": 1,
        }
        (folder / "config").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [program, "-d", "-t", str(folder / "config")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_for(lambda: "AP-ENABLED" in self.log() or self._process.poll() is not None)
        assert self._process.poll() is None, self.log()

    def log(self) -> str:
        """What it says."""
        return (self.folder / "log").read_text()

    def control(self, command: str) -> str:
        """What hostapd answers to a command."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
            control.bind(str(self.folder / f"client{secrets.token_hex(4)}"))
            control.settimeout(5)
            control.connect(str(self.folder / "control" / "lo"))
            control.send(command.encode())
            return control.recv(4096).decode()

    def let_in(self, station: str) -> SessionChange:
        """A station comes; returns the Start that hostapd sent for it."""
        assert self.control(f"NEW_STA {station}") == "OK\n"
        return self.accounting(Status.START)

    def accounting(self, status: Status) -> SessionChange:
        """The next record of this kind, understood as ingest does."""
        while True:
            datagram, source = self._accounting.recvfrom(4096)
            packet = parse(datagram)
            self._accounting.sendto(
                reply(Code.ACCOUNTING_RESPONSE, packet.identifier, packet.authenticator, b"", SECRET, False), source
            )
            change = understand(1, "127.0.0.1", datagram, clock.real())
            if isinstance(change, SessionChange) and change.status == status:
                return change

    def close(self) -> None:
        """End."""
        self._process.terminate()
        self._process.wait(10)
        self._accounting.close()


@pytest.fixture
def access_point() -> Iterator[AccessPoint]:
    program = require_peer("hostapd")
    with tempfile.TemporaryDirectory(prefix="tk") as folder:  # short: the control socket lies in it
        one = AccessPoint(program, Path(folder))
        try:
            yield one
        finally:
            one.close()


@pytest.fixture
def other_time() -> Iterator[None]:
    yield
    clock.travel_to_offset(timedelta())


def disconnect(
    access_point: AccessPoint, session: SessionIdentity, kind: str = "wispr", secret: bytes = SECRET
) -> Answer:
    """Send what coa decides on for a session that must go."""
    step = decide_step(kind, session, None, None)

    async def run() -> Answer:
        client = Client(None, QUICK)
        answer, _ = await client.send(Code.DISCONNECT_REQUEST, step.pairs, secret, "127.0.0.1", access_point.port)
        client.close()
        return answer

    return asyncio.run(run())


def identity(start: SessionChange) -> SessionIdentity:
    """A station's session as hostapd reported it, but for the User-Name, which it only compares for 802.1X."""
    return SessionIdentity(
        "", start.acct_session_id, start.framed_address, start.calling_station, start.nas_identifier, start.nas_address
    )


def test_an_authentic_request_for_a_session_that_is_not_there(access_point):
    """The NAK is hostapd's word that it took authenticator, Message-Authenticator and Event-Timestamp for ours."""
    assert disconnect(access_point, NOBODY) == Nak(503)


def test_a_session_is_disconnected_and_no_other(access_point):
    start = access_point.let_in(STATION)
    other = access_point.let_in("02:00:00:00:00:02")
    assert disconnect(access_point, identity(start)) == Ack()
    stop = access_point.accounting(Status.STOP)
    assert stop.acct_session_id == start.acct_session_id != other.acct_session_id
    wait_for(lambda: access_point.control(f"STA {STATION}") == "FAIL\n")  # it remembers the station for a while
    assert disconnect(access_point, identity(start)) == Nak(503)
    assert disconnect(access_point, identity(other)) == Ack()


def test_a_wrong_secret_is_met_with_silence(access_point):
    assert disconnect(access_point, NOBODY, secret=b"a guess") == Silence()
    assert "Invalid authenticator or Message-Authenticator" in access_point.log()
    assert disconnect(access_point, NOBODY) == Nak(503)


@pytest.mark.parametrize(("seconds", "taken"), [(-310, False), (-290, True), (290, True), (310, False)])
def test_a_stale_timestamp_is_met_with_silence(access_point, other_time, seconds, taken):
    clock.travel_to_offset(timedelta(seconds=seconds))
    assert disconnect(access_point, NOBODY) == (Nak(503) if taken else Silence())
    assert ("Unacceptable Event-Timestamp" in access_point.log()) is not taken


def test_an_attribute_too_many_is_refused(access_point):
    """Why each kind of NAS is told only what it takes: Framed-IP-Address helps a MikroTik."""
    assert disconnect(access_point, NOBODY, kind="mikrotik") == Nak(401)
    assert "Unsupported attribute 8 in Disconnect-Request" in access_point.log()


def test_a_request_for_another_nas_is_refused(access_point):
    assert disconnect(access_point, replace(NOBODY, nas_identifier="tower-2")) == Nak(403)


def test_a_suspension_ends_the_session_on_the_access_point(database, access_point):
    """The whole way: billing's commit, coa's look, hostapd's ACK and its Stop."""
    isp = Isp(database)
    nas_id = isp.nas_at("127.0.0.1", access_point.port, SECRET, "wispr")
    start = access_point.let_in(STATION)
    line = isp.line(
        nas_id,
        "127.0.0.1",
        login="",
        acct_session_id=start.acct_session_id,
        nas_identifier=start.nas_identifier,
        nas_address=start.nas_address,
    )
    isp.suspend([line])
    began = time.time()
    isp.reconcile()
    stop = access_point.accounting(Status.STOP)
    assert stop.acct_session_id == start.acct_session_id
    assert time.time() - began < 5
    assert isp.state(line).in_line
    assert [attempt.result for attempt in isp.attempts(line)] == ["ack"]
