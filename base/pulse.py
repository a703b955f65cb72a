"""Signs of life: a process touches a file of its own while its loop turns, and others see how long ago that was.

A file, because it needs nothing that a restart of the process could not mend: with the database away a process is
alive and waits for it. Whether the house works as a whole, /healthz and `tollkeeper doctor` say.
"""

import contextlib
import time
from pathlib import Path

EVERY = 1.0  # seconds between two touches, however fast the loop turns

_touched: dict[Path, float] = {}


def beat(data_dir: Path, name: str) -> None:
    """Touch the file of process `name`, at most once a second; where the disk refuses, the age tells."""
    path = _path(data_dir, name)
    now = time.monotonic()
    if now - _touched.get(path, -EVERY) < EVERY:
        return
    _touched[path] = now
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def age(data_dir: Path, name: str) -> float | None:
    """Seconds since the last touch; None when there was none."""
    try:
        return time.time() - _path(data_dir, name).stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


def _path(data_dir: Path, name: str) -> Path:
    return data_dir / "run" / name
