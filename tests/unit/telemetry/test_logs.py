"""Logging as a process sees it: every logger ends in the same redacted lines."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from orchestrator.domain.errors import NotConfigured
from orchestrator.sealing import read_key
from orchestrator.telemetry import bind_chain, configure_logging

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Logging set up as JSON into a text, and everything put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    stream = io.StringIO()
    configure_logging("info", "json", "gateway", stream=stream)
    yield stream
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines(out: io.StringIO) -> Lines:
    """The lines written so far, decoded."""
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(lines: Lines) -> None:
    """Each line has the time in UTC, its level, logger, process, event and keys."""
    structlog.get_logger("orchestrator.test").info("callback answered", status=200)
    (line,) = lines()
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "callback answered",
        "status": 200,
        "level": "info",
        "logger": "orchestrator.test",
        "process": "gateway",
    }


def test_lines_are_redacted(out: io.StringIO, lines: Lines) -> None:
    """Markers in values, bound or given, in texts and in objects do not come out."""
    log = structlog.get_logger("x").bind(token="MARKER")
    log.warning("at https://h.example/MARKER", url="MARKER", nested={"path": "MARKER"})
    assert "MARKER" not in out.getvalue()
    assert lines()[0]["event"] == "at https://h.example"


@pytest.mark.parametrize(
    "name", ["uvicorn.error", "aio_pika", "faststream", "alembic.runtime", "new.one"]
)
def test_libraries_come_the_same_way(name: str, lines: Lines) -> None:
    """What a library logs is a line like ours, bound ids included."""
    with bind_chain("01J", 2, 0):
        logging.getLogger(name).warning("gave up on %s", "amqp://u:MARKER@mq/MARKER")
    (line,) = lines()
    assert line["event"] == "gave up on amqp://mq"
    assert (line["logger"], line["process"]) == (name, "gateway")
    assert (line["chain_id"], line["step"], line["generation"]) == ("01J", 2, 0)


def test_chain_is_bound_within_its_context_only(lines: Lines) -> None:
    """After the context the ids are gone; more of them may be bound."""
    with bind_chain("01J", 2, 0, attempt=3):
        structlog.get_logger("x").info("inside")
    structlog.get_logger("x").info("outside")
    inside, outside = lines()
    assert (inside["chain_id"], inside["attempt"]) == ("01J", 3)
    assert "chain_id" not in outside


def test_handlers_of_libraries_are_taken_away(out: io.StringIO) -> None:
    """A handler that a library added before is replaced by ours."""
    own = io.StringIO()
    logger = logging.getLogger("faststream.access.test")
    logger.addHandler(logging.StreamHandler(own))
    logger.propagate = False
    configure_logging("info", "json", "worker", stream=out)
    logger.warning("once")
    assert own.getvalue() == ""
    assert out.getvalue().count("once") == 1


@pytest.mark.parametrize(
    "name,level",
    [
        ("sqlalchemy.engine.Engine", logging.INFO),
        ("aiormq.connection", logging.INFO),
        ("uvicorn.access", logging.CRITICAL),
        ("aiohttp.access", logging.CRITICAL),
        ("asyncio", logging.INFO),
    ],
)
def test_talkative_libraries_are_not_heard(
    name: str, level: int, out: io.StringIO
) -> None:
    """Statements, frames and request paths are not heard, at any level of ours."""
    configure_logging("debug", "json", "gateway", stream=out)
    logging.getLogger(name).log(level, "MARKER")
    assert out.getvalue() == ""


def test_exceptions_are_told_without_foreign_texts(
    out: io.StringIO, lines: Lines
) -> None:
    """An exception becomes its type, its causes and our frames, on one line."""
    log = structlog.get_logger("x")
    try:
        read_key("MARKER MARKER")
    except NotConfigured:
        log.exception("no start")
    log.error("refused", exc_info=ValueError("MARKER"))
    logging.getLogger("lib").error("failed", exc_info=KeyError("MARKER"))
    assert "MARKER" not in out.getvalue()
    ours, foreign, library = lines()
    assert ours["error"] == "orchestrator.domain.errors.NotConfigured"
    assert "base64url" in str(ours["error_text"])
    assert "read_key" in str(ours["error_frames"])
    assert (foreign["error"], library["error"]) == ("ValueError", "KeyError")


def test_exceptions_in_messages_of_libraries_are_named(
    out: io.StringIO, lines: Lines
) -> None:
    """A library that logs an exception as text tells no more than its type."""
    library = logging.getLogger("lib")
    library.error("failed: %s / %r", ValueError("MARKER"), KeyError("MARKER"))
    library.error("failed: %(why)s", {"why": ValueError("MARKER")})
    library.error(OSError("MARKER"))
    assert "MARKER" not in out.getvalue()
    assert [line["event"] for line in lines()] == [
        "failed: ValueError / 'KeyError'",
        "failed: ValueError",
        "OSError",
    ]


def test_messages_of_libraries_are_one_line(lines: Lines) -> None:
    """SQL, parameters and tracebacks that follow a message's first line are dropped."""
    logging.getLogger("lib").error("(OperationalError) gone\n[parameters: MARKER]")
    logging.getLogger("lib").error("")
    assert [line["event"] for line in lines()] == ["(OperationalError) gone", ""]


