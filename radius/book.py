"""What a node knows in memory: policies by login, NASes by address. Swapped entry by entry, never locked.

Only the event loop's thread changes a book, so that a login always sees whole entries.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self

from base.access import AccessPolicy
from radius.dialects import encode

_CACHED_ADDRESSES = 20_000  # addresses of a wide network are remembered up to this many


@dataclass(frozen=True, slots=True)
class Nas:
    """A NAS row: one address, or a network that stands for many."""

    id: int
    name: str
    network: IPv4Network | IPv6Network
    secret: bytes = field(repr=False)
    kind: str
    message_authenticator: str
    "'yes': required; 'no': never required; 'auto': required where its absence would be dangerous."


@dataclass(slots=True)
class Entry:
    """A policy with its password as octets and its answers, encoded once per kind of NAS."""

    policy: AccessPolicy
    password: bytes | None = field(repr=False)
    _answers: dict[str, bytes] = field(default_factory=dict, repr=False)

    def answer(self, kind: str) -> bytes:
        """The encoded attributes of an Access-Accept for this kind of NAS."""
        octets = self._answers.get(kind)
        if octets is None:
            octets = self._answers[kind] = encode(kind, self.policy)
        return octets


class Book:
    """Policies and NASes of one node."""

    def __init__(self) -> None:
        self.filled = False
        "False until a first whole reading: without a snapshot radius does not answer."
        self._by_login: dict[bytes, Entry] = {}
        self._by_service: dict[int, Entry] = {}
        self._nases: dict[int, Nas] = {}
        self._hosts: dict[IPv4Address | IPv6Address, Nas] = {}
        self._networks: list[Nas] = []
        self._by_address: dict[str, Nas | None] = {}

    def __len__(self) -> int:
        return len(self._by_service)

    def find_login(self, login: bytes) -> Entry | None:
        """The entry of a login, compared octet for octet."""
        return self._by_login.get(login)

    def find_nas(self, address: str) -> Nas | None:
        """The NAS row whose network holds this address; the narrowest wins."""
        try:
            return self._by_address[address]
        except KeyError:
            pass
        parsed = ip_address(address.partition("%")[0])
        found = self._hosts.get(parsed) or next((nas for nas in self._networks if parsed in nas.network), None)
        if len(self._by_address) >= _CACHED_ADDRESSES:
            self._by_address.clear()
        self._by_address[address] = found
        return found

    def policies(self) -> list[AccessPolicy]:
        """All policies, for the snapshot on disk."""
        return [entry.policy for entry in self._by_service.values()]

    def nases(self) -> list[Nas]:
        """All NAS rows."""
        return list(self._nases.values())

    def put_policies(self, policies: Iterable[AccessPolicy]) -> None:
        """Take newer policies; each replaces the one of its service, under whatever login that had."""
        for policy in policies:
            self._forget(policy.service_id)
            entry = Entry(policy, None if policy.password is None else policy.password.encode())
            self._by_service[policy.service_id] = entry
            self._by_login[policy.login.encode()] = entry

    def drop_policies(self, service_ids: Iterable[int]) -> None:
        """Forget services that no longer exist."""
        for service_id in service_ids:
            self._forget(service_id)

    def put_nases(self, nases: Iterable[Nas], *, gone: Iterable[int] = ()) -> None:
        """Take new or changed NAS rows, and forget those that are gone."""
        for nas in nases:
            self._nases[nas.id] = nas
        for nas_id in gone:
            self._nases.pop(nas_id, None)
        self._hosts = {nas.network[0]: nas for nas in self._nases.values() if nas.network.num_addresses == 1}
        wide = (nas for nas in self._nases.values() if nas.network.num_addresses > 1)
        self._networks = sorted(wide, key=lambda nas: -nas.network.prefixlen)
        self._by_address = {}

    @classmethod
    def of(cls, policies: Iterable[AccessPolicy], nases: Iterable[Nas]) -> Self:
        """A book of its own with a whole reading: made beside the event loop, which then only adopts it."""
        book = cls()
        book.put_policies(policies)
        book.put_nases(nases)
        return book

    def adopt(self, whole: "Book") -> None:
        """Become exactly that book, at once."""
        self._by_login, self._by_service = whole._by_login, whole._by_service
        self._nases, self._hosts, self._networks = whole._nases, whole._hosts, whole._networks
        self._by_address = {}
        self.filled = True

    def _forget(self, service_id: int) -> None:
        old = self._by_service.pop(service_id, None)
        if old is not None:
            login = old.policy.login.encode()
            if self._by_login.get(login) is old:
                del self._by_login[login]
