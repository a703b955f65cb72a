"""The way of every API call: who are you, what do you want, was it said before, then do it in one transaction.

Idempotency (https://docs.stripe.com/api/idempotent_requests): the status and body of the first POST with a key
are saved once the endpoint runs, 500s included, for 24 hours. Refused parameters, conflicts and 429 are not saved.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from hashlib import sha256
from urllib.parse import parse_qsl, unquote

from sandbox.stripe.agenda import catch_up
from sandbox.stripe.errors import StripeError, invalid, server_error
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.keys import Keys
from sandbox.stripe.objects import new_id
from sandbox.stripe.objects_site import API_VERSION
from sandbox.stripe.params import Endpoint, check, nest
from sandbox.stripe.routes import Routes, expand
from sandbox.stripe.store import Answer, Call, Store, dump
from sandbox.stripe.wire import CUT, Reply, Request

JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Cut(Exception):
    """The caller hears nothing more."""


class Api:
    """The endpoints over one store; `running` are the idempotency keys whose first request is under way."""

    def __init__(self, store: Store, faults: Faults, keys: Keys) -> None:
        self.store = store
        self.faults = faults
        self.keys = keys
        self.bank_url = ""
        """Where banks ask their customers; told by the server once it listens."""
        self._routes = Routes()
        self._running: set[tuple[str, str]] = set()
        self._tokens, self._filled = 0.0, time.monotonic()

    async def serve(self, request: Request) -> Reply:
        """Answer a call; raises nothing."""
        base_url = f"http://{request.headers.get('host', '127.0.0.1')}"
        call = Call(
            account=request.headers.get("stripe-account", ""),
            request=new_id("req_", 14),
            key=request.headers.get("idempotency-key") if request.method == "POST" else None,
            base_url=base_url,
            bank_url=self.bank_url or base_url,
        )
        headers = {**JSON, "Request-Id": call.request or "", "Stripe-Version": API_VERSION}
        try:
            answer, replayed = await self._answer(request, call)
        except Cut:
            return CUT
        except StripeError as error:
            if error.status == 429:
                headers["Stripe-Rate-Limited-Reason"] = "global-rate"
            return Reply(error.status, dump(error.body).encode(), headers)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return Reply(500, dump(server_error().body).encode(), headers)
        if call.key:
            headers |= {"Idempotency-Key": call.key, "Original-Request": answer.request}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        if call.key and answer.status >= 500:
            headers["Stripe-Should-Retry"] = "false"  # the key would only bring the same 500 again
        return Reply(answer.status, answer.body.encode(), headers)

    async def _answer(self, request: Request, call: Call) -> tuple[Answer, bool]:
        """Return the answer, and whether it is one that was given before."""
        path = unquote(request.path)
        self.keys.check(request.headers, request.method, path)
        self._limit()
        found = self._routes.find(request.method, path)
        if found is None:
            message = f"Unrecognized request URL ({request.method}: {path}). Please see https://stripe.com/docs."
            raise StripeError(404, {"message": message})
        endpoint, ids = found
        pairs = _given(request)
        params = check({**endpoint.spec, "expand": ["text"]}, nest(pairs))
        fingerprint = sha256(json.dumps(sorted(pairs)).encode()).hexdigest()
        name = self._claim(call)
        try:
            catch_up(self.store)
            if saved := self._saved(call, path, fingerprint):
                return saved, True
            fault = self.faults.for_call(request.method, path)
            if wait := self.store.dials.delay:
                await asyncio.sleep(wait)
            await _before(fault)
            after = fault is not None and fault.kind == "error_500_after"
            answer = self._run(endpoint, ids, params, call, path, fingerprint, after)
        finally:
            if name:
                self._running.discard(name)
        await _after(fault)
        return answer, False

    def _run(
        self,
        endpoint: Endpoint,
        ids: dict[str, str],
        params: dict[str, object],
        call: Call,
        path: str,
        fingerprint: str,
        stumbles: bool,
    ) -> Answer:
        """Do the work and save the answer, in one transaction; work that is refused is taken back first."""
        wishes = params.pop("expand", [])
        assert isinstance(wishes, list)
        try:
            with self.store.transaction(call) as tx:
                try:
                    body = endpoint.run(tx, params, **ids)
                    for wish in wishes:
                        expand(tx, body, wish.split("."), wish)
                    status = 200
                except StripeError as error:
                    if not error.keeps:
                        raise
                    status, body = error.status, error.body
                if stumbles:
                    status, body = 500, server_error().body
                answer = Answer(path, fingerprint, status, dump(body), call.request or "")
                if call.key:
                    tx.remember(call.key, answer)
                return answer
        except StripeError as error:
            status, body = (500, server_error().body) if stumbles else (error.status, error.body)
            answer = Answer(path, fingerprint, status, dump(body), call.request or "")
        if call.key:
            with self.store.transaction(call) as tx:
                tx.remember(call.key, answer)
        return answer

    def _claim(self, call: Call) -> tuple[str, str] | None:
        """Hold an idempotency key while its request runs; a second one meanwhile is a conflict."""
        if not call.key:
            return None
        if len(call.key) > 255:
            raise StripeError(
                400, {"type": "idempotency_error", "message": "Idempotency keys are up to 255 characters."}
            )
        name = (call.account, call.key)
        if name in self._running:
            raise _in_use(call.key)
        self._running.add(name)
        return name

    def _saved(self, call: Call, path: str, fingerprint: str) -> Answer | None:
        if not call.key:
            return None
        saved = self.store.look(call).recall(call.key)
        if saved and saved.path != path:
            raise _misused(call.key, f"for the same endpoint they were first used for ('{saved.path}')")
        if saved and saved.fingerprint != fingerprint:
            raise _misused(call.key, "with the same parameters they were first used with")
        return saved

    def _limit(self) -> None:
        """Take a token from the bucket, which holds those of one second; raises Stripe's 429 when it is empty."""
        rate, now = self.store.dials.rate, time.monotonic()
        if not rate:
            return
        self._tokens = min(max(rate, 1.0), self._tokens + (now - self._filled) * rate)
        self._filled = now
        if self._tokens < 1:
            raise too_many()
        self._tokens -= 1


