"""Logging set-up: one line per event, structlog's and everybody else's, all redacted.

Our own lines go straight to the stream, for a callback worker writes hundreds a second;
those of libraries come by way of the standard library's logging to the same place.
Whoever runs uvicorn passes `log_config=None`, and FastStream's broker gets a logger of
ours; otherwise these libraries add handlers of their own afterwards.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from types import TracebackType
from typing import Final, Literal, TextIO

import structlog
from structlog.contextvars import merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from orchestrator.domain.errors import NotConfigured
from orchestrator.telemetry.redaction import exception_fields, redacted, type_name

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

#: Levels below which a library is never heard: its lines there show SQL with parameters,
#: AMQP frames with bodies, or the paths of requests.
FLOORS: Final = {
    "aio_pika": logging.INFO,
    "aiohttp": logging.WARNING,
    "aiohttp.access": logging.CRITICAL + 1,
    "aiormq": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "alembic": logging.INFO,
    "asyncio": logging.WARNING,
    "asyncpg": logging.WARNING,
    "faststream": logging.INFO,
    "sqlalchemy": logging.WARNING,
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.CRITICAL + 1,
}


_JSON: Final = json.JSONEncoder()


def configure_logging(
    level: str,
    format: Literal["json", "console"],  # noqa: A002 - the setting's name
    process: str,
    *,
    stream: TextIO | None = None,
) -> None:
    """Send all logging of this process, redacted, to one stream.

    Args:
        level: one of `LEVELS`; libraries never go below their floor.
        format: `json` for machines, `console` for people.
        process: what this process is, e.g. `gateway`; on every line.
        stream: where to; standard error if not given.

    Raises:
        NotConfigured: the level does not exist.
    """
    if level.lower() not in LEVELS:
        raise NotConfigured(f"the log level must be one of {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    out = stream or sys.stderr
    stamps, renderer = _stamps(process), _renderer(format, out)
    handler = _Handler(out)
    handler.setFormatter(_Formatter(stamps, renderer))
    _route_all(handler, number)
    structlog.configure(
        # What we stamp ourselves need not be searched for secrets.
        processors=[merge_contextvars, _redact, *stamps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=partial(_Logger, handler),
        cache_logger_on_first_use=True,
    )
    _log_what_nobody_caught()


def bind_chain(
    chain_id: str, step: int, generation: int, **more: str | int
) -> AbstractContextManager[None]:
    """Put a chain's place, and more ids if given, on every line within the context."""
    return structlog.contextvars.bound_contextvars(
        chain_id=chain_id, step=step, generation=generation, **more
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a line that cannot be made is reported without its content."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say which logger's line was lost; logging itself would print its arguments."""
        self.stream.write(f"a log line of {record.name} could not be written\n")

    def write(self, line: str) -> None:
        """Write a finished line, between those of libraries; one that is lost, is."""
        with self.lock or nullcontext(), suppress(OSError, ValueError):
            self.stream.write(f"{line}\n")
            self.stream.flush()


class _Logger:
    """What structlog hands its finished lines to."""

    def __init__(self, handler: _Handler, name: str = "") -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = handler.write


class _Formatter(ProcessorFormatter):
    """Brings lines of libraries through the processors of our own."""

    def __init__(self, stamps: list[Processor], renderer: Processor) -> None:
        super().__init__(
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _redact,
                renderer,
            ],
            foreign_pre_chain=[merge_contextvars, *stamps],
        )

    def format(self, record: logging.LogRecord) -> str:
        """Format a line without exception texts and further lines."""
        record = logging.makeLogRecord(record.__dict__)
        record.msg, record.args = _foreign_text(record), ()
        return super().format(record)


def _stamps(process: str) -> list[Processor]:
    """Who says it, how loud, and when."""

    def name_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]


def _renderer(format_: str, out: TextIO) -> Processor:
    if format_ == "json":
        return _as_json
    return structlog.dev.ConsoleRenderer(colors=out.isatty())


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Redacted fields are plain, so they need no more than the encoder."""
    return _JSON.encode(event)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide what must not be told; an exception becomes fields without foreign texts."""
    error = _exception_in(event.pop("exc_info", None))
    event.pop("stack_info", None)
    line = redacted(event)
    return line | (exception_fields(error) if error is not None else {})


def _exception_in(exc_info: object) -> BaseException | None:
    """The exception meant by logging's `exc_info` in any of its forms."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case None | False | ():
            return None
        case _:
            return sys.exception()


def _foreign_text(record: logging.LogRecord) -> str:
    """A library's message in one line, with exceptions reduced to their types.

    asyncio puts the arguments of callbacks into its messages, after a parenthesis.
    """
    record.msg = _named(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(_named(argument) for argument in record.args)
    elif record.args:
        record.args = {name: _named(value) for name, value in record.args.items()}
    text, *_ = record.getMessage().splitlines() or [""]
    return text.partition("(")[0] if record.name.startswith("asyncio") else text


def _named(argument: object) -> object:
    return type_name(argument) if isinstance(argument, BaseException) else argument


def _route_all(handler: logging.Handler, level: int) -> None:
    """Make the root logger's handler the only one of the process."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
    for name, floor in FLOORS.items():
        logging.getLogger(name).setLevel(max(floor, level))


def _log_what_nobody_caught() -> None:
    """Python's own hooks would print whole tracebacks, texts and all."""
    sys.excepthook = _hook("process died")
    sys.unraisablehook = lambda hook: _report("ignored error", hook.exc_value)
    threading.excepthook = lambda hook: _report("thread died", hook.exc_value)


def _hook(
    event: str,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    def report(
        _type: type[BaseException], error: BaseException, _tb: TracebackType | None
    ) -> None:
        _report(event, error)

    return report


def _report(event: str, error: BaseException | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    structlog.get_logger(__name__).critical(event, exc_info=error)
