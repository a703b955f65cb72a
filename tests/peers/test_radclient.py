"""FreeRADIUS's radclient logs in and accounts; it checks our signatures and reads answers by its own dictionaries."""

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select, update

from base import clock
from base.database import transaction
from base.feed import publish
from base.offers import plan
from base.tables import nas, session
from billing.apply import refresh_access
from billing.profiles import set_profile
from tests.peers.peer import require_peer
from tests.radius.nas import SECRET
from tests.radius.node import Node, wait_for
from tests.radius.provider import provide

pytestmark = pytest.mark.peer("radclient")

ZERO = "Message-Authenticator = 0x00"  # radclient puts the real one in its place
REPLIES = {"accept": "Received Access-Accept", "reject": "Received Access-Reject"}


class Client:
    """radclient against one node."""

    def __init__(self, program: str, node: Node, folder: Path) -> None:
        self.program, self.node, self.folder = program, node, folder

    def send(
        self, command: str, *lines: str, secret: str = SECRET.decode(), host: str = "127.0.0.1"
    ) -> tuple[int, str]:
        """Exit code and what it printed, with the attributes of the answer."""
        port = self.node.acct_port if command == "acct" else self.node.auth_port
        argv = [self.program, "-x", "-d", str(self.folder), "-r", "3", "-t", "1", f"{host}:{port}", command, secret]
        done = subprocess.run(argv, input="\n".join(lines), capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def client(database, tmp_path):
    program = require_peer("radclient")
    provide(database.engine, database.vault, "ann", "bob")
    with Node(database.environment(tmp_path), tmp_path / "data") as node:
        node.radius.start()
        wait_for((node.folder / "radius" / "snapshot").exists)
        yield Client(program, node, tmp_path)


def set_nas(database, **values) -> None:
    with transaction(database.engine) as tx:
        tx.execute(update(nas).values(**values))
        publish(tx, "nas", list(tx.scalars(select(nas.c.id))))


@pytest.mark.parametrize("rule", ["yes", "no", "auto"])
def test_logins(database, client, rule):
    """PAP and CHAP, with and without Message-Authenticator, right and wrong."""
    set_nas(database, message_authenticator=rule)
    if rule == "yes":
        wait_for(lambda: client.send("auth", "User-Name = ann", "User-Password = pw-ann")[0] == 1)
    for password in ("User-Password", "CHAP-Password"):
        code, said = client.send("auth", "User-Name = ann", f"{password} = pw-ann", ZERO)
        assert code == 0, said
        assert REPLIES["accept"] in said
        assert 'Mikrotik-Rate-Limit = "20M/100M"' in said
        assert 'Framed-Pool = "home"' in said
        assert "Acct-Interim-Interval = 300" in said
        assert "Message-Authenticator = 0x" in said.partition(REPLIES["accept"])[2]
        code, said = client.send("auth", "User-Name = ann", f"{password} = wrong", ZERO)
        assert code == 1, said
        assert REPLIES["reject"] in said
        code, said = client.send("auth", "User-Name = ann", f"{password} = pw-ann")
        assert (code == 0) is (rule != "yes"), said


def test_another_secret_is_not_answered(client):
    code, said = client.send("auth", "User-Name = ann", "User-Password = pw-ann", ZERO, secret="other")
    assert code == 1
    assert "No reply from server" in said


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "wispr",
            ["WISPr-Bandwidth-Max-Up = 20000000", "WISPr-Bandwidth-Max-Down = 100000000", 'Framed-Pool = "home"'],
        ),
        (
            "cisco",
            [
                'Cisco-AVPair = "subscriber:sub-qos-policy-in=tk-20M"',
                'Cisco-AVPair = "subscriber:sub-qos-policy-out=tk-100M"',
                'Cisco-AVPair = "ip:addr-pool=home"',
                "Service-Type = Framed-User",
                "Framed-Protocol = PPP",
            ],
        ),
    ],
)
def test_other_dialects(database, client, kind, expected):
    set_nas(database, kind=kind)
    wait_for(lambda: expected[0] in client.send("auth", "User-Name = ann", "User-Password = pw-ann", ZERO)[1])
    said = client.send("auth", "User-Name = ann", "User-Password = pw-ann", ZERO)[1]
    assert [line for line in expected if line not in said] == []


