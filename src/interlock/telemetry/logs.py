"""Structured logs on standard error, one JSON object a line, without secrets.

Libraries that log through the standard library come out in the same form. The
request id is a context variable: set it once per request and every line of it
carries it.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from interlock.telemetry.redaction import mask_members
from interlock.telemetry.settings import TelemetrySettings

__all__ = ["bind_request", "configure_logs", "redact"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NOISY = (
    "aiosqlite",
    "alembic",
    "asyncio",
    "httpcore",
    "httpx",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "uvicorn.access",
)


def configure_logs(settings: TelemetrySettings, *, stream: TextIO | None = None) -> None:
    """Sets logging up for the process; call once, before anything is logged."""
    level = _LEVELS[settings.log_level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    render: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=_plain)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    for former in list(root.handlers):
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


@contextlib.contextmanager
def bind_request(request_id: str, **members: str) -> Iterator[None]:
    """Every line logged inside carries the request id and these members."""
    with structlog.contextvars.bound_contextvars(request_id=request_id, **members):
        yield


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Masks secrets by member name and by look, tracebacks included."""
    kept = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    masked: EventDict = mask_members(dict(event))
    return {**masked, **kept}


def _to_json(event: EventDict, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _plain(stream: TextIO, info: object) -> None:
    stream.write(str(info))
