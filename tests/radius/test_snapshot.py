"""The snapshot on local disk, and the reading of the database that fills it."""

import gc
import json
import stat
import zlib

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import delete
from structlog.testing import capture_logs

from base import feed
from base.access import AccessLevel, Extra
from base.crypto import Vault
from base.database import transaction
from base.tables import nas as nas_table
from base.tables import policy as policy_table
from billing.services import set_staff_order
from radius.book import Book
from radius.snapshot import (
    FORMAT,
    Changes,
    Contents,
    NewerSnapshot,
    difference,
    read_changes,
    read_contents,
    restore,
    save,
    without_collecting,
)
from tests.radius.nas import SECRET, policy
from tests.radius.provider import provide
from tests.radius.test_exchange import nas

PEOPLE = [
    policy(1, login="ann", pool="home"),
    policy(2, login="bob ü", level=AccessLevel.WALLED, address="192.0.2.9", address_list="wall", session_timeout=5),
    policy(3, login="nobody", password=None, level=AccessLevel.BLOCKED),
    policy(4, login="quick", burst_rate_down=200_000_000, extras=(Extra("Filter-Id", "x", ("mikrotik",)),)),
]
NASES = [nas("192.0.2.0/24", 1), nas("2001:db8::1", 2, kind="cisco", rule="yes")]


@pytest.fixture
def vault():
    return Vault([Fernet.generate_key()])


def test_it_comes_back_as_it_was(tmp_path, vault):
    save(tmp_path / "snapshot", vault, PEOPLE, NASES)
    kept = restore(tmp_path / "snapshot", vault)
    assert (kept.policies, kept.nases, kept.position) == (PEOPLE, NASES, 0)
    assert type(kept.policies[1].level) is AccessLevel


def test_the_collector_is_held_back():
    with without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_difference_makes_a_book_what_was_read():
    book = Book.of(PEOPLE, NASES)
    assert not difference(book, Contents(PEOPLE[::-1], NASES[::-1], 5))
    changed = policy(2, login="bob ü", version=2)
    found = difference(book, Contents([policy(5, login="new"), changed, PEOPLE[0]], [NASES[1]], 6))
    assert found == Changes([policy(5, login="new"), changed], [3, 4], [], [1])


