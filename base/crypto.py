"""Secrets at rest: NAS secrets, reversible subscriber passwords and API keys under rotating keys; logins under argon2.

The key file holds one Fernet key per line, newest first: the first encrypts, all decrypt.
"""

import hmac
import os
import secrets
import stat
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

# argon2 takes 64 MiB and a core for 0.1 s: bounded, so that a login flood cannot take the machine.
_argon_slots = BoundedSemaphore(2)
_hasher = PasswordHasher()


class SecretsUnavailable(Exception):
    """The keys cannot be read or do not fit the data; the message says which file and what to do."""


class Vault:
    """Encrypts and decrypts with the keys of one file."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        """Never the keys."""
        return "<Vault>"

    def lock(self, secret: str | bytes) -> bytes:
        """Encrypt; text as UTF-8."""
        return self._fernet.encrypt(secret.encode() if isinstance(secret, str) else secret)

    def unlock(self, token: bytes) -> bytes:
        """Decrypt, or raise SecretsUnavailable when no key fits."""
        try:
            return self._fernet.decrypt(bytes(token))
        except InvalidToken:
            raise SecretsUnavailable(
                "a stored secret cannot be decrypted: the keys file belongs to another installation or lost a line; "
                "restore it from the backup"
            ) from None

    def digests(self, secret: str, purpose: str) -> list[bytes]:
        """HMAC-SHA256 of a secret that is only ever compared, under a key per purpose derived from each key.

        The newest key's comes first and is the one to store; whoever looks a secret up compares with all, so that what
        was stored before a rotation is found as long as its key's line stays.
        """
        derived = (hmac.digest(key, f"tollkeeper: {purpose}".encode(), "sha256") for key in self._keys)
        return [hmac.digest(key, secret.encode(), "sha256") for key in derived]

    def unlock_text(self, token: bytes) -> str:
        """Decrypt UTF-8 text."""
        return self.unlock(token).decode()


@cache
def open_vault(path: Path) -> Vault:
    """The vault under the keys of `path`, which is made on first use, readable by its owner only."""
    return Vault(_read_keys(path))


def _read_keys(path: Path) -> list[bytes]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make_keys(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007:
            raise SecretsUnavailable(f"{path} can be read by everybody (mode {mode:o}); run: chmod 600 {path}")
        keys = [line.strip().encode() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise SecretsUnavailable(f"cannot read the encryption keys in {path}: {error.strerror}") from error
    if not keys:
        raise SecretsUnavailable(f"{path} holds no key; restore it from the backup")
    try:
        MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise SecretsUnavailable(f"{path} holds a line that is not a key; restore it from the backup") from None
    return keys


def _make_keys(path: Path) -> None:
    """Write a first key so that of several processes that start at once exactly one wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def hash_password(password: str) -> str:
    """An argon2id hash of a portal or staff password."""
    with _argon_slots:
        return _hasher.hash(password)


def check_password(hashed: str | None, password: str) -> bool:
    """Whether the password fits; takes as long when there is no such account, so that names cannot be probed."""
    with _argon_slots:
        try:
            _hasher.verify(hashed or _nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
    return hashed is not None


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_hex(16))


def random_password() -> str:
    """A password that people can read out: 12 unambiguous characters in groups, about 58 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(3))
