"""Deployment settings: one frozen object per process; a change needs a restart.

Order, first wins: environment (`TOLLKEEPER_…`), secret files (`/run/secrets/tollkeeper_…`, or in the folder named by
TOLLKEEPER_SECRETS_DIR; plain files, no links that lead out of it), `tollkeeper.toml` in the working directory (or the
file named by TOLLKEEPER_CONFIG), defaults. Business settings are rows: see base.business.
"""

import os
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "TOLLKEEPER_"
Port = Annotated[int, Field(ge=1, le=65535)]
CommaList = Annotated[tuple[str, ...], NoDecode]


# Names with our prefix that are not settings: what one process of ours hands to another.
_HANDED_DOWN = ("CONFIG", "SECRETS_DIR", "SOCKETS", "TEST_DATABASE_URL")
_HANDED_TO_STRIPE = f"{PREFIX}SANDBOX_STRIPE_"


class WrongSetting(Exception):
    """A deployment setting cannot be used; the message names it, its value and what is allowed."""


class Settings(BaseSettings):
    """Where this process finds its disk, database, broker and network."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    data_dir: Path = Path("var")
    "Folder for everything that must survive: embedded database, journal, snapshot, keys, logs."
    sandbox: bool = False
    "The pretend provider: simulated NASes, Stripe and mail, time travel. Never on in production."
    database_url: SecretStr | None = None
    "postgresql:// address of your own server; not set: the embedded PostgreSQL in data_dir."
    broker_url: SecretStr = SecretStr("memory://")
    "Celery broker: memory:// inside one process, or redis:// in production."
    keys_file: Path | None = None
    "Encryption keys, one per line, newest first, readable by nobody else; not set: data_dir/secrets/keys."
    public_url: str = "http://127.0.0.1:8080"
    "Address of the portal as subscribers type it; links in mails and invoices begin with it."
    web_host: str = "127.0.0.1"
    "Address that the portal listens on."
    web_port: Port = 8080
    "TCP port of the portal."
    web_threads: int = Field(64, ge=1, le=256)
    "Threads of the portal's web server."
    trusted_proxies: CommaList = ()
    "Networks whose X-Forwarded-For is believed, comma-separated, such as 127.0.0.1/32."
    radius_hosts: CommaList = ("0.0.0.0", "::")  # noqa: S104 - a RADIUS server serves every network it is on
    "Addresses that radius listens on, comma-separated."
    radius_auth_port: Port = 1812
    "UDP port for logins."
    radius_acct_port: Port = 1813
    "UDP port for accounting."
    coa_host: str | None = None
    "Address that CoA and Disconnect leave from; not set: the system chooses."
    smtp_url: SecretStr = SecretStr("smtp://127.0.0.1:25")
    "Mail server: smtp://, smtp+starttls:// or smtps://, with user:password@ where it wants a login."
    bounce_imap_url: SecretStr | None = None
    "Mailbox that bounced mails come back to: imaps://user:password@host/INBOX; not set: nobody reads it."
    worker_threads: int = Field(4, ge=2, le=64)
    "Jobs that one worker process runs at a time; one of them is kept for urgent jobs."
    postgres_account: str | None = None
    "Unprivileged account for the embedded PostgreSQL when started by root; not set: postgres or nobody."
    log_format: Literal["text", "json"] = "text"
    "text for people, json for machines."
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    "Least important log line that is written."
    sandbox_stripe_port: Port = 8090
    "Sandbox: TCP port of the pretend Stripe."
    sandbox_mail_port: Port = 8025
    "Sandbox: TCP port of the pretend mail server."
    sandbox_coa_port: Port = 3799
    "Sandbox: UDP port on which the simulated NASes take CoA and Disconnect."

    @field_validator("trusted_proxies", "radius_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            network(part)
        return value

    @field_validator("radius_hosts")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one address is needed")
        for part in value:
            ip_address(part)
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("it must begin with postgresql://")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("memory://", "redis://", "rediss://", "redis+socket://")):
            raise ValueError("it must begin with memory://, redis://, rediss:// or redis+socket://")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("smtp://", "smtp+starttls://", "smtps://")):
            raise ValueError("it must begin with smtp://, smtp+starttls:// or smtps://")
        return value

    @field_validator("bounce_imap_url")
    @classmethod
    def _imap(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("imaps://", "imap://")):
            raise ValueError("it must begin with imaps:// or imap://")
        return value

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("it must begin with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _loopback_sandbox(self) -> "Settings":
        if self.sandbox:
            for name, host in [
                ("web_host", self.web_host),
                *(("radius_hosts", h) for h in self.radius_hosts),
            ]:
                if not ip_address(host).is_loopback:
                    raise ValueError(f"{name} is {host}, but the sandbox listens on loopback addresses only")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment, then secret files, then tollkeeper.toml."""
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get(f"{PREFIX}CONFIG", "tollkeeper.toml"))
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, _secrets_dir()), toml

    @property
    def secret_keys(self) -> Path:
        """The file that holds the encryption keys."""
        return self.keys_file or self.data_dir / "secrets" / "keys"


def _secrets_dir() -> str | None:
    """The folder of secret files: the one that was named, or the one that containers have."""
    if named := os.environ.get(f"{PREFIX}SECRETS_DIR"):
        if not Path(named).is_dir():
            raise WrongSetting(f"{PREFIX}SECRETS_DIR is {named!r}, which is not a folder that this process can enter.")
        return named
    return "/run/secrets" if Path("/run/secrets").is_dir() else None


def network(text: str) -> IPv4Network | IPv6Network:
    """An address or network in CIDR notation; host bits must be zero."""
    return IPv4Network(text) if ":" not in text else IPv6Network(text)


def load(**values: object) -> Settings:
    """Read the settings, or raise WrongSetting with one line per fault."""
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, *_HANDED_DOWN)}
    for name in sorted(os.environ):
        ours = name.upper().startswith(PREFIX) and not name.upper().startswith(_HANDED_TO_STRIPE)
        if ours and name.upper() not in known:
            raise WrongSetting(_no_such(name[len(PREFIX) :].lower()))
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise WrongSetting("\n".join(_explain(fault) for fault in error.errors())) from None
    except OSError as error:
        raise WrongSetting(f"{error.filename} holds settings, and cannot be read: {error.strerror}.") from None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load()


def _no_such(name: str) -> str:
    return f"There is no setting {name}; `tollkeeper settings` lists those that exist."


def _explain(fault: object) -> str:
    assert isinstance(fault, dict)
    name = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if not name:
        return f"Wrong settings: {message}."
    if fault["type"] == "extra_forbidden":
        return _no_such(name)
    secret = "SecretStr" in str(Settings.model_fields[name.partition(".")[0]].annotation)
    shown = "(hidden)" if secret else repr(fault["input"])
    return f"Setting {name} ({PREFIX}{name.upper()}) is {shown}: {message}."
