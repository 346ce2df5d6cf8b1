"""The faults: endpoints that break off, make no sense, never end or are not reached."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from orchestrator.domain.chain import ChainState
from orchestrator.proof import talks
from orchestrator.proof.answers_case import (
    IN_ALL,
    LIVE,
    NOTHING_MORE,
    Case,
    Surroundings,
    exhausted,
    once,
    too_long,
)
from orchestrator.proof.sightings import App, Expected
from orchestrator.proof.talks import answers, secured

#: On this address nothing may be called.
FORBIDDEN_ADDRESS: Final = "127.0.0.2"

#: A name that is none (RFC 6761 §6.4).
NO_NAME: Final = "http://name.invalid"

#: A URL that no HTTP client can call.
NO_HTTP: Final = "ftp://127.0.0.1"

_OK: Final = 200


def faults(around: Surroundings) -> Iterator[Case]:
    """Every fault."""
    return chain(_broken_off(), _unreadable(), _without_end(), _unreached(), _tls(around))


def _broken_off() -> Iterator[Case]:
    gone = {
        "reset before the request is read": talks.resets_unread,
        "reset after the request was processed": talks.resets_read,
        "hung up without an answer": talks.says(),
        "cut off within its body": talks.cut_off(_OK),
    }
    for what, talk in gone.items():
        yield once(what, talk, "disconnected")


def _unreadable() -> Iterator[Case]:
    yield once("no HTTP", talks.garbage(), "disconnected")
    yield once("header flood", talks.header_flood(), "disconnected")
    yield too_long("decompression bomb", talks.bomb())
    broken = answers(_OK, b"no gzip", {"Content-Encoding": "gzip"})
    yield once("broken gzip", broken, "disconnected")


def _without_end() -> Iterator[Case]:
    """Timeouts use up the app's patience: two attempts, and the third comes later."""
    yield Case(
        name="hang, twice",
        script=(talks.hangs, talks.hangs, NOTHING_MORE),
        expected=Expected(
            decided=("timeout live", "timeout background", "204 end"), attempts=3
        ),
    )
    yield once("slow body", talks.drips(_OK), "timeout")
    yield too_long("endless body", talks.endless(_OK))
    yield once("503 with an endless body", talks.endless(503), "503")


def _unreached() -> Iterator[Case]:
    yield Case(
        name="refused, then it listens",
        refusals=LIVE,
        expected=Expected(
            decided=("connect live",) * LIVE + ("204 end",), attempts=1, unseen=LIVE
        ),
    )
    yield Case(
        name="no such name",
        url=NO_NAME,
        expected=exhausted("connect", "no answer (connect)", unseen=IN_ALL),
    )
    yield Case(
        name="forbidden address",
        address=FORBIDDEN_ADDRESS,
        expected=_never_asked(
            "forbidden", "the destination is not allowed: its address is not public"
        ),
    )
    yield Case(
        name="URL of no HTTP",
        url=NO_HTTP,
        expected=_never_asked("bad_url", "the URL cannot be called"),
    )


def _never_asked(fault: str, reason: str) -> Expected:
    return Expected(
        decided=(f"{fault} failed",),
        attempts=0,
        unseen=1,
        state=ChainState.FAILED,
        app=App.TOLD,
        reason=reason,
    )


def _tls(around: Surroundings) -> Iterator[Case]:
    """Certificates that do not hold are seen before anything of the result is sent."""
    good = secured(around.trusted, NOTHING_MORE)
    yield Case(
        name="TLS, trusted",
        scheme="https",
        script=(good,),
        expected=Expected(decided=("204 end",), attempts=1),
    )
    for what, context in around.distrusted.items():
        bad = secured(context, NOTHING_MORE)
        yield Case(
            name=f"TLS, {what}, then trusted",
            scheme="https",
            script=(bad, bad, good),
            expected=Expected(decided=("tls live", "tls live", "204 end"), attempts=3),
        )
    yield Case(
        name="TLS asked of plain HTTP, for ever",
        scheme="https",
        script=(talks.no_tls,),
        expected=exhausted("tls", "no answer (tls)", attempts=IN_ALL),
    )
    yield Case(
        name="TLS handshake hangs, then trusted",
        scheme="https",
        script=(talks.silent, good),
        expected=Expected(decided=("timeout live", "204 end"), attempts=2),
    )