def _given(request: Request) -> list[tuple[str, str]]:
    text = request.body.decode("utf-8", "replace") if request.method == "POST" else request.query
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise invalid("Too many parameters.") from None


async def _before(fault: Fault | None) -> None:
    """What goes wrong before anything is done."""
    if fault is None:
        return
    if fault.kind in ("delay", "timeout_before"):
        await asyncio.sleep(fault.seconds)
    if fault.kind == "hold_before":
        await _let_go(fault)
    if fault.kind in ("timeout_before", "cut_before"):
        raise Cut
    if fault.kind == "error_500_before":
        raise server_error()
    if fault.kind == "error_429":
        raise too_many()


async def _after(fault: Fault | None) -> None:
    """Stay silent, then cut the line: the work is done, but the caller will never hear of it."""
    if fault is not None and fault.kind == "hold_after":
        await _let_go(fault)
    if fault is not None and fault.kind in ("timeout_after", "cut_after"):
        await asyncio.sleep(fault.seconds if fault.kind == "timeout_after" else 0)
        raise Cut


async def _let_go(fault: Fault) -> None:
    while not fault.let_go:
        await asyncio.sleep(0.002)
    if fault.let_go == "cut":
        raise Cut


def too_many() -> StripeError:
    """The 429 of somebody who asks too often (https://docs.stripe.com/rate-limits)."""
    message = (
        "Request rate limit exceeded. You can learn more about rate limits here: https://stripe.com/docs/rate-limits."
    )
    return StripeError(429, {"code": "rate_limit", "message": message})


def _in_use(key: str) -> StripeError:
    return StripeError(
        409,
        {
            "code": "idempotency_key_in_use",
            "message": "There is currently another in-progress request using this Idempotent Key (that probably means "
            f"you submitted twice, and the other request is still going through): {key}. Please try again later.",
        },
    )


def _misused(key: str, how: str) -> StripeError:
    return StripeError(
        400,
        {
            "type": "idempotency_error",
            "message": f"Keys for idempotent requests can only be used {how}. Try using a key other than '{key}' if "
            "you meant to execute a different request.",
        },
    )
