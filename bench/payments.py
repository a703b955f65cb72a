"""Payments: autopay of a month, a storm of webhooks, and from a payment to the line that is given back.

Everything runs in processes of its own as `./run` starts them, against the pretend Stripe, on all cores.
"""

import json
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from base.process import die_with_parent
from bench.process import Broken, processor_seconds, wait_for
from bench.report import Row, median
from bench.till import LATENCY, Till, free_port
from bench.webhook_load import Answers, build, post_all

MONTH = 31  # days until everybody has another invoice


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of it."""

    runs: int = 5
    "Of which the median counts."
    charges: int = 10_000
    webhooks: int = 1_000
    "Per second."
    storm: float = 30.0
    "Seconds."
    invoices: int = 20_000
    "Of the run beside which is paid."
    samples: int = 100
    "Payments of a run until the line is given back."


@dataclass(slots=True)
class Found:
    """One figure of each run."""

    autopay_s: list[float] = field(default_factory=list)
    charge_cpu_ms: list[float] = field(default_factory=list)
    "Of processor time, of all processes together."
    webhook_cpu_ms: list[float] = field(default_factory=list)
    "The same, until it is understood."
    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    drain_s: list[float] = field(default_factory=list)
    policy_ms: list[float] = field(default_factory=list)
    restore_ms: list[float] = field(default_factory=list)
    busy_policy_ms: list[float] = field(default_factory=list)
    busy_restore_ms: list[float] = field(default_factory=list)


def run(sizes: Sizes) -> list[Row]:
    """Ours alone: peers do not say how fast they collect."""
    found = Found()
    with ExitStack() as held:
        till = Till(held, sizes.charges)
        till.leave_cards(sizes.charges)
        till.deed("listen")
        _say(f"{sizes.charges} subscribers pay by card")
        for _ in range(sizes.runs):
            _autopay(till, sizes, found)
        for _ in range(sizes.runs):
            _webhooks(till, sizes, found)
    with ExitStack() as held:
        _restore(Till(held, sizes.invoices + 2 * sizes.runs * sizes.samples), held, sizes, found)
    size = f"{sizes.charges // 1000}k" if sizes.charges >= 1000 else str(sizes.charges)
    return [
        _row(f"{sizes.charges} cards charged, s", found.autopay_s, f"autopay_{size}_s"),
        _row("processor time of a charge, ms", found.charge_cpu_ms),
        _row("webhooks accepted per second", found.per_second, "webhooks_per_s", more_is_better=True),
        _row("a webhook answered, p50, ms", found.p50_ms),
        _row("a webhook answered, p99, ms", found.p99_ms, "webhook_p99_ms"),
        _row("all webhooks understood after the last, s", found.drain_s, "webhooks_drain_s"),
        _row("processor time of a webhook, ms", found.webhook_cpu_ms),
        _row("webhook to policy, p99, ms", found.policy_ms),
        _row("webhook to CoA-ACK, p99, ms", found.restore_ms, "pay_to_restore_p99_ms"),
        _row("webhook to policy beside a bill run, p99, ms", found.busy_policy_ms),
        _row("webhook to CoA-ACK beside a bill run, p99, ms", found.busy_restore_ms, "pay_to_restore_busy_p99_ms"),
    ]


def _row(words: str, values: list[float], key: str = "", *, more_is_better: bool = False) -> Row:
    return Row(words, median(values), more_is_better=more_is_better, runs={"ours": values}, key=key)


def _say(words: str) -> None:
    print(f"  {words}", flush=True)


def _autopay(till: Till, sizes: Sizes, found: Found) -> None:
    """Everybody's invoice is charged: from the jobs being due to the last payment recorded."""
    paid = "SELECT count(*) FROM collection WHERE state = 'paid'"
    before = int(till.ask(paid))
    issued = till.deed("bill_next_month", MONTH)
    later = (
        "UPDATE job SET run_after = clock_timestamp() + interval '1 day' WHERE kind = 'charge_card' AND state = 'ready'"
    )
    if issued != sizes.charges or till.do(later) != sizes.charges:
        raise Broken(f"{issued} invoices were issued for {sizes.charges} subscribers")
    till.dial(delay=LATENCY)
    with till.worker() as worker:
        begun, used = time.perf_counter(), processor_seconds()
        till.do("UPDATE job SET run_after = clock_timestamp() WHERE kind = 'charge_card' AND state = 'ready'")
        till.do("NOTIFY tollkeeper_jobs")
        wait_for(lambda: _slowly(till, paid) - before >= sizes.charges, 1800, "the last charge", worker)
        found.autopay_s.append(time.perf_counter() - begun)
        found.charge_cpu_ms.append(1000 * (processor_seconds() - used) / sizes.charges)
        wait_for(till.all_understood, 600, "the webhooks of the charges", worker)
    till.dial(delay=0.0)
    _check_money(till)
    _say(
        f"{sizes.charges} cards charged in {found.autopay_s[-1]:.1f} s, "
        f"{found.charge_cpu_ms[-1]:.1f} ms of processor time each"
    )


