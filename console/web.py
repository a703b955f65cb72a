"""The portal under gunicorn: one process with threads, configured from the deployment settings."""

import os
from typing import Any

from gunicorn.app.base import BaseApplication

from base.database import engine
from base.settings import Settings
from portal.app import create_app


class Portal(BaseApplication):
    """Gunicorn with our options instead of a command line; the application is loaded once, before the fork."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Hand the options over."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application; no connection of this process may be shared with the one that it forks."""
        app = create_app()
        engine().dispose()
        return app


def serve(config: Settings) -> None:
    """Serve until SIGTERM; ends within 3 s of it."""
    host = f"[{config.web_host}]" if ":" in config.web_host else config.web_host
    Portal(
        {
            "bind": f"{host}:{config.web_port}",
            "worker_class": "gthread",
            "threads": config.web_threads,
            "graceful_timeout": 2,
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp",  # noqa: S108
            "loglevel": "warning",
            "forwarded_allow_ips": "",  # X-Forwarded-For is read by the portal, from trusted_proxies only
            "preload_app": True,
        }
    ).run()