def test_bursts_and_extras_of_a_plan_reach_a_running_server(database, client):
    """From the plan's profile through the feed to the packet, and back out when it is taken away."""
    extras = [
        {"name": "Filter-Id", "value": "night.in", "when": "full", "kinds": ["mikrotik"]},
        {"name": "Idle-Timeout", "value": "600"},
        {"name": "Reply-Message", "value": "Only while walled", "when": "walled"},
    ]
    burst = {"burst_rate_down": 200_000_000, "burst_threshold_down": 80_000_000, "burst_seconds_down": 16}
    ask = ("auth", "User-Name = ann", "User-Password = pw-ann", ZERO)

    def change(**values):
        with transaction(database.engine) as tx:
            (plan_id,) = tx.scalars(select(plan.c.id))
            ids = set_profile(tx, "test", plan_id, values, clock.now())
            refresh_access(tx, database.vault, ids, clock.now(), "test")

    change(**burst, burst_rate_up=40_000_000, extra_attributes=extras)
    wait_for(lambda: 'Mikrotik-Rate-Limit = "20M/100M 40M/200M 20M/80M 1/16"' in client.send(*ask)[1])
    said = client.send(*ask)[1]
    assert 'Filter-Id = "night.in"' in said
    assert "Idle-Timeout = 600" in said
    assert "Reply-Message" not in said
    set_nas(database, kind="wispr")
    wait_for(lambda: "WISPr-Bandwidth-Max-Up = 20000000" in client.send(*ask)[1])
    said = client.send(*ask)[1]
    assert "Idle-Timeout = 600" in said
    assert "Filter-Id" not in said
    change(**dict.fromkeys(burst), burst_rate_up=None, extra_attributes=[])
    wait_for(lambda: "Idle-Timeout" not in client.send(*ask)[1])


def test_status_server(client):
    code, said = client.send("status", ZERO)
    assert code == 0, said
    assert REPLIES["accept"] in said


@pytest.mark.parametrize("proof", [[], [ZERO]])
def test_accounting(database, client, proof):
    client.node.ingest.start()
    about = [
        "User-Name = ann",
        'Acct-Session-Id = "81100003"',
        "Framed-IP-Address = 10.0.0.9",
        "NAS-Port-Id = ether1",
        *proof,
    ]
    counted = ["Acct-Input-Octets = 5", "Acct-Output-Octets = 7", "Acct-Output-Gigawords = 1"]
    for lines in (
        ["Acct-Status-Type = Start"],
        ["Acct-Status-Type = Interim-Update", "Acct-Session-Time = 60", "Acct-Input-Octets = 3"],
        ["Acct-Status-Type = Stop", "Acct-Session-Time = 90", "Acct-Terminate-Cause = Idle-Timeout", *counted],
    ):
        code, said = client.send("acct", *about, *lines)
        assert code == 0, said
        assert "Received Accounting-Response" in said

    def stored():
        with database.engine.begin() as tx:
            return tx.execute(select(session)).all()

    wait_for(lambda: [row for row in stored() if row.stopped_at])
    (row,) = stored()
    assert (row.login, row.acct_session_id, str(row.framed_address)) == ("ann", "81100003", "10.0.0.9")
    assert (row.octets_in, row.octets_out, row.seconds) == (5, (1 << 32) + 7, 90)
    assert (row.terminate_cause, row.nas_port_id) == ("Idle-Timeout", "ether1")


def test_accounting_with_another_secret_is_not_acknowledged(client):
    code, said = client.send(
        "acct", "User-Name = ann", "Acct-Session-Id = s1", "Acct-Status-Type = Start", secret="other"
    )
    assert code == 1
    assert "No reply from server" in said


def test_an_answer_comes_from_the_address_that_was_asked(database, tmp_path):
    program = require_peer("radclient")
    provide(database.engine, database.vault, "ann")
    with Node(database.environment(tmp_path), tmp_path / "data", "0.0.0.0") as node:
        node.radius.start()
        wait_for((node.folder / "radius" / "snapshot").exists)
        client = Client(program, node, tmp_path)
        code, said = client.send("auth", "User-Name = ann", "User-Password = pw-ann", ZERO, host="127.0.0.5")
        assert code == 0, said
        assert f"from 127.0.0.5:{node.auth_port}" in said
