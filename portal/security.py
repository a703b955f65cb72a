"""What protects every page: headers, the session cookie and its keys, CSRF, and limits on guessing passwords."""

import hashlib
import hmac

from flask import Flask, Response, abort, request
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFProtect

from base.crypto import open_vault
from base.settings import Settings, settings
from portal.at_hand import client_address

csrf = CSRFProtect()


def _login_and_address() -> str:
    return f"{client_address()} {request.form.get('login', '').strip().casefold()}"


def _address() -> str:
    return str(client_address())


limiter = Limiter(_address, strategy="moving-window", storage_uri="memory://")


def _guessed_wrong(response: Response) -> bool:
    return response.status_code >= 400


# Only wrong passwords count: three for one login and twenty for all logins, per minute and address.
limit_guessing = limiter.limit(
    "3 per minute", key_func=_login_and_address, methods=["POST"], deduct_when=_guessed_wrong, scope="login"
)
limit_probing = limiter.limit(
    "20 per minute", key_func=_address, methods=["POST"], deduct_when=_guessed_wrong, scope="address"
)

# Each unknown payment makes us ask Stripe: ten per minute and address.
limit_unknown = limiter.limit("10 per minute", key_func=_address, deduct_when=_guessed_wrong)


def session_keys(config: Settings) -> list[bytes]:
    """Keys that sign the session cookie, newest first, derived from the encryption keys and rotating with them."""
    open_vault(config.secret_keys)  # makes or checks the file
    lines = [line.strip() for line in config.secret_keys.read_text().splitlines() if line.strip()]
    return [hmac.digest(line.encode(), b"tollkeeper: portal session cookie", hashlib.sha256) for line in lines]


def protect(app: Flask) -> None:
    """Arm an application; its requests are limited in size and hold no NUL, which PostgreSQL's text cannot store."""
    config = settings()
    newest, *older = session_keys(config)
    app.config.update(
        SECRET_KEY=newest,
        SECRET_KEY_FALLBACKS=older,
        SESSION_COOKIE_NAME="tollkeeper",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=config.public_url.startswith("https://"),
        PERMANENT_SESSION_LIFETIME=30 * 86400,
        MAX_CONTENT_LENGTH=1_000_000,
        WTF_CSRF_TIME_LIMIT=None,
    )
    headers = security_headers(config)

    @app.before_request
    def refuse_nul() -> None:
        typed = [*request.args.items(multi=True), *request.form.items(multi=True)]
        if "\0" in request.path or any("\0" in text for _, text in typed):
            abort(400)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response

    csrf.init_app(app)
    limiter.init_app(app)


def security_headers(config: Settings) -> dict[str, str]:
    """The headers of every answer; the pay form leads to Stripe (or the pretend one), so form-action names it."""
    forms = ["'self'", "https://checkout.stripe.com"]
    if config.sandbox:
        forms += [f"http://{host}:{config.sandbox_stripe_port}" for host in ("127.0.0.1", "localhost")]
    policy = {
        "default-src": "'self'",
        "img-src": "'self' data:",
        "style-src": "'self'",
        "script-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "frame-ancestors": "'none'",
        "form-action": " ".join(forms),
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    if config.public_url.startswith("https://"):
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers
