"""Secrets at rest: keys made once, rotation by a new first line, wrong keys said in words."""

import stat
from multiprocessing import get_context

import pytest
from cryptography.fernet import Fernet

from base.crypto import SecretsUnavailable, Vault, check_password, hash_password, open_vault, random_password


def test_the_key_file_is_made_for_its_owner_only(tmp_path):
    path = tmp_path / "secrets" / "keys"
    vault = open_vault(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert vault.unlock_text(vault.lock("s3cret ü")) == "s3cret ü"
    assert b"s3cret" not in vault.lock("s3cret ü")


def _lock(path, word):
    return open_vault(path).lock(word)


def test_processes_that_start_together_share_one_key(tmp_path):
    path = tmp_path / "keys"
    with get_context("spawn").Pool(4) as pool:
        tokens = pool.starmap(_lock, [(path, f"word {n}") for n in range(8)])
    assert [open_vault(path).unlock_text(token) for token in tokens] == [f"word {n}" for n in range(8)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


def test_rotation_keeps_old_secrets_readable():
    old, new = Fernet.generate_key(), Fernet.generate_key()
    token = Vault([old]).lock("word")
    both = Vault([new, old])
    assert both.unlock_text(token) == "word"
    assert Vault([new]).unlock_text(both.lock("word")) == "word"
    with pytest.raises(SecretsUnavailable, match="another installation"):
        Vault([new]).unlock(token)


@pytest.mark.parametrize(("content", "words"), [("", "holds no key"), ("nonsense\n", "not a key")])
def test_a_spoilt_key_file_is_explained(tmp_path, content, words):
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SecretsUnavailable, match=words):
        open_vault(path)


def test_a_key_file_for_everybody_is_refused(tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(Fernet.generate_key())
    path.chmod(0o644)
    with pytest.raises(SecretsUnavailable, match="chmod 600"):
        open_vault(path)


def test_passwords():
    hashed = hash_password("correct horse")
    assert hashed.startswith("$argon2id$")
    assert check_password(hashed, "correct horse")
    assert not check_password(hashed, "wrong")
    assert not check_password(None, "anything")
    assert not check_password("no hash at all", "anything")
    assert random_password() != random_password()
