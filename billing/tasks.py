"""What each kind of job does, and how a claimed job comes to its end: done, later, or dead.

A handler is a function of one Job. It returns when the effect is there, raises `Retry` when it is too early, and any
other exception when it failed. Jobs run at least once: a process may die after the effect and before the job is
marked done, so the effect itself must be protected (a unique key, a state that is looked at first). There are two
natural ways to write one:

- The effect is rows only: write `effect(tx, job)` and register `in_one_transaction(effect)`. The job's row is locked,
  and effect and end are one commit: exactly once. It must be short and talk to nobody but the database.
- The effect is elsewhere (mail server, Stripe, a renderer) or many transactions: write `handle(job)`, open transactions
  where you need them and none around the waiting. The job is marked done after it returns.

Where thousands of a kind come at once, write `handle(jobs)` instead, which returns what failed, and register it as
`Together`: a job takes along those of its kind that are due and that nobody has tried yet.
"""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection

from base import clock, jobs
from base.crypto import open_vault
from base.database import transaction
from base.jobs import Job, Kind
from base.log import alarm, logger
from base.settings import settings
from billing.pump import LEASE

Handler = Callable[[Job], None]
Hold = Callable[[int], AbstractContextManager[bool]]
BOUNCES_EVERY = 300  # seconds, real time
POLL_EVERY = 300
FETCH_EVERY = 3600
CHECK_EVERY = 3600
FORMAT = 1  # of payloads; an older one is read, a newer one refused by name

log = logger()


class Retry(Exception):
    """It is too early: run this job again after `seconds`, without counting a failure; `because` is shown to staff."""

    def __init__(self, seconds: float, because: str) -> None:
        super().__init__(because)
        self.delay = timedelta(seconds=seconds)


class ClaimLost(Exception):
    """The job's lease ran out before its effect began, and somebody else has it: nothing was done, nothing is to do."""


class NewerFormat(Exception):
    """The job was written by a newer release, whose workers must run it."""


MANY = 8  # taken along by the job before
LINGER = 0.1  # seconds in which a storm gathers: a transaction costs more than it takes along


@dataclass(slots=True)
class Together:
    """A handler of up to `most` jobs of one kind at once; `act` returns what went wrong by the ids of jobs."""

    act: Callable[[Sequence[Job]], Mapping[int, Exception]]
    most: int
    patience: float = 0.0
    "Seconds that a job waits for the end of the one before it in this process, to take along what comes meanwhile."
    before: threading.Lock = field(default_factory=threading.Lock)
    "Held by the one that is under way."
    taken: int = 0
    "How many it took along."


def in_one_transaction(effect: Callable[[Connection, Job], None]) -> Handler:
    """A handler whose effect and the job's end are one commit."""

    def handle(job: Job) -> None:
        with transaction() as tx:
            current = jobs.load(tx, job.id)
            if current is None or current.tries != job.tries:
                raise ClaimLost
            effect(tx, current)
            jobs.finish(tx, job.id)

    return handle


def one_at_a_time(handle: Handler) -> Handler:
    """A handler whose jobs wait for the older ones of their kind that are being worked on."""

    def wait_or_handle(job: Job) -> None:
        with transaction() as tx:
            if jobs.has_older(tx, job):
                raise Retry(1, "an earlier one is still running")
        handle(job)

    return wait_or_handle


def perform(job_id: int, tries: int, hold: Hold = lambda _: nullcontext(True)) -> None:
    """Bring one claimed job to its end; never raises. A claim that no longer stands is left alone.

    `tries` says which claim it is: a message that waited in the broker until its lease ran out is an older one. `hold`
    keeps the lease of a job that is taken along (billing.leases).
    """
    try:
        with ExitStack() as held:
            with transaction() as tx:
                job = jobs.load(tx, job_id)
                if job is None or job.tries != tries:
                    return
                company = _company_at_once(tx, job, held)
            if company is None:
                company = _company(job, held)
            company = [each for each in company if held.enter_context(hold(each.id))]
            _end([job, *company], _handle([job, *company]))
    except Exception:
        # Most likely the database is away: nothing is lost, the job is due again when its lease runs out.
        log.warning("job.abandoned", job=job_id, exc_info=True)


def _company_at_once(tx: Connection, job: Job, held: ExitStack) -> list[Job] | None:
    """What is done together with a job; None where something has to be waited for before that is known.

    One that failed before, or took its process down, goes alone.
    """
    handler = HANDLERS[job.kind]
    if not isinstance(handler, Together) or job.tries > 1:
        return []
    if handler.patience:
        if handler.taken >= MANY or not handler.before.acquire(blocking=False):
            return None
        held.callback(handler.before.release)
    return _take_along(tx, job, handler)


