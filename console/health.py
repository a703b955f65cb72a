"""`tollkeeper health NAME`: what containers ask every few seconds. Whether a restart would help is the question, so the
portal is asked for a page, and every other process is judged by its sign of life (base.pulse), not by its database.
"""

import urllib.error
import urllib.request

from base import pulse
from base.settings import Settings

WEB = "web"
PROCESSES = ("radius", "ingest", "coa", WEB, "worker", "documents", "beat")
LIMIT = 30.0  # seconds without a sign of life; a loop that waits for a database turns every 10 s
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server on every address is asked


def complaint(config: Settings, process: str) -> str | None:
    """What is wrong with this process of this machine, in one sentence; None when it is well."""
    if process == WEB:
        return _ask_portal(config)
    age = pulse.age(config.data_dir, process)
    if age is None:
        return f"{process} has given no sign of life in {config.data_dir.resolve()} yet."
    if age > LIMIT:
        return f"{process} gave its last sign of life {age:.0f} s ago."
    return None


def _ask_portal(config: Settings) -> str | None:
    host = _EVERY_ADDRESS.get(config.web_host, config.web_host)
    url = f"http://[{host}]:{config.web_port}/healthz" if ":" in host else f"http://{host}:{config.web_port}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - http, and our own
            return None
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace").strip()
    except OSError as error:
        return f"{url} does not answer: {error}"
