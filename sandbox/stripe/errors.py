"""Error answers as Stripe gives them (https://docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class StripeError(Exception):
    """An answer with status 4xx or 5xx; `keeps` says that what was done before it stays done."""

    def __init__(self, status: int, error: Json) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = {"type": "invalid_request_error"} | {k: v for k, v in error.items() if v is not None}
        if code := self.error.get("code"):
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"

    @property
    def keeps(self) -> bool:
        """A refused card leaves its intent, its failed charge and its events behind; a refused request nothing."""
        return self.status == 402

    @property
    def body(self) -> Json:
        return {"error": self.error}


def invalid(message: str, param: str | None = None, code: str | None = None, **extra: Any) -> StripeError:
    """A request that Stripe refuses with 400."""
    return StripeError(400, {"message": message, "param": param, "code": code, **extra})


def no_such(kind: str, id: str, param: str, status: int = 400) -> StripeError:
    """Something named in the request that is not there: 404 when it is in the path, 400 when in a parameter."""
    message = f"No such {kind.replace('.', ' ')}: '{id}'"
    return StripeError(status, {"message": message, "param": param, "code": "resource_missing"})


def server_error() -> StripeError:
    """The 500 that Stripe gives when it stumbles."""
    return StripeError(500, {"type": "api_error", "message": "An unknown error occurred"})