def _company(job: Job, held: ExitStack) -> list[Job]:
    """The same after the one before has ended, or after a while; a storm gathers first."""
    handler = HANDLERS[job.kind]
    assert isinstance(handler, Together)
    if handler.before.acquire(timeout=handler.patience):
        held.callback(handler.before.release)
        if handler.taken >= MANY:
            time.sleep(LINGER)
    with transaction() as tx:
        return _take_along(tx, job, handler)


def _take_along(tx: Connection, job: Job, handler: Together) -> list[Job]:
    company = jobs.claim_fresh(tx, job.kind, handler.most - 1, LEASE)
    handler.taken = len(company)
    return company


def _handle(together: Sequence[Job]) -> dict[int, Exception]:
    """Do it; returns what went wrong."""
    failed: dict[int, Exception] = {
        job.id: NewerFormat(f"its payload has format {job.payload['format']}, this release reads {FORMAT}")
        for job in together
        if job.payload["format"] > FORMAT
    }
    readable = [job for job in together if job.id not in failed]
    try:
        for kind in {job.kind for job in readable}:
            handler = HANDLERS[kind]
            if isinstance(handler, Together):
                failed |= handler.act(readable)
            else:
                for job in readable:
                    handler(job)
    except Exception as error:
        failed |= {job.id: error for job in readable}
    return failed


def _end(together: Sequence[Job], failed: Mapping[int, Exception]) -> None:
    """Mark done what is done; the others are due later, or dead."""
    early: dict[tuple[timedelta, str], list[Job]] = {}
    with transaction() as tx:
        jobs.finish(tx, *(job.id for job in together if job.id not in failed))
        for job in together:
            if isinstance(error := failed.get(job.id), Retry):
                early.setdefault((error.delay, str(error)), []).append(job)
        for (delay, because), some in early.items():
            jobs.postpone(tx, {job.id: job.tries for job in some}, delay, because)
    for (delay, because), some in early.items():
        facts = {"jobs": [job.id for job in some], "kind": some[0].kind.value[0]}
        log.info("job.later", **facts, seconds=delay.seconds, because=because)
    for job in together:
        error = failed.get(job.id)
        if isinstance(error, ClaimLost):
            log.info("job.claim_lost", job=job.id, kind=job.kind.value[0])
        elif error is not None and not isinstance(error, Retry):
            _fail(job, error)


def _fail(job: Job, error: Exception) -> None:
    reason = traceback.format_exception_only(error)[-1].partition("\n")[0]
    facts = {"job": job.id, "kind": job.kind.value[0], "tries": job.tries}
    log.warning("job.failed", **facts, exc_info=error)
    with transaction() as tx:
        dead = jobs.fail(tx, job.id, reason, job.tries)
    if dead:
        alarm("job_dead", **facts)


def ask_for_tick(*, at_once: bool = False) -> None:
    """Have the tick run, once per business minute however often this is asked; `at_once`: even if it has just run."""
    with transaction() as tx:
        now = clock.now()
        key = f"tick:{now:%Y-%m-%dT%H:%M:%S}" if at_once else f"tick:{now:%Y-%m-%dT%H:%M}"
        jobs.enqueue(tx, Kind.TICK, {}, key=key)
        if settings().bounce_imap_url is not None:
            span = int(clock.real().timestamp()) // BOUNCES_EVERY
            jobs.enqueue(tx, Kind.READ_BOUNCES, {}, key=f"bounces:{span}")
        stripe_span = int(clock.real().timestamp())
        jobs.enqueue(tx, Kind.POLL_EVENTS, {}, key=f"poll:{stripe_span // POLL_EVERY}")
        jobs.enqueue(tx, Kind.FETCH_BALANCE, {}, key=f"balance:{stripe_span // FETCH_EVERY}")
        jobs.enqueue(tx, Kind.CHECK_GATEWAY, {}, key=f"check_gateway:{stripe_span // CHECK_EVERY}")


def tick(_job: Job) -> None:
    """Do what time has made due."""
    from billing.tick import run

    run(clock.now())


def review_access(tx: Connection, job: Job) -> None:
    """Decide access anew for payload['service_ids'], because of payload['because']."""
    from billing.tick import review

    vault = open_vault(settings().secret_keys)
    review(tx, vault, job.payload["service_ids"], clock.now(), job.payload["because"])


def stripe_events(together: Sequence[Job]) -> Mapping[int, Exception]:
    """Understand the webhooks in the inbox rows payload['inbox_id']."""
    from billing.stripe_events import handle_all

    failed = handle_all([job.payload["inbox_id"] for job in together])
    return {job.id: failed[job.payload["inbox_id"]] for job in together if job.payload["inbox_id"] in failed}


