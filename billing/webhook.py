"""Messages for people without a working mail address: posted, signed, to the operator's own SMS or chat sender.

POST with JSON {"to", "kind", "text", "key"} and the header `Tollkeeper-Signature: t=<seconds>,v1=<hex>`, where v1 is
HMAC-SHA256 under message_webhook_secret over "<t>.<body>". The receiver sends each `key` once and answers 2xx when it
has taken it, another 4xx than 408, 425 or 429 when it never will.
"""

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO

from base import clock
from base.business import Business

TIMEOUT = 20.0  # seconds
_LATER = {408, 425, 429}


class NotNow(Exception):
    """The receiver cannot be reached or says 'later'."""


class Never(Exception):
    """The receiver will not take this message."""


def post(business: Business, *, to: str, kind: str, text: str, key: str) -> None:
    """Have one message sent as SMS or chat, or raise NotNow or Never."""
    if not business.message_webhook_url:
        raise Never("message_webhook_url is not set any more.")
    body = json.dumps({"to": to, "kind": kind, "text": text, "key": key}, ensure_ascii=False).encode()
    request = urllib.request.Request(  # noqa: S310 - the setting is checked to be http or https
        business.message_webhook_url,
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "Tollkeeper-Signature": sign(business.message_webhook_secret, body, int(clock.real().timestamp())),
        },
    )
    try:
        with _opener.open(request, timeout=TIMEOUT) as response:
            response.read(1000)
    except urllib.error.HTTPError as error:
        answer = f"the message webhook answers {error.code} {error.reason}"
        if 400 <= error.code < 500 and error.code not in _LATER:
            raise Never(answer) from error
        raise NotNow(answer) from error
    except (OSError, HTTPException) as error:
        raise NotNow(f"the message webhook does not answer: {error}") from error


def sign(secret: str, body: bytes, at: int) -> str:
    """The signature header's value for a body at an instant (seconds since 1970)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer that is not 2xx: the message is not carried to another address."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
