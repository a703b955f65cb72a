"""SPF, DKIM and DMARC as a real name server on loopback tells them."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from billing import mail_dns
from billing.mail_dns import Verdict, check_domain
from tests.billing.provider import Provider

ROOT = Path(__file__).parents[2]
Zone = dict[str, list[str]]
Check = Callable[..., dict[str, Verdict]]


class NameServer:
    """Answers TXT questions from a zone, and NXDOMAIN for other names."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.silent = False

    def run(self) -> None:
        while True:
            raw, peer = self.socket.recvfrom(4096)
            if raw == b"end":
                return
            if self.silent:
                continue
            query = dns.message.from_wire(raw)
            name = query.question[0].name.to_text(omit_final_dot=True)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            if name in self.zone:
                texts = [
                    " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200)) for text in self.zone[name]
                ]
                if texts:
                    answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", *texts))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self.socket.sendto(answer.to_wire(), peer)


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer({})
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.socket.sendto(b"end", ("127.0.0.1", made.port))
    thread.join()
    made.socket.close()


@pytest.fixture
def check(server: NameServer) -> Check:
    """Publish a zone and ask about a domain."""

    def ask(zone: Zone, selector: str = "", domain: str = "mail.nordlicht.example") -> dict[str, Verdict]:
        server.zone = zone
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = server.port
        return {verdict.name: verdict for verdict in check_domain(domain, selector, resolver)}

    return ask


DOMAIN = "mail.nordlicht.example"
GOOD: Zone = {
    DOMAIN: ["google-site-verification=x", "v=spf1 mx include:_spf.example.org ~all"],
    f"s1._domainkey.{DOMAIN}": ["v=DKIM1; k=rsa; p=" + "MIGfMA0GCSq" * 40],
    f"_dmarc.{DOMAIN}": ["v=DMARC1; p=quarantine"],
}


def test_all_is_well(check: Check) -> None:
    found = check(GOOD, "s1")
    assert all(verdict.fine for verdict in found.values()), found
    assert found["DMARC"].found == "v=DMARC1; p=quarantine"


def test_nothing_is_there(check: Check) -> None:
    found = check({}, "s1")
    assert not any(verdict.fine for verdict in found.values())
    assert all("Publish" in found[name].advice or "publish" in found[name].advice for name in ("SPF", "DKIM", "DMARC"))
    assert check({DOMAIN: [], "nordlicht.example": []})["SPF"].fine is False


@pytest.mark.parametrize(
    ("name", "records", "says"),
    [
        ("SPF", {DOMAIN: ["v=spf1 mx -all", "v=spf1 a -all"]}, "2 SPF records"),
        ("SPF", {DOMAIN: ["v=spf1 +all"]}, "every server"),
        ("SPF", {DOMAIN: ["v=spf1 " + "include:a.example " * 11 + "-all"]}, "11 times"),
        ("SPF", {DOMAIN: ["v=spf10 -all"]}, "does not say"),
        ("DKIM", {f"s1._domainkey.{DOMAIN}": ["v=DKIM1; p="]}, "taken back"),
        ("DKIM", {f"s1._domainkey.{DOMAIN}": ["v=DKIM2; p=abc"]}, "no key"),
        ("DMARC", {f"_dmarc.{DOMAIN}": ["v=DMARC1; p=maybe"]}, "cannot be used"),
        ("DMARC", {f"_dmarc.{DOMAIN}": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "cannot be used"),
    ],
)
def test_what_is_wrong_is_said(check: Check, name: str, records: Zone, says: str) -> None:
    verdict = check(GOOD | records, "s1")[name]
    assert not verdict.fine
    assert says in verdict.found
    assert verdict.advice


def test_no_selector_no_check_and_a_parent_speaks_for_its_children(check: Check) -> None:
    found = check({**GOOD, f"_dmarc.{DOMAIN}": [], "_dmarc.nordlicht.example": ["v=DMARC1;p=none"]})
    assert found["DKIM"].fine
    assert "dkim_selector" in found["DKIM"].found
    assert found["DMARC"].fine
    assert "only watches" in found["DMARC"].found


def test_a_dns_that_is_away_is_no_finding(check: Check, server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_dns, "PATIENCE", 0.2)
    server.silent = True
    found = check(GOOD, "s1")
    assert all(verdict.fine and verdict.found.startswith("not looked at") for verdict in found.values())


def test_strange_domains_break_nothing(check: Check) -> None:
    for domain in ("", ".", "a..b", "x" * 70 + ".example", "localhost", "münchen.example"):
        assert len(check({}, "s1", domain)) == 3


def test_doctor_asks_for_a_sender_first(provider: Provider) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console", "doctor"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "mail_from is still billing@example.net" in done.stdout
