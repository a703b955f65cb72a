"""One subscriber's two months, played on real parts: `./run story`.

It starts an installation of its own, looks at it only from outside (packets that a simulated NAS received, pages that a
browser saw, rows that it read), prints what happened with measured milliseconds, and ends it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from base.process import die_with_parent
from base.settings import PREFIX, Settings
from console.ports import free_offset

PATIENCE = 30.0  # seconds that any one thing may take


class StoryBroken(Exception):
    """Something did not happen; the message says what was waited for."""


@dataclass
class Outcome:
    """What the story measured, as `--json` prints it."""

    login_rate: str = ""
    walled: bool = False
    paid: bool = False
    restored: bool = False
    suspend_ms: int = -1
    pay_to_restore_ms: int = -1


class Installation:
    """A whole Tollkeeper in a temporary folder on free ports."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "output"
        environment = _environment(folder)
        os.environ.update(environment)  # this process reads the same settings as the installation
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                die_with_parent([sys.executable, "-m", "console", "start", "--sandbox", "--empty"], signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """Return when it says that it is up; with its own words when it does not come up."""
        deadline = time.monotonic() + 90
        while "Tollkeeper is up" not in self._log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StoryBroken(f"the installation did not come up:\n{self._log.read_text()}")
            time.sleep(0.02)

    def last_words(self) -> str:
        """The last lines of every log, for whoever has to find out what went wrong."""
        blocks = []
        for log in sorted((self._folder / "var" / "log").glob("*.log")):
            blocks.append("\n".join([f"--- {log.stem}", *log.read_text(errors="replace").splitlines()[-8:]]))
        return "\n".join(blocks)

    def end(self) -> None:
        """Stop every process of it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _environment(folder: Path) -> dict[str, str]:
    names = [name for name in Settings.model_fields if name.endswith("_port")]
    defaults = {name: int(Settings.model_fields[name].default) for name in names}
    offset = free_offset(list(defaults.values()), 20_000 + (os.getpid() * 61) % 25_000)
    return {
        **{f"{PREFIX}{name.upper()}": str(port + offset) for name, port in defaults.items()},
        f"{PREFIX}DATA_DIR": str(folder / "var"),
        f"{PREFIX}SANDBOX": "true",
        f"{PREFIX}RADIUS_HOSTS": "127.0.0.1",
        f"{PREFIX}PUBLIC_URL": f"http://127.0.0.1:{defaults['web_port'] + offset}",
        f"{PREFIX}TRUSTED_PROXIES": "127.0.0.1/32",
    }


class Timeline:
    """Prints each thing that happened, when in the story and how long it took in reality."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = time.monotonic()

    def tell(self, now: datetime, what: str) -> None:
        """One line."""
        took = (time.monotonic() - self._last) * 1000
        self._last = time.monotonic()
        self._say(f"  {now:%a %d %b %Y}  {took:7.0f} ms  {what}")


def play(say: Callable[[str], None], between: Callable[[int, str], None] = lambda _pid, _scene: None) -> Outcome:
    """Play the story and return what it measured; raises StoryBroken.

    `between` is called with the supervisor's process id and the name of the scene that is about to begin.
    """
    with tempfile.TemporaryDirectory(prefix="tollkeeper-story-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - the database's account must reach its folder below
        installation = Installation(Path(folder))
        try:
            installation.wait_until_up()
            from console.plot import Plot

            return Plot(Timeline(say)).play(partial(between, installation.process.pid))
        except (StoryBroken, OSError, LookupError) as error:
            raise StoryBroken(f"{error}\n\n{installation.last_words()}") from error
        finally:
            installation.end()


def until(what: str, look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Look until something is there, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise StoryBroken(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.01)


def milliseconds(start: datetime, end: datetime) -> int:
    """From one real instant to another."""
    return round((end.astimezone(UTC) - start.astimezone(UTC)).total_seconds() * 1000)


def run(*, as_json: bool) -> int:
    """The command: a timeline, with `--json` one line at the end; 0 when the story ended well."""
    click.echo("One subscriber's two months, on real parts:\n")
    try:
        outcome = play(click.echo)
    except StoryBroken as broken:
        click.echo(f"\nThe story broke: {broken}", err=True)
        return 1
    if as_json:
        click.echo(json.dumps(outcome.__dict__))
    else:
        click.echo(
            f"\nSuspended {outcome.suspend_ms} ms after the decision was committed; "
            f"restored {outcome.pay_to_restore_ms} ms after Stripe's webhook arrived."
        )
    return 0
