"""Handing one mail to the mail server, step by step, so that we always know whether it may have it (RFC 5321).

A connection is kept for some seconds after a mail and used again, with RSET between two mails.
"""

import contextlib
import re
import smtplib
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from time import monotonic
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
TIMEOUT = 20.0  # seconds for each answer of the mail server
END_TIMEOUT = 600.0  # seconds for its answer to a whole mail: RFC 5321, 4.5.3.2.6
KEEP = 10.0  # seconds that an idle connection stays open

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


class NotNow(Exception):
    """The server cannot be used or says 'later': it does not have the mail."""


class NotSure(Exception):
    """The connection was lost between the content and the server's answer: it may have the mail or not."""


class NeverMail(Exception):
    """The server refused the mail for good; `answers` says so for each address that it named, else it is empty."""

    def __init__(self, reason: str, answers: dict[str, str]) -> None:
        super().__init__(reason)
        self.answers = answers


@dataclass(frozen=True, slots=True)
class Taken:
    """The server has the mail."""

    refused: dict[str, str]
    "Addresses that it took it not for, for good, each with its answer."
    waiting: dict[str, str] = field(default_factory=dict)
    "Addresses that it took it not for at present."


def send(
    url: str, sender: str, recipients: Sequence[str], mail: EmailMessage, before_content: Callable[[], None]
) -> Taken:
    """Give a mail to the server of `url`; `before_content` is called before DATA, and what it raises stops the mail.

    Raises NotNow, NotSure, NeverMail, or ValueError for a mail that cannot be written in bytes.
    """
    server, used = _take(url)
    kept = False
    try:
        wide = not all(address.isascii() for address in (sender, *recipients))
        content = _content(mail, wide)
        try:
            if used:
                _expect(server.rset())
            taken = _address(server, sender, recipients, wide)
        except (smtplib.SMTPServerDisconnected, _Leaving) as error:
            server.close()
            if not used:
                raise NotNow(f"the mail server ended the connection: {error}") from error
            server = _connect(url)
            taken = _address(server, sender, recipients, wide)
        before_content()
        _give_content(server, content, recipients)
        kept = True
        return taken
    except NeverMail:
        kept = True
        raise
    except (smtplib.SMTPException, OSError, _Leaving) as error:
        raise NotNow(f"the mail server does not take mail now: {error}") from error
    finally:
        if kept:
            _keep(url, server)
        else:
            server.close()


def is_hard(answer: str, *, at_address: bool) -> bool:
    """Whether a final 5xx answer or status says that nobody is at the address, so that no further mail should go there.

    RFC 3463: what is about our mail, our reputation or their system (5.3, 5.6, 5.7) or a full mailbox (5.2.2, 5.2.3)
    speaks not against the address. An answer without such a status counts when it was given to the address itself.
    """
    found = _STATUS.search(answer)
    if found is None or found[1] != "5":
        return at_address
    subject, detail = int(found[2]), int(found[3])
    return subject in (0, 1, 4) or (subject == 2 and detail not in (2, 3))


def close_idle() -> None:
    """End every connection that waits for a next mail."""
    _sweep(0.0)


class _Leaving(Exception):
    """421: the server is about to end the connection."""


def _content(mail: EmailMessage, wide: bool) -> bytes:
    """The mail on the wire: CRLF, dots doubled, the closing dot (RFC 5321, 4.5.2)."""
    lines = mail.as_bytes(policy=(SMTPUTF8 if wide else SMTP).clone(cte_type="7bit"))
    return re.sub(rb"(?m)^\.", b"..", lines.rstrip(b"\r\n") + b"\r\n") + b".\r\n"