def test_stacks_are_not_shown(out: io.StringIO, lines: Lines) -> None:
    """Who asks for the stack gets the line without it: source may hold anything."""
    structlog.get_logger("x").info("one", stack_info=True)
    logging.getLogger("lib").info("two", stack_info=True)
    assert "stack" not in out.getvalue()
    assert [line["event"] for line in lines()] == ["one", "two"]


def test_asyncio_does_not_tell_arguments(lines: Lines) -> None:
    """Reports of asyncio name the callback but not what it was called with."""
    report = "Exception in callback Worker.act('MARKER')\nhandle: <Handle MARKER>"
    logging.getLogger("asyncio").error(report)
    assert lines()[0]["event"] == "Exception in callback Worker.act"


def test_lines_that_cannot_be_made_are_reported_without_content(
    out: io.StringIO,
) -> None:
    """A library's wrong format string does not print its arguments."""
    configure_logging("info", "json", "gateway", stream=out)  # without pytest's handlers
    logging.getLogger("lib").error("%d items", "MARKER")
    assert out.getvalue() == "a log line of lib could not be written\n"


def test_uncaught_exceptions_are_logged(out: io.StringIO, lines: Lines) -> None:
    """What ends the process or a thread is a redacted line, not a traceback."""
    sys.excepthook(ValueError, ValueError("MARKER"), None)
    thread = threading.Thread(target=read_key, args=("MARKER!",))
    thread.start()
    thread.join(timeout=10)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert "MARKER" not in out.getvalue()
    died, thread_died = lines()
    assert (died["event"], died["error"]) == ("process died", "ValueError")
    assert thread_died["event"] == "thread died"


def test_console_lines_are_for_people(out: io.StringIO) -> None:
    """The console form holds the same, without braces and without secrets."""
    configure_logging("info", "console", "gateway", stream=out)
    structlog.get_logger("x").info("hello", token="MARKER", step=1)
    text = out.getvalue()
    assert "hello" in text
    assert "step=1" in text
    assert "MARKER" not in text
    assert not text.startswith("{")


def test_level_is_kept(out: io.StringIO) -> None:
    """Below the configured level nothing is written, by us or by libraries."""
    configure_logging("WARNING", "json", "gateway", stream=out)
    structlog.get_logger("x").info("unheard")
    logging.getLogger("lib").info("unheard")
    assert out.getvalue() == ""


def test_unknown_level_is_refused() -> None:
    """A level that does not exist is said to, with those that do."""
    with pytest.raises(NotConfigured, match="one of debug, info"):
        configure_logging("loud", "json", "gateway")
