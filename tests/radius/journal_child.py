"""Processes that the tests of the journal start: they write until something real goes wrong.

usage: journal_child.py write FOLDER            append for ever, one line per acknowledged record
       journal_child.py limited FOLDER BYTES    no file may grow above BYTES
       journal_child.py tmpfs FOLDER            a disk that is full, then has room again; needs a mount namespace
       journal_child.py loop FOLDER             a disk whose syncs fail, then work again; the same, as root
       journal_child.py power FOLDER            a power cut; the same
Each but the first ends with one line of JSON.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from radius.journal import Callback, Journal
from radius.journal_format import START, Record, RecordKind
from radius.journal_reader import read

SIZE = 1000


def run_all(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        callback()


def write(folder: Path) -> None:
    with Journal(folder, run_all, segment_bytes=200_000) as journal:
        for number in range(10**9):
            acknowledge = partial(os.write, 1, b"%d\n" % number)
            while not journal.append(RecordKind.ACCOUNTING, number, bytes(SIZE), acknowledge):
                sleep(0.001)
            if number % 20 == 0:
                sleep(0.0005)


def fail_and_recover(folder: Path, recover: Callable[[], object]) -> None:
    """Append until a segment has failed, recover, append until acknowledged again; print what happened."""
    acknowledged: list[int] = []
    at_failure: list[int] = []
    seen = threading.Event()

    def post(callbacks: list[Callback]) -> None:
        run_all(callbacks)
        seen.set()

    with Journal(folder, post, first_retry=0.05) as journal:
        number, deadline = 0, monotonic() + 20
        while monotonic() < deadline:
            seen.clear()
            journal.append(RecordKind.ACCOUNTING, number, bytes(SIZE), partial(acknowledged.append, number))
            number += 1
            while not seen.wait(0.001) and (journal.state().failed is None or at_failure):
                if monotonic() > deadline:
                    break
            if journal.state().failed and not at_failure:
                at_failure = [number - 1]
                failed = journal.state()
                recover()
            if at_failure and acknowledged and acknowledged[-1] > at_failure[0] + 20:
                break
    items = list(read(folder, START))
    result = {
        "acknowledged": acknowledged,
        "failed_at": at_failure,
        "failed": asdict(failed),
        "end": asdict(journal.state()),
        "read": [(item.at_us, place.segment) for item, place in items if isinstance(item, Record)],
        "gaps": [(item.cause.name, item.begin.segment) for item, _ in items if not isinstance(item, Record)],
    }
    print(json.dumps(result))


def limited(folder: Path, size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    fail_and_recover(folder, lambda: None)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def tmpfs(folder: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=1m", "none", folder)
    others = folder / "others"
    others.write_bytes(bytes(900 << 10))
    fail_and_recover(folder / "journal", others.unlink)


def loop_mount(folder: Path, *, size: str, features: str) -> Path:
    """Mount an ext4 image that promises 32 MiB and lies on a tmpfs of `size`."""
    mount("-t", "tmpfs", "-o", f"size={size}", "none", folder)
    image, disk = folder / "image", folder / "disk"
    image.touch()
    os.truncate(image, 32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", features, "-m", "0", "-E", "nodiscard", image], check=True)
    disk.mkdir()
    mount("-o", "loop", image, disk)
    return disk


def loop(folder: Path) -> None:
    # The write goes to the page cache and succeeds; the sync finds no room below, once: a second one would succeed.
    disk = loop_mount(folder, size="700k", features="^has_journal")
    fail_and_recover(disk / "journal", lambda: mount("-o", "remount,size=40m", folder))
    subprocess.run(["umount", disk], check=True)


def power(folder: Path) -> None:
    disk = loop_mount(folder, size="100m", features="has_journal")
    writer = subprocess.Popen([sys.executable, __file__, "write", disk / "journal"], stdout=subprocess.PIPE)
    assert writer.stdout
    lines = [writer.stdout.readline() for _ in range(600)]
    writer.kill()
    lines += writer.stdout.readlines()
    writer.wait()
    # What the disk has got now is what a power cut would leave.
    after, image = folder / "after", folder / "image"
    subprocess.run(["cp", "--sparse=always", image, folder / "image-after"], check=True)
    after.mkdir()
    mount("-o", "loop", folder / "image-after", after)
    items = [item for item, _ in read(after / "journal", START)]
    print(
        json.dumps(
            {
                "acknowledged": [int(line) for line in lines if line.endswith(b"\n")],
                "read": [item.at_us for item in items if isinstance(item, Record)],
                "gaps": [item.cause.name for item in items if not isinstance(item, Record)],
            }
        )
    )
    subprocess.run(["umount", disk, after], check=True)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends with whoever reads its lines
    mode, where, *rest = sys.argv[1:]
    globals()[mode](Path(where), *map(int, rest))