def charge_cards(together: Sequence[Job]) -> Mapping[int, Exception]:
    """Try the collections payload['collection_id'] with saved cards."""
    from billing.collect.charge import charge_all

    ids = dict.fromkeys(job.payload["collection_id"] for job in together)
    failed = charge_all(open_vault(settings().secret_keys), list(ids))
    return {job.id: failed[job.payload["collection_id"]] for job in together if job.payload["collection_id"] in failed}


def ask_payment(job: Job) -> None:
    """Ask Stripe what became of the charge of payload['collection_id']."""
    from billing.collect.settle import find_out

    find_out(open_vault(settings().secret_keys), job.payload["collection_id"])


def ask_page(job: Job) -> None:
    """Ask Stripe what became of the hosted page payload['session_id']."""
    from billing.checkout import settle

    settle(open_vault(settings().secret_keys), job.payload["session_id"])


def refund(job: Job) -> None:
    """Ask Stripe for the refund payload['gone_id'], or what became of it."""
    from billing.money_back.card import send

    send(open_vault(settings().secret_keys), job.payload["gone_id"])


def ask_dispute(job: Job) -> None:
    """Ask Stripe how the dispute payload['gone_id'] stands."""
    from billing.money_back.disputes import ask

    ask(open_vault(settings().secret_keys), job.payload["gone_id"])


def refresh_cards(job: Job) -> None:
    """Read the cards of the customer payload['customer_id'] from Stripe."""
    from billing.collect.cards import refresh

    refresh(open_vault(settings().secret_keys), job.payload["customer_id"])


def poll_events(_job: Job) -> None:
    """Ask Stripe for events that no webhook has brought."""
    from billing.stripe_poll import poll

    poll(open_vault(settings().secret_keys))


def fetch_balance(_job: Job) -> None:
    """Fetch what moved at Stripe, and book it."""
    from billing.clearing.fetch import fetch_or_say

    fetch_or_say(open_vault(settings().secret_keys))


def check_gateway(_job: Job) -> None:
    """Look whether the Stripe account is set up as it has to be, and keep what was found."""
    from billing.stripe_check import check_and_keep

    check_and_keep(open_vault(settings().secret_keys))


def close_pages(job: Job) -> None:
    """Close the hosted pages payload['checkout_ids'], whose invoices were settled another way."""
    from billing.checkout import close

    close(open_vault(settings().secret_keys), job.payload["checkout_ids"])


def end_collection(job: Job) -> None:
    """Close the collection payload['collection_id'], whose invoices were settled another way."""
    from billing.collect.settle import end

    end(open_vault(settings().secret_keys), job.payload["collection_id"])


def send_message(job: Job) -> None:
    """Send the mail in message row payload['message_id']."""
    from billing.mail import deliver

    deliver(job.payload["message_id"])


def read_bounces(_job: Job) -> None:
    """Read what came back to the mailbox of bounces; what is not read now is read the next time."""
    from billing.bounces import read_mailbox

    url = settings().bounce_imap_url
    if url is None:
        return
    try:
        read_mailbox(url.get_secret_value())
    except OSError:
        alarm("bounces_not_read")


def render_document(job: Job) -> None:
    """Render the PDF of payload['kind'] ('invoice', 'credit_note', 'receipt') and payload['id']."""
    from billing.documents import render

    render(job.payload["kind"], job.payload["id"])


HANDLERS: dict[Kind, Handler | Together] = {
    Kind.STRIPE_EVENT: Together(stripe_events, 200, patience=0.5),
    Kind.REVIEW_ACCESS: in_one_transaction(review_access),
    Kind.ASK_PAYMENT: ask_payment,
    Kind.ASK_PAGE: ask_page,
    Kind.REFRESH_CARDS: refresh_cards,
    Kind.REFUND: refund,
    Kind.ASK_DISPUTE: ask_dispute,
    Kind.POLL_EVENTS: one_at_a_time(poll_events),
    Kind.FETCH_BALANCE: one_at_a_time(fetch_balance),
    Kind.CHECK_GATEWAY: check_gateway,
    Kind.CHARGE_CARD: Together(charge_cards, 64),  # a receipt's number is waited for while so many are recorded
    Kind.CLOSE_PAGES: close_pages,
    Kind.END_COLLECTION: end_collection,
    Kind.TICK: one_at_a_time(tick),  # a second bill run beside a long one would only be in its way
    Kind.SEND_MESSAGE: send_message,
    Kind.READ_BOUNCES: read_bounces,
    Kind.RENDER_DOCUMENT: render_document,
}
