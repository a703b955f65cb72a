"""Whether the operator's Stripe account is set up as it has to be, in words, and setting it up.

It is looked at in the background once an hour, never while anything starts; `tollkeeper stripe check` looks at once.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import clock, trail
from base.business import Business, load_business, set_business
from base.crypto import Vault
from base.database import transaction
from base.settings import settings
from billing.clearing.old_accounts import in_words, left_behind
from billing.collect.account import learn_account
from billing.collect.tables import gateway_state
from billing.gateway import account
from billing.gateway.client import is_test
from billing.gateway.words import GatewayError
from billing.refused import need
from billing.stripe_events import EVENTS

PATH = "/webhooks/stripe"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    sentence: str
    "What is so; where it is wrong also what to do."


def check(vault: Vault) -> list[Finding]:
    """Look at key, mode, account, permissions and webhook endpoint; never raises for what Stripe says."""
    with transaction() as tx:
        business = load_business(tx, vault)
    if not business.stripe_secret_key:
        return [Finding(True, "No Stripe key is set: there are no card payments."), *_left(business)]
    try:
        return [_mode(business), *_account(vault, business), *_endpoint(business), *_left(business)]
    except GatewayError as error:
        return [Finding(False, str(error)), *_left(business)]


def check_and_keep(vault: Vault) -> None:
    """The same, and keep what was found for `doctor` and the portal."""
    found = check(vault)
    row = {"id": 1, "checked_at": clock.real(), "findings": [[each.ok, each.sentence] for each in found]}
    with transaction() as tx:
        tx.execute(insert(gateway_state).values(row).on_conflict_do_update(index_elements=["id"], set_=row))


def kept(tx: Connection) -> tuple[datetime | None, list[Finding]]:
    """When it was looked at last (real time), and what was found."""
    row = tx.execute(select(gateway_state)).one_or_none()
    return (None, []) if row is None else (row.checked_at, [Finding(*each) for each in row.findings])


def set_up(vault: Vault, actor: str) -> account.Endpoint:
    """Have Stripe send its events to this installation, and keep the secret that signs them.

    An endpoint with our address is switched on and asked for all events that we understand; its secret cannot be read
    again, so one whose secret is not kept here is left alone and a second one is made. Refused with a sentence.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
    url = _url()
    need(settings().sandbox or url.startswith("https://"), f"Stripe sends to https only; public_url gives {url}.", "")
    known = [each for each in account.list_endpoints(business) if each.url == url]
    if known and business.stripe_webhook_secret and known[0].api_version == account.spoken_version():
        return account.change_endpoint(business, known[0].id, sorted(EVENTS))
    made = account.make_endpoint(business, url, sorted(EVENTS))
    with transaction() as tx:
        set_business(tx, vault, actor, stripe_webhook_secret=made.secret)
        trail.record(tx, actor, "stripe.endpoint", subject="setting", detail={"endpoint": made.id, "url": url})
    return made


def _mode(business: Business) -> Finding:
    if not is_test(business.stripe_secret_key):
        return Finding(True, "The key is a live one: cards are charged real money.")
    if settings().sandbox:
        return Finding(True, "The key is one for tests, as it has to be in the sandbox.")
    return Finding(False, "The key is one for tests: no money comes in. Set stripe_secret_key to a live one.")


def _account(vault: Vault, business: Business) -> list[Finding]:
    state = account.read_account(business)
    learn_account(vault)
    name = f"{state.name} ({state.id})" if state.name else state.id
    found = [Finding(True, f"The key opens the account {name}.")]
    if not state.charges_enabled:
        found.append(Finding(False, "Stripe lets this account take no payments yet: finish its set-up at Stripe."))
    if not state.payouts_enabled:
        found.append(Finding(False, "Stripe pays this account nothing out yet: finish its set-up at Stripe."))
    missing = account.missing_permissions(business)
    if missing:
        found.append(Finding(False, f"The key lacks permissions: {', '.join(missing)}. Grant them at Stripe."))
    return found


def _left(business: Business) -> list[Finding]:
    """Money at accounts that the key does not open."""
    with transaction() as tx:
        return [Finding(False, in_words(each, business)) for each in left_behind(tx, business)]


def _endpoint(business: Business) -> list[Finding]:
    url = _url()
    known = [each for each in account.list_endpoints(business) if each.url == url]
    if not known:
        return [Finding(False, f"Stripe does not send its events to {url}: run `tollkeeper stripe setup`.")]
    found = []
    best = next((each for each in known if each.enabled), known[0])
    if not best.enabled:
        found.append(Finding(False, "The webhook endpoint is switched off at Stripe: run `tollkeeper stripe setup`."))
    missing = [] if "*" in best.events else sorted(EVENTS.keys() - set(best.events))
    if missing:
        sentence = f"The endpoint does not get {', '.join(missing)}: run `tollkeeper stripe setup`."
        found.append(Finding(False, sentence))
    if best.api_version and best.api_version != account.spoken_version():
        sentence = f"The endpoint speaks version {best.api_version}, we speak {account.spoken_version()}"
        found.append(Finding(False, f"{sentence}: run `tollkeeper stripe setup`, then delete the old one at Stripe."))
    if not business.stripe_webhook_secret:
        found.append(Finding(False, "Its signing secret is not set: run `tollkeeper stripe setup`."))
    return found or [Finding(True, f"Stripe sends its events to {url}.")]


def _url() -> str:
    return settings().public_url.rstrip("/") + PATH
