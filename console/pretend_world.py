"""What the sandbox needs before it starts: keys for the pretend Stripe, demo data, a member of staff; all at random."""

import secrets
from pathlib import Path

import click
from sqlalchemy import select

from base.business import load_business, set_business
from base.crypto import open_vault, random_password
from base.database import address, connect, follow_sandbox_clock
from base.settings import PREFIX, Settings
from base.tables import nas, subscriber
from portal.tables import staff

_OWNER = "owner"


def prepare(config: Settings, *, demo: bool) -> None:
    """Fill an empty pretend provider; what is there already stays as it is."""
    vault = open_vault(config.secret_keys)
    engine = connect(address(config))
    base = f"http://127.0.0.1:{config.sandbox_stripe_port}"
    with engine.begin() as tx:
        follow_sandbox_clock(tx)
        business = load_business(tx, vault)
        if not business.stripe_secret_key:
            set_business(
                tx,
                vault,
                "sandbox",
                stripe_secret_key=f"sk_test_{secrets.token_hex(16)}",
                stripe_webhook_secret=f"whsec_{secrets.token_hex(16)}",
            )
        if business.stripe_api_base != base:
            set_business(tx, vault, "sandbox", stripe_api_base=base)
        first = tx.scalar(select(staff.c.id)) is None
        password = random_password()
        if first:
            from portal.accounts import add_staff

            add_staff(tx, "sandbox", _OWNER, "Owner of the pretend provider", password, "owner")
        empty = tx.scalar(select(subscriber.c.id).limit(1)) is None
        moved = tx.scalar(select(nas.c.id).where(nas.c.coa_port != config.sandbox_coa_port).limit(1)) is not None
    if first:
        _keep(config, [f"Staff: {_OWNER} / {password}"])
    if demo and (empty or moved):
        from sandbox.demo import fill  # not at every start: it brings half the house along

        if empty:
            click.echo("Inventing a provider with forty subscribers and five months of history (once) ...")
        logins = fill(engine, vault)
        if logins is not None:
            _keep(config, logins.lines())
    engine.dispose()


def stripe_environment(config: Settings) -> dict[str, str]:
    """What the pretend Stripe needs; its keys travel in the environment, not on a command line."""
    vault = open_vault(config.secret_keys)
    engine = connect(address(config), pool_size=1)
    with engine.begin() as tx:
        business = load_business(tx, vault)
    engine.dispose()
    return {
        f"{PREFIX}SANDBOX_STRIPE_API_KEY": business.stripe_secret_key,
        f"{PREFIX}SANDBOX_STRIPE_WEBHOOK_SECRET": business.stripe_webhook_secret,
        f"{PREFIX}SANDBOX_STRIPE_WEBHOOK_URL": f"{config.public_url}/webhooks/stripe",
        f"{PREFIX}SANDBOX_STRIPE_PORT": str(config.sandbox_stripe_port),
        f"{PREFIX}SANDBOX_STRIPE_DATA": str(config.data_dir / "sandbox" / "stripe"),
    }


def logins_file(config: Settings) -> Path:
    """Where the pretend provider's logins are written down, for their owner's eyes only."""
    return config.data_dir / "sandbox" / "logins.txt"


def welcome(config: Settings) -> str:
    """Addresses and logins of the pretend world."""
    lines = [
        f"  Stripe   http://127.0.0.1:{config.sandbox_stripe_port}  (pretend; test cards are listed there)",
        f"  Mail     {config.data_dir / 'sandbox' / 'mail'}",
        f"  Captive  {config.public_url}/sandbox/walled  (the portal as a walled subscriber's browser sees it)",
        "",
        *(f"  {line}" for line in logins_file(config).read_text().splitlines()),
    ]
    return "\n".join(lines)


def _keep(config: Settings, lines: list[str]) -> None:
    path = logins_file(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
