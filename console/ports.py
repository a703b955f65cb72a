"""Who holds a port that we want: found in /proc, so that a newcomer is told a name instead of a number."""

import errno
import os
import socket
from pathlib import Path


class Taken(Exception):
    """A port is taken; the message says by whom, and which setting moves us."""

    def __init__(self, kind: str, host: str, port: int, setting: str, holder: str) -> None:
        super().__init__(
            f"{kind} port {port} on {host} is taken by {holder}; end it, or move us with the setting {setting} "
            f"(TOLLKEEPER_{setting.upper()}), or all ports with --port-offset N"
        )
        self.holder = holder


def bind_udp(host: str, port: int, setting: str) -> socket.socket:
    """A bound UDP socket with a large buffer; never shared with a second server, which must fail loudly."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise Taken("UDP", host, port, setting, holder("udp", port)) from None
        raise
    return sock


def require_free_tcp(host: str, port: int, setting: str) -> None:
    """Raise Taken when somebody listens on this TCP port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # our own last run may linger in TIME_WAIT
        try:
            sock.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Taken("TCP", host, port, setting, holder("tcp", port)) from None
            raise


def holder(protocol: str, port: int) -> str:
    """'process 4711 (nginx)', or what is known when the process belongs to somebody else."""
    inodes = set()
    for table in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            state_counts = protocol == "udp" or columns[3] == "0A"  # 0A: LISTEN
            if int(columns[1].rpartition(":")[2], 16) == port and state_counts:
                inodes.add(f"socket:[{columns[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                if os.readlink(descriptor.path) in inodes:
                    return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
        except OSError:
            continue
    return "a process of another user"


def free_offset(ports: list[int], start: int = 20_000) -> int:
    """An offset at which all of these ports are free on loopback, over TCP and UDP, just now."""
    for offset in range(start, 64_000 - max(ports), 97):
        if all(_is_free(port + offset) for port in ports):
            return offset
    raise OSError(errno.EADDRINUSE, "no free ports on loopback")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
