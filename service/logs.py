"""Application logs: one JSON object per line on stdout, one line per incident.

Each line has a time, a level, an event and, during a request, the request id. No line contains a user id:
user activity is recorded as events (`service.telemetry`), not in logs.
"""

import logging
import sys
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.types import EventDict

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure(replica: str) -> None:
    """Configure the loggers of Marquee to write JSON lines of level INFO and above to stdout.

    Args:
        replica: name of this process, added to each line.
    """
    shared: list[Any] = [
        _add_request_id,
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
    marquee_logger = logging.getLogger("marquee")
    marquee_logger.handlers[:] = [handler]
    marquee_logger.setLevel(logging.INFO)
    marquee_logger.propagate = False
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


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger `marquee.<name>`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(f"marquee.{name}")
    return logger


def _add_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    current_id = request_id.get()
    if current_id is not None:
        event.setdefault("request_id", current_id)
    return event
