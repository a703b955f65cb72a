"""The portal under gunicorn, one process with threads, configured from the deployment settings."""

import os
import sys

from base.settings import Settings


def serve(config: Settings) -> None:
    """Become gunicorn; it ends within 3 s of SIGTERM."""
    host = f"[{config.web_host}]" if ":" in config.web_host else config.web_host
    argv = [
        sys.executable, "-m", "gunicorn",
        "--bind", f"{host}:{config.web_port}",
        "--worker-class", "gthread",
        "--threads", str(config.web_threads),
        "--graceful-timeout", "2",
        "--worker-tmp-dir", "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp",  # noqa: S108
        "--log-level", "warning",
        "--forwarded-allow-ips", "",  # X-Forwarded-For is read by the portal, from trusted_proxies only
        "portal.app:create_app()",
    ]  # fmt: skip
    os.execv(sys.executable, argv)  # noqa: S606
