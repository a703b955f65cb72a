"""What the DNS says about mails from a domain: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489).

The only importer of dnspython. A mail server that finds these missing or wrong throws invoices away as spam.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.resolver

PATIENCE = 3.0  # seconds for each question
_LOOKUPS = ("include:", "a", "mx", "ptr", "exists:", "redirect=")
MOST_LOOKUPS = 10  # RFC 7208, 4.6.4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one of the three says."""

    name: str
    fine: bool
    found: str
    advice: str = ""


class NoAnswer(Exception):
    """The DNS cannot be asked at present."""


def check_domain(domain: str, dkim_selector: str, resolver: dns.resolver.Resolver | None = None) -> list[Verdict]:
    """SPF, DKIM (not checked without a selector) and DMARC of a domain that mails are sent from.

    `resolver` None: as this machine is set up. One that does not answer is no finding, and says so.
    """
    asked = resolver or dns.resolver.Resolver()
    checks: tuple[tuple[str, Callable[[], Verdict]], ...] = (
        ("SPF", lambda: _spf(domain, asked)),
        ("DKIM", lambda: _dkim(domain, dkim_selector, asked)),
        ("DMARC", lambda: _dmarc(domain, asked)),
    )
    return [_try(name, check) for name, check in checks]


def _try(name: str, check: Callable[[], Verdict]) -> Verdict:
    try:
        return check()
    except NoAnswer as error:
        return Verdict(name, True, f"not looked at: {error}")


def _spf(domain: str, resolver: dns.resolver.Resolver) -> Verdict:
    records = [text for text in _texts(domain, resolver) if text.lower().split(" ")[0] == "v=spf1"]
    if not records:
        return Verdict(
            "SPF",
            False,
            f"{domain} does not say which servers may send its mail",
            f'Publish a TXT record at {domain}: "v=spf1 mx ~all" if its MX servers send your mail, or with '
            "include:… as your mail provider tells you.",
        )
    if len(records) > 1:
        return Verdict(
            "SPF",
            False,
            f"{domain} has {len(records)} SPF records, and receivers then believe none",
            "Put everything into one record that begins with v=spf1 and delete the others.",
        )
    terms = records[0].lower().split()
    if "+all" in terms or "all" in terms:
        return Verdict(
            "SPF",
            False,
            f"{records[0]!r} lets every server of the world send as {domain}",
            "Let the record end with ~all or -all.",
        )
    asking = sum(_asks(term.lstrip("+-~?")) for term in terms[1:])
    if asking > MOST_LOOKUPS:
        return Verdict(
            "SPF",
            False,
            f"{records[0]!r} makes receivers ask {asking} times, and they stop after {MOST_LOOKUPS}",
            "Replace some of include, a and mx by the addresses themselves (ip4:…, ip6:…).",
        )
    return Verdict("SPF", True, records[0])


def _asks(term: str) -> bool:
    """Whether a term of an SPF record costs the receiver a question."""
    return any(
        term.startswith(word) if word[-1] in ":=" else term.split(":")[0].split("/")[0] == word for word in _LOOKUPS
    )


def _dkim(domain: str, selector: str, resolver: dns.resolver.Resolver) -> Verdict:
    if not selector:
        return Verdict("DKIM", True, "not checked: set dkim_selector to the selector that your mail server signs with")
    where = f"{selector}._domainkey.{domain}"
    keys = [_tags(text) for text in _texts(where, resolver)]
    keys = [tags for tags in keys if "p" in tags and tags.get("v", "DKIM1") == "DKIM1"]
    if not keys:
        return Verdict(
            "DKIM",
            False,
            f"there is no key at {where}",
            f"Have your mail server sign with DKIM and publish its public key as a TXT record at {where}, or correct "
            "the business setting dkim_selector.",
        )
    if not keys[0]["p"]:
        return Verdict(
            "DKIM",
            False,
            f"the key at {where} was taken back (p= is empty)",
            "Publish the key that your mail server signs with now, or set dkim_selector to the selector that it uses.",
        )
    return Verdict("DKIM", True, f"a key at {where}" + (", being tested (t=y)" if "y" in keys[0].get("t", "") else ""))


def _dmarc(domain: str, resolver: dns.resolver.Resolver) -> Verdict:
    for name in _upwards(domain):
        records = [text for text in _texts(f"_dmarc.{name}", resolver) if text.replace(" ", "").startswith("v=DMARC1")]
        if records:
            break
    else:
        return Verdict(
            "DMARC",
            False,
            f"{domain} does not say what to do with forged mail",
            f'Publish a TXT record at _dmarc.{domain}: "v=DMARC1; p=none; rua=mailto:you@{domain}" to begin with, and '
            "p=quarantine when the reports show that your own mail passes.",
        )
    policy = _tags(records[0]).get("p", "").lower()
    if len(records) > 1 or policy not in ("none", "quarantine", "reject"):
        return Verdict(
            "DMARC",
            False,
            f"{' and '.join(repr(record) for record in records)} at _dmarc.{name} cannot be used",
            "Leave one record, with p=none, p=quarantine or p=reject.",
        )
    note = " (it only watches; p=quarantine protects)" if policy == "none" else ""
    return Verdict("DMARC", True, f"{records[0]}{note}")


def _upwards(domain: str) -> Iterator[str]:
    """The domain and the ones that it lies in, down to two labels."""
    labels = domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        yield ".".join(labels[start:])


def _texts(name: str, resolver: dns.resolver.Resolver) -> list[str]:
    """The TXT records of a name; none when there are none, NoAnswer when nobody can be asked."""
    try:
        answer = resolver.resolve(name, "TXT", lifetime=PATIENCE, raise_on_no_answer=False, search=False)
    except (dns.resolver.NXDOMAIN, dns.name.EmptyLabel, dns.name.LabelTooLong):
        return []
    except dns.exception.DNSException as error:
        raise NoAnswer(f"the DNS does not answer for {name}: {' '.join(str(error).split())}") from error
    if answer.rrset is None:
        return []
    return [b"".join(record.strings).decode(errors="replace") for record in answer.rrset]


def _tags(text: str) -> dict[str, str]:
    """A list of tags as RFC 6376, 3.2 writes them: 'v=DKIM1; p=MIG…'."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip(): "".join(value.split()) for name, _, value in pairs}
