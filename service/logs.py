"""Application logs: lines of JSON on stdout, one an incident; what users do is no log, but an event.

Every line has a time, a level, what happened, and, inside of a request, its id. No line names a user.
"""

import logging
import sys
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.types import EventDict

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure(replica: str) -> None:
    """Send our log lines, and those of our libraries from WARNING on, to stdout as JSON."""
    shared: list[Any] = [
        _with_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    ours = logging.getLogger("marquee")
    ours.handlers[:] = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    structlog.contextvars.bind_contextvars(replica=replica)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger below `marquee.`."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(f"marquee.{name}")
    return bound


def _with_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event