def _address(server: smtplib.SMTP, sender: str, recipients: Sequence[str], wide: bool) -> Taken:
    """MAIL and RCPT; at least one address is taken."""
    if wide and not server.has_extn("smtputf8"):
        raise NeverMail("the mail server does not know addresses beyond ASCII", {})
    _expect(server.mail(sender, ["SMTPUTF8", "BODY=8BITMIME"] if wide else []))
    refused, waiting = {}, {}
    for address in recipients:
        code, text = _answer(server.rcpt(address))
        if code >= 500:
            refused[address] = f"{code} {text}"
        elif code >= 300:
            waiting[address] = f"{code} {text}"
    if len(refused) == len(recipients):
        raise NeverMail(_listed(refused), refused)
    if len(refused) + len(waiting) == len(recipients):
        raise NotNow(f"the mail server does not take mail now: {_listed(waiting)}")
    return Taken(refused, waiting)


def _give_content(server: smtplib.SMTP, content: bytes, recipients: Sequence[str]) -> None:
    _expect(server.docmd("DATA"), wanted=354)  # until here the server has nothing
    assert server.sock is not None
    try:
        server.sock.settimeout(END_TIMEOUT)
        server.send(content)
        code, text = _answer(server.getreply())
        server.sock.settimeout(TIMEOUT)
    except _Leaving:
        raise
    except OSError as error:
        raise NotSure(f"the connection was lost before the mail server's answer: {error}") from error
    if code >= 500:
        only = recipients[0] if len(recipients) == 1 else None
        hard = only is not None and is_hard(text, at_address=False)
        raise NeverMail(f"{code} {text}", {only: f"{code} {text}"} if only and hard else {})
    if code >= 300:
        raise NotNow(f"the mail server does not take mail now: {code} {text}")


def _expect(reply: tuple[int, bytes], wanted: int = 250) -> None:
    code, text = _answer(reply)
    if code != wanted:
        raise NotNow(f"the mail server does not take mail now: {code} {text}")


def _answer(reply: tuple[int, bytes]) -> tuple[int, str]:
    code, text = reply[0], " ".join(reply[1].decode(errors="replace").split())
    if code == 421:
        raise _Leaving(f"421 {text}")
    return code, text


def _listed(answers: dict[str, str]) -> str:
    return "; ".join(f"{address}: {answer}" for address, answer in answers.items())


_idle: list[tuple[float, str, smtplib.SMTP]] = []  # since when, where to
_lock = threading.Lock()
_sweeper: list[threading.Timer] = []


def _take(url: str) -> tuple[smtplib.SMTP, bool]:
    """A connection, and whether it was used before."""
    with _lock:
        for place in range(len(_idle) - 1, -1, -1):
            since, where, server = _idle[place]
            if where == url and monotonic() - since < KEEP:
                del _idle[place]
                return server, True
    return _connect(url), False


def _keep(url: str, server: smtplib.SMTP) -> None:
    with _lock:
        _idle.append((monotonic(), url, server))
        if not _sweeper:
            _look_later()


def _look_later() -> None:
    timer = threading.Timer(KEEP, _sweep, [KEEP])
    timer.daemon = True
    _sweeper[:] = [timer]
    timer.start()


def _sweep(age: float) -> None:
    """Close what has been idle for `age` seconds, and look again later while something is left."""
    with _lock:
        old = [each for each in _idle if monotonic() - each[0] >= age]
        _idle[:] = [each for each in _idle if each not in old]
        _sweeper.clear()
        if _idle:
            _look_later()
    for _, _, server in old:
        with contextlib.suppress(OSError):  # smtplib's errors are
            server.quit()


def _connect(url: str) -> smtplib.SMTP:
    """The server of a smtp_url, ready to take mail; NotNow when it is not."""
    where = urlsplit(url)
    host, port = where.hostname or "127.0.0.1", where.port or PORTS[where.scheme]
    try:
        if where.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
        else:
            server = smtplib.SMTP(host, port, timeout=TIMEOUT)
        try:
            if where.scheme == "smtp+starttls":
                server.starttls(context=ssl.create_default_context())
            if where.username:
                server.login(unquote(where.username), unquote(where.password or ""))
            server.ehlo_or_helo_if_needed()
        except BaseException:
            server.close()
            raise
    except OSError as error:  # all of smtplib's are
        raise NotNow(f"the mail server does not take mail now: {error}") from error
    return server
