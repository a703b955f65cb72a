"""Programs that nobody here wrote: skipped where they are missing, a failure where CI promised them."""

import os
import shutil
from typing import NoReturn

import pytest

_MORE = "/usr/sbin:/sbin:/usr/local/sbin"  # hostapd and others live where an ordinary user does not look


def require_peer(program: str) -> str:
    """The path of a program; without it the test is skipped, and with CI=true it fails."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_MORE}")
    if path is None:
        miss(f"peer {program} is not installed")
    return path


def miss(what: str) -> NoReturn:
    """Skip the test because something is missing; with CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true promises it")
    pytest.skip(what)