def _slowly(till: Till, query: str) -> int:
    time.sleep(0.1)
    return int(till.ask(query))


def _check_money(till: Till) -> None:
    """What Stripe took is what is recorded, each charge once."""
    charges = till.stripe("/sandbox/state")["charges"]
    taken = sum(outcomes.get("succeeded", 0) for outcomes in charges.values())
    recorded = till.ask("SELECT count(DISTINCT gateway_id) FROM payment WHERE method = 'card'")
    invoices = till.ask("SELECT count(*) FROM invoice")
    if not taken == recorded == invoices:
        raise Broken(f"Stripe took {taken} times, {recorded} payments are recorded, of {invoices} invoices")


def _webhooks(till: Till, sizes: Sizes, found: Found) -> None:
    """So many events a second, posted to the portal while the worker understands them."""
    lost = till.deed("lose_answers", int(sizes.webhooks * sizes.storm) // 20)
    events = _events(till, int(sizes.webhooks * sizes.storm), lost)
    requests = build(events, till.deed("webhook_secret"), till.web_port)
    till.dial(delay=LATENCY)
    with till.worker() as worker:
        used = processor_seconds()
        answers: Answers = post_all(till.web_port, requests, sizes.webhooks)
        ended = time.perf_counter()
        waits = "SELECT count(*) FROM inbox WHERE processed_at IS NULL"
        left = int(till.ask(waits))
        wait_for(lambda: _slowly(till, waits) == 0, 900, "the last webhook being understood", worker)
        found.drain_s.append(time.perf_counter() - ended)
        found.webhook_cpu_ms.append(1000 * (processor_seconds() - used) / len(requests))
    till.dial(delay=0.0)
    said = [events[place] for place in answers.accepted]
    kept = till.ask("SELECT count(*) FROM inbox WHERE event_id = ANY(:ids)", ids=[each["id"] for each in said])
    if kept != len({each["id"] for each in said}):
        raise Broken(f"{kept} events were kept of {len(said)} accepted")
    heard = {each["data"]["object"]["id"] for each in said} & set(lost)
    if till.ask("SELECT count(*) FROM collection WHERE state <> 'paid' AND intent_id = ANY(:ids)", ids=list(heard)):
        raise Broken("a payment that an event told of was not recorded")
    found.per_second.append(len(answers.accepted) / answers.seconds)
    found.p50_ms.append(answers.share(0.5))
    found.p99_ms.append(answers.share(0.99))
    _say(
        f"{len(answers.accepted)} webhooks accepted, {answers.refused} not, {found.per_second[-1]:.0f}/s, "
        f"p50 {found.p50_ms[-1]:.1f} ms, p99 {found.p99_ms[-1]:.1f} ms, at most {answers.latencies[-1]:.0f} ms, "
        f"{left} left, understood after {found.drain_s[-1]:.1f} s, {found.webhook_cpu_ms[-1]:.2f} ms of processor "
        f"time each; the sender was {answers.late_ms:.1f} ms late at most"
    )


def _events(till: Till, count: int, lost: list[str]) -> list[dict[str, Any]]:
    """Of twenty: eleven about payments that are recorded, one about one that is not, two that came before, four of a
    kind that means nothing to us, two about payments of somebody else."""
    known = till.deed("settled_intents", count)
    patterns: dict[str, dict[str, Any]] = {
        kind: till.stripe(f"/v1/events?type={kind}&limit=1")["data"][0]
        for kind in ("payment_intent.succeeded", "charge.succeeded")
    }
    made: list[dict[str, Any]] = []
    unheard = iter(lost)
    for number in range(count):
        place = number % 20
        if place in (7, 17) and len(made) > 10:
            made.append(made[-10])
            continue
        kind = "charge.succeeded" if place in (3, 8, 13, 18) else "payment_intent.succeeded"
        about = known[number % len(known)]
        if place in (5, 15):
            about = f"pi_{secrets.token_hex(12)}"
        elif place == 10:
            about = next(unheard, about)
        pattern = patterns[kind]
        thing = {**pattern["data"]["object"], "id": about if kind != "charge.succeeded" else f"ch_{about[3:]}"}
        made.append({**pattern, "id": f"evt_{secrets.token_hex(12)}", "data": {"object": thing}})
    return made


def _restore(till: Till, held: ExitStack, sizes: Sizes, found: Found) -> None:
    """Walled subscribers pay, while nothing else happens and beside a bill run with its PDFs."""
    till.deed("listen")
    till.do("UPDATE nas SET coa_port = :port", port=free_port())
    people = 2 * sizes.runs * sizes.samples
    walled = till.deed("wall_in", sizes.invoices, people)
    if len(walled) != people:
        raise Broken(f"{len(walled)} of {people} subscribers are walled in")
    held.enter_context(till.process("mail", "-c", "from sandbox.mail import serve; serve()"))
    radius = held.enter_context(till.house.radius())
    till.house.wait_until_settled(radius)
    held.enter_context(till.house.ingest())
    held.enter_context(till.process("coa", "-m", "console", "coa"))
    held.enter_context(till.worker("urgent,charges,mail"))
    held.enter_context(till.worker("documents"))
    wait_for(till.all_quiet, 600, "quiet")
    first = sizes.invoices
    for _ in range(sizes.runs):
        _pay(till, sizes, first, 0.1, found.policy_ms, found.restore_ms, "idle")
        first += sizes.samples
    for _ in range(sizes.runs):
        issued = till.issued()
        till.deed("begin_bill_run")
        wait_for(partial(till.is_issuing, issued), 120, "the bill run")
        _pay(till, sizes, first, 0.25, found.busy_policy_ms, found.busy_restore_ms, "beside a bill run")
        _say(f"{till.issued() - issued} invoices issued meanwhile")
        if not till.ask(
            "SELECT count(*) FROM job WHERE kind IN ('tick', 'render_document') AND state IN ('ready', 'sent')"
        ):
            raise Broken("the bill run and its PDFs ended before the last payment: make it larger")
        first += sizes.samples


def _pay(
    till: Till, sizes: Sizes, first: int, pause: float, policy: list[float], restored: list[float], words: str
) -> None:
    argv = [sys.executable, "-m", "bench.restoring", str(first), str(sizes.samples), str(pause)]
    done = subprocess.run(
        die_with_parent(argv), env=till.house.environment, capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode:
        raise Broken(f"paying {words} ended with {done.returncode}: {done.stderr[-1500:]}")
    samples: list[tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    for values, into in ((sorted(a for a, _ in samples), policy), (sorted(b for _, b in samples), restored)):
        into.append(values[min(len(values) - 1, int(0.99 * len(values)))])
    middle = sorted(each for _, each in samples)[len(samples) // 2]
    _say(
        f"{len(samples)} lines given back {words}: p50 {middle:.0f} ms, p99 {restored[-1]:.0f} ms after the webhook, "
        f"the policy after {policy[-1]:.0f} ms"
    )
