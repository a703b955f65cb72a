"""NAS rows: written here for console, portal and sandbox, announced in the feed, read by radius, ingest and coa."""

from ipaddress import ip_network

from sqlalchemy import Connection, insert, update

from base import clock, feed, trail
from base.crypto import Vault
from base.tables import nas

MESSAGE_AUTHENTICATOR = ("yes", "no", "auto")


class WrongNas(ValueError):
    """A NAS cannot be stored like this; the message says what is wrong, `field` which input it is about."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def add_nas(
    tx: Connection,
    vault: Vault,
    actor: str,
    *,
    name: str,
    network: str,
    secret: str,
    kind: str,
    message_authenticator: str = "auto",
    coa_port: int = 3799,
) -> int:
    """Store a NAS (one address, or a network in CIDR notation); radius answers it from the commit on."""
    try:
        parsed = ip_network(network)
    except ValueError:
        raise WrongNas(
            f"{network!r} is not an address or network such as 192.0.2.1 or 192.0.2.0/24.", "network"
        ) from None
    if not secret:
        raise WrongNas("A NAS needs a shared secret.", "secret")
    if message_authenticator not in MESSAGE_AUTHENTICATOR:
        raise WrongNas(
            f"Message-Authenticator is yes, no or auto, not {message_authenticator!r}.", "message_authenticator"
        )
    if not 1 <= coa_port <= 65535:
        raise WrongNas(f"The CoA port is between 1 and 65535, not {coa_port}.", "coa_port")
    nas_id = tx.scalar(
        insert(nas)
        .values(
            name=name,
            network=str(parsed),
            secret=vault.lock(secret),
            kind=kind,
            message_authenticator=message_authenticator,
            coa_port=coa_port,
            created_at=clock.now(),
        )
        .returning(nas.c.id)
    )
    assert nas_id is not None
    feed.publish(tx, "nas", [nas_id])
    trail.record(
        tx,
        actor,
        "nas.added",
        subject="nas",
        subject_id=nas_id,
        detail={"name": name, "network": str(parsed), "kind": kind},
    )
    return int(nas_id)


def set_coa_port(tx: Connection, actor: str, nas_id: int, coa_port: int) -> None:
    """Move the UDP port on which a NAS takes CoA and Disconnect."""
    if not 1 <= coa_port <= 65535:
        raise WrongNas(f"The CoA port is between 1 and 65535, not {coa_port}.", "coa_port")
    tx.execute(update(nas).where(nas.c.id == nas_id).values(coa_port=coa_port))
    feed.publish(tx, "nas", [nas_id])
    trail.record(tx, actor, "nas.changed", subject="nas", subject_id=nas_id, detail={"coa_port": coa_port})
