"""The book's contents: read from the database whole or by changes, and kept on local disk for a start without it.

The file is encrypted with the vault's keys, readable by its owner only, and carries a format number.
"""

import gc
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from pathlib import Path

from sqlalchemy import Connection, func, select

from base import feed
from base.access import AccessPolicy, read_obeyed
from base.crypto import SecretsUnavailable, Vault
from base.log import alarm
from base.policies import read_policies
from base.tables import nas as nas_table
from radius.book import Book, Nas

FORMAT = 2
"1 had neither bursts nor extra attributes; a file without them is still written as 1, so that a node can go back."


class NewerSnapshot(Exception):
    """The snapshot on disk was written by a newer release; this one does not guess what it means."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything a node needs, as of a feed position."""

    policies: list[AccessPolicy]
    nases: list[Nas]
    position: int
    "Feed position: every transaction below it is contained."


@dataclass(frozen=True, slots=True)
class Changes:
    """What to put into the book to get from one feed position to the next."""

    policies: list[AccessPolicy]
    services_gone: list[int]
    nases: list[Nas]
    nases_gone: list[int]

    def __bool__(self) -> bool:
        return bool(self.policies or self.services_gone or self.nases or self.nases_gone)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Hold back Python's collector of cycles while many policies are taken in: a pass over 100,000 takes 80 ms."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def read_contents(tx: Connection, vault: Vault) -> Contents:
    """A whole reading. The position is taken first: what commits meanwhile is read again by its change."""
    position = feed.horizon(tx)
    return Contents(read_policies(tx, vault), _read_nases(tx, vault, None), position)


def read_changes(tx: Connection, vault: Vault, cursor: feed.Cursor) -> Changes:
    """What changed since the cursor read last; rows are read as they are now, which is never older."""
    changes = cursor.read(tx)
    services = sorted({change.subject_id for change in changes if change.kind == "policy"})
    nas_ids = sorted({change.subject_id for change in changes if change.kind == "nas"})
    policies = read_policies(tx, vault, services) if services else []
    nases = _read_nases(tx, vault, nas_ids) if nas_ids else []
    return Changes(
        policies=policies,
        services_gone=sorted(set(services) - {policy.service_id for policy in policies}),
        nases=nases,
        nases_gone=sorted(set(nas_ids) - {nas.id for nas in nases}),
    )


def difference(book: Book, contents: Contents) -> Changes:
    """What to put into the book so that it holds what a whole reading found."""
    policies = {policy.service_id: policy for policy in book.policies()}
    nases = {nas.id: nas for nas in book.nases()}
    return Changes(
        policies=[policy for policy in contents.policies if policies.pop(policy.service_id, None) != policy],
        services_gone=sorted(policies),
        nases=[nas for nas in contents.nases if nases.pop(nas.id, None) != nas],
        nases_gone=sorted(nases),
    )


def save(path: Path, vault: Vault, policies: Sequence[AccessPolicy], nases: Sequence[Nas]) -> None:
    """Write the snapshot file so that a crash leaves either the old or the new one."""
    # Line by line: one call for 100,000 services would keep the interpreter from answering logins meanwhile.
    packer = zlib.compressobj(1)
    packed = [packer.compress(line.encode() + b"\n") for line in _lines(policies, nases)]
    octets = vault.lock(b"".join(packed) + packer.flush())
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Path, vault: Vault) -> Contents | None:
    """The snapshot file's contents (position 0: everything is still to be read), or None when there is none to use."""
    try:
        octets = vault.unlock(path.read_bytes())
    except FileNotFoundError:
        return None
    except SecretsUnavailable:
        alarm("snapshot_not_readable", path=str(path))
        return None
    lines = zlib.decompress(octets).splitlines()
    head = json.loads(lines[0])
    if head["format"] > FORMAT:
        raise NewerSnapshot(
            f"{path} has format {head['format']}, this release reads up to {FORMAT}: start the release that wrote "
            "it, or delete the file and start while the database is reachable"
        )
    nases = [
        Nas(**{**each, "network": ip_network(each["network"]), "secret": bytes.fromhex(each["secret"])})
        for each in head["nases"]
    ]
    policies = [AccessPolicy(**read_obeyed(each)) for each in map(json.loads, lines[1:])]
    return Contents(policies, nases, 0)


def _lines(policies: Sequence[AccessPolicy], nases: Sequence[Nas]) -> Iterator[str]:
    """The format number and the NASes, then one service per line."""
    stored = [{**asdict(nas), "network": str(nas.network), "secret": nas.secret.hex()} for nas in nases]
    newer = any(policy.burst_rate_down or policy.burst_rate_up or policy.extras for policy in policies)
    yield json.dumps({"format": FORMAT if newer else 1, "nases": stored})
    for policy in policies:
        own = {"service_id": policy.service_id, "version": policy.version}
        yield json.dumps({**own, "login": policy.login, "password": policy.password, **policy.obeyed()})


def _read_nases(tx: Connection, vault: Vault, nas_ids: Sequence[int] | None) -> list[Nas]:
    query = select(nas_table)
    if nas_ids is not None:
        query = query.where(nas_table.c.id == func.any(list(nas_ids)))
    return [
        Nas(
            id=row.id,
            name=row.name,
            network=ip_network(str(row.network)),
            secret=vault.unlock(row.secret),
            kind=row.kind,
            message_authenticator=row.message_authenticator,
        )
        for row in tx.execute(query)
    ]
