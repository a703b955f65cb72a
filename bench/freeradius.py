"""The peer: Debian's FreeRADIUS 3 as a process of ours, single-threaded, on a static users file.

Its folder is a copy of Debian's in which one site remains, that does nothing but what the task needs: files and pap,
and detail for accounting. Debian's own site does the same and more (realms, digests, checks of the name) and is a
little slower; nobody is to be beaten for politeness.
"""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.datagrams import POOL, RATE_DOWN, RATE_UP, SECRET, login_of, password_of
from bench.process import Process
from radius.dialects import class_value

_DEBIAN = Path("/etc/freeradius/3.0")
_MODULES = {"always", "detail", "expr", "files", "pap"}
_OURS = {"raddbdir": "raddb", "logdir": "log", "run_dir": "run", "db_dir": "run"}

_SITE = """
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {auth_port}
        recv_buff = 1048576
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {acct_port}
        recv_buff = 1048576
    }}
    authorize {{
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
    }}
    accounting {{
        detail
    }}
}}
"""
_CLIENT = """
client loopback {{
    ipaddr = 127.0.0.0/8
    secret = {secret}
    require_message_authenticator = yes
}}
"""
_USER = """{login} Cleartext-Password := "{password}"
\tMikrotik-Rate-Limit = "{up}M/{down}M",
\tFramed-Pool = "{pool}",
\tAcct-Interim-Interval = 300,
\tClass = 0x{mark},
\tMessage-Authenticator := 0x00
"""


def find_freeradius() -> str | None:
    """The program's path, or None where it or its configuration is missing or may not be read."""
    program = shutil.which("freeradius") or shutil.which("freeradius", path="/usr/sbin")
    if program is None:
        return None
    try:
        (_DEBIAN / "radiusd.conf").read_bytes()
    except OSError:
        return None
    return program


def version_of(program: str) -> str:
    """'FreeRADIUS 3.2.1'."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"FreeRADIUS Version ([\d.]+\d)", said)
    return f"FreeRADIUS {found[1]}" if found else "FreeRADIUS"


class FreeRadius:
    """FreeRADIUS for `services` services, configured in the new folder `folder` and started on demand."""

    def __init__(self, program: str, folder: Path, services: int, core: int) -> None:
        self.name, self.services = version_of(program), services
        self._program, self._folder, self._core = program, folder, core
        self.auth_port, self.acct_port = _free_ports()
        self._configure()

    @contextmanager
    def started(self) -> Iterator[Process]:
        """The process, single-threaded and in the foreground, on the servers' core."""
        argv = [self._program, "-s", "-l", "stdout", "-d", str(self._folder / "raddb")]
        with Process(argv, self._core, self._folder / "output") as process:
            yield process

    def _configure(self) -> None:
        raddb = self._folder / "raddb"
        shutil.copytree(_DEBIAN, raddb, symlinks=True)
        for name in ("log", "run"):
            (self._folder / name).mkdir()
        for link in [*(raddb / "mods-enabled").iterdir(), *(raddb / "sites-enabled").iterdir()]:
            if link.parent.name == "sites-enabled" or link.name not in _MODULES:
                link.unlink()
        main = (raddb / "radiusd.conf").read_text()
        for name, place in _OURS.items():
            main = re.sub(rf"^{name} = .*$", f"{name} = {self._folder / place}", main, flags=re.M)
        main = re.sub(r"^\s*(user|group) = .*$", "", main, flags=re.M)  # whoever runs the bench
        main = re.sub(r"^proxy_requests\s*=.*$", "proxy_requests = no", main, flags=re.M)  # no socket but ours
        main = re.sub(r"^\$INCLUDE proxy\.conf$", "", main, flags=re.M)
        (raddb / "radiusd.conf").write_text(main)
        (raddb / "clients.conf").write_text(_CLIENT.format(secret=SECRET.decode()))
        site = _SITE.format(auth_port=self.auth_port, acct_port=self.acct_port)
        (raddb / "sites-enabled" / "bench").write_text(site)
        with (raddb / "mods-config" / "files" / "authorize").open("w") as users:
            for service in range(self.services):
                users.write(_user(service))


def _user(service: int) -> str:
    login = login_of(service)
    return _USER.format(
        login=login,
        password=password_of(login),
        up=RATE_UP // 1_000_000,
        down=RATE_DOWN // 1_000_000,
        pool=POOL,
        mark=class_value(service + 1, 1).hex(),
    )


def _free_ports() -> tuple[int, int]:
    """Two UDP ports of loopback that are free just now; FreeRADIUS binds its own."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
