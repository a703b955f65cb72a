"""The mail sink: an SMTP server on loopback that keeps every mail as a file and delivers none.

`python -m sandbox.mail` serves; `read_all(folder())` is what has arrived.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from base.settings import WrongSetting, settings

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that has arrived."""

    file: Path
    subject: str
    sender: str
    to: str
    date: datetime | None
    "As the sender dated it, in the provider's business time; None where it says none."
    text: str
    "The plain-text body."
    attachments: tuple[str, ...]
    "File names."


def folder() -> Path:
    """Where the sink keeps its mails."""
    return settings().data_dir / "sandbox" / "mail"


def read_all(folder: Path) -> list[Mail]:
    """Every mail in the folder, newest first; none when there is no folder yet."""
    return [_read(file) for file in sorted(folder.glob("*.eml"), reverse=True)]


def serve() -> None:
    """Take mail on 127.0.0.1:sandbox_mail_port until SIGTERM or SIGINT. WrongSetting when the sandbox is off."""
    config = settings()
    if not config.sandbox:
        raise WrongSetting(
            "The mail sink keeps mails from everybody; it runs only in the sandbox (TOLLKEEPER_SANDBOX=true)."
        )
    asyncio.run(_serve(config.sandbox_mail_port, folder()))


async def _serve(port: int, into: Path) -> None:
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sink = _Sink(into)
    try:
        server = await loop.create_server(lambda: SMTP(sink, hostname="sandbox", enable_SMTPUTF8=True), HOST, port)
    except OSError as error:
        raise WrongSetting(
            f"Setting sandbox_mail_port (TOLLKEEPER_SANDBOX_MAIL_PORT) is {port}: {error.strerror}."
        ) from None
    print(f"The mail sink listens on {HOST}:{port} and keeps its mails in {into}.", flush=True)
    await stop.wait()
    server.close()


class _Sink:
    """aiosmtpd's handler: a mail is a file before the sender hears 250."""

    def __init__(self, into: Path) -> None:
        self._into = into

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        with _part(self._into) as part:
            part.write_bytes(content)
            part.rename(self._into / f"{time.time_ns():020d}-{secrets.token_hex(4)}.eml")
        return "250 kept"


@contextlib.contextmanager
def _part(into: Path) -> Iterator[Path]:
    """A file that readers do not see yet, gone when it was not renamed."""
    part = into / f".{os.getpid()}.{secrets.token_hex(8)}"
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _read(file: Path) -> Mail:
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("plain",))
    date = mail["Date"]
    return Mail(
        file=file,
        subject=str(mail["Subject"] or ""),
        sender=str(mail["From"] or ""),
        to=str(mail["To"] or ""),
        date=None if date is None else date.datetime,
        text="" if body is None else body.get_content().replace("\r\n", "\n"),
        attachments=tuple(part.get_filename() or "unnamed" for part in mail.iter_attachments()),
    )


if __name__ == "__main__":
    try:
        serve()
    except WrongSetting as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(2)
