"""Logs on standard output: text for people, JSON for machines; secrets never get in.

An alarm is an error that a person must look at: `alarm()` gives it a name that monitoring can count.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from base.settings import Settings

_NOISY = (
    "alembic", "amqp", "celery.app.trace", "celery.beat", "celery.worker.strategy", "fontTools", "kombu", "weasyprint",
    "werkzeug",
)  # fmt: skip
_HIDDEN = {"password", "secret", "user_password", "chap_password", "token", "card", "authorization"}


def configure(config: Settings, process: str) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    level = getattr(logging, config.log_level.upper())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if config.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=0)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.contextvars.bind_contextvars(process=process)


def logger() -> Any:
    """The logger of the house; `log.info("what.happened", key=value)`."""
    return structlog.get_logger()


def alarm(name: str, **facts: Any) -> None:
    """Say that a person must look; inside an except block the traceback goes with it."""
    logger().error("alarm", alarm=name, exc_info=sys.exc_info()[0] is not None, **facts)


def _hide(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        if key.lower() in _HIDDEN:
            event[key] = "(hidden)"
    return event