def test_nobody_else_can_read_it(tmp_path, vault):
    path = tmp_path / "snapshot"
    save(path, vault, PEOPLE, NASES)
    save(path, vault, PEOPLE, NASES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    octets = path.read_bytes()
    for word in (b"ann", b"bob", b"home", SECRET, SECRET.hex().encode(), "pässword".encode(), b"policies"):
        assert word not in octets
    assert [entry.name for entry in tmp_path.iterdir()] == ["snapshot"]


def test_without_a_file_there_is_none(tmp_path, vault):
    with capture_logs() as logs:
        assert restore(tmp_path / "snapshot", vault) is None
    assert logs == []


@pytest.mark.parametrize("damage", [lambda octets: octets[:-5], lambda octets: b"", lambda octets: b"\0" * 100])
def test_a_damaged_one_is_none_and_said(tmp_path, vault, damage):
    path = tmp_path / "snapshot"
    save(path, vault, PEOPLE, NASES)
    path.write_bytes(damage(path.read_bytes()))
    with capture_logs() as logs:
        assert restore(path, vault) is None
    assert [entry["alarm"] for entry in logs] == ["snapshot_not_readable"]


def test_one_of_another_installation_is_none_and_said(tmp_path, vault):
    save(tmp_path / "snapshot", vault, PEOPLE, NASES)
    with capture_logs() as logs:
        assert restore(tmp_path / "snapshot", Vault([Fernet.generate_key()])) is None
    assert [entry["alarm"] for entry in logs] == ["snapshot_not_readable"]


def test_one_of_a_newer_release_is_refused_by_name(tmp_path, vault, monkeypatch):
    monkeypatch.setattr("radius.snapshot.FORMAT", FORMAT + 1)
    save(tmp_path / "snapshot", vault, PEOPLE, NASES)
    monkeypatch.undo()
    with pytest.raises(NewerSnapshot, match=f"format {FORMAT + 1}, this release reads up to {FORMAT}"):
        restore(tmp_path / "snapshot", vault)


def test_one_of_the_release_before_is_read_and_written_where_nothing_newer_is_used(tmp_path, vault):
    before = {
        "service_id": 1, "version": 1, "level": 0, "login": "ann", "password": "pässword", "rate_down": 100_000_000,
        "rate_up": 20_000_000, "pool": "home", "address": None, "address_list": None, "session_timeout": None,
        "interim_interval": 300,
    }  # fmt: skip
    lines = [json.dumps(each) for each in ({"format": 1, "nases": []}, before)]
    path = tmp_path / "snapshot"
    path.write_bytes(vault.lock(zlib.compress("\n".join(lines).encode())))
    assert restore(path, vault).policies == PEOPLE[:1]
    save(path, vault, PEOPLE[:1], [])
    head, line = map(json.loads, zlib.decompress(vault.unlock(path.read_bytes())).splitlines())
    assert head["format"] == 1
    assert line == before


def test_a_crash_while_writing_leaves_the_old_one(tmp_path, vault):
    save(tmp_path / "snapshot", vault, PEOPLE[:1], NASES)
    (tmp_path / "snapshot.new").write_bytes(b"half of it")
    assert restore(tmp_path / "snapshot", vault).policies == PEOPLE[:1]


def follow(database):
    """A whole reading, and a function that reads what changed since it was called last."""
    with transaction(database.engine) as tx:
        contents = read_contents(tx, database.vault)
    cursor = feed.Cursor(contents.position)

    def read():
        with transaction(database.engine) as tx:
            return read_changes(tx, database.vault, cursor)

    read()  # what another transaction on this server held back is told once more
    return contents, read


class TestDatabase:
    def test_everything_is_read(self, database):
        nas_id = provide(database.engine, database.vault, "ann", "bob", network="192.0.2.0/24")
        with transaction(database.engine) as tx:
            contents = read_contents(tx, database.vault)
        assert [(each.login, each.password, each.rate_down) for each in contents.policies] == [
            ("ann", "pw-ann", 100_000_000),
            ("bob", "pw-bob", 100_000_000),
        ]
        (read,) = contents.nases
        assert (read.id, str(read.network), read.secret, read.kind) == (nas_id, "192.0.2.0/24", SECRET, "mikrotik")
        assert SECRET.decode() not in repr(read)

    def test_what_changed_is_read_once(self, database):
        provide(database.engine, database.vault, "ann", "bob")
        contents, read = follow(database)
        ann = contents.policies[0]
        assert not read()
        with transaction(database.engine) as tx:
            set_staff_order(tx, database.vault, "staff:1", ann.service_id, "blocked", "")
        changes = read()
        assert [(each.login, each.level, each.version) for each in changes.policies] == [
            ("ann", AccessLevel.BLOCKED, 2)
        ]
        assert (changes.services_gone, changes.nases, changes.nases_gone) == ([], [], [])
        assert not read()

    def test_a_change_that_commits_late_is_not_skipped(self, database):
        provide(database.engine, database.vault, "ann", "bob")
        contents, read = follow(database)
        ann, bob = contents.policies
        with database.engine.begin() as slow:
            set_staff_order(slow, database.vault, "staff:1", ann.service_id, "suspended", "")
            with transaction(database.engine) as tx:
                set_staff_order(tx, database.vault, "staff:1", bob.service_id, "suspended", "")
            assert [each.login for each in read().policies] == ["bob"]
        assert [each.login for each in read().policies] == ["ann"]
        assert not read()

    def test_what_is_gone_is_said(self, database):
        nas_id = provide(database.engine, database.vault, "ann")
        contents, read = follow(database)
        service_id = contents.policies[0].service_id
        with transaction(database.engine) as tx:
            tx.execute(delete(policy_table))
            tx.execute(delete(nas_table))
            feed.publish(tx, "policy", [service_id])
            feed.publish(tx, "nas", [nas_id])
        changes = read()
        assert (changes.services_gone, changes.nases_gone) == ([service_id], [nas_id])
        book = Book.of(contents.policies, contents.nases)
        book.drop_policies(changes.services_gone)
        book.put_nases(changes.nases, gone=changes.nases_gone)
        assert (len(book), book.nases(), book.find_login(b"ann")) == (0, [], None)
