"""The cases of the proof of answers: each answer of DESIGN §4, and each fault.

A case is what its endpoint does, and what has to come of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from orchestrator.domain.chain import ChainState
from orchestrator.domain.delivery import TOO_MANY_DELAY_MIN_S
from orchestrator.proof.answers_case import (
    ANSWER_BYTES_MAX,
    IN_ALL,
    LIVE,
    NOTHING_MORE,
    POLICY,
    Case,
    ReplySent,
    Surroundings,
    exhausted,
    failed,
    fails,
    goes_on,
    once,
    too_long,
)
from orchestrator.proof.answers_faults import faults
from orchestrator.proof.lab import Json, disclosure, issuance
from orchestrator.proof.sightings import App, Expected
from orchestrator.proof.talks import answers

_OK: Final = 200
_NO_REQUEST: Final = "the answer is no session request: "

#: A request for what may not be issued.
_UNAUTHORIZED: Final[Json] = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [
        {
            "credential": "irma-demo.MijnOverheid.root",
            "attributes": {"BSN": "1"},
        }
    ],
}


def all_cases(around: Surroundings) -> list[Case]:
    """Every case; those that take longest first."""
    return [
        *_longest(),
        *_of_200(around),
        *_of_202(),
        *_retried(),
        *_final(around),
        *faults(around),
    ]


def _longest() -> Iterator[Case]:
    """A 429 has a minute, whatever else it says, unless it asks for more."""
    most_s = POLICY.retry_after_max_s
    asked: list[tuple[str, int, dict[str, str], float]] = [
        ("429", 429, {}, TOO_MANY_DELAY_MIN_S),
        ("429, Retry-After 2", 429, {"Retry-After": "2"}, TOO_MANY_DELAY_MIN_S),
        ("429, Retry-After 61", 429, {"Retry-After": "61"}, TOO_MANY_DELAY_MIN_S + 1),
        ("503, Retry-After 7200: cut", 503, {"Retry-After": "7200"}, most_s),
        ("503, Retry-After 3", 503, {"Retry-After": "3"}, 3.0),
    ]
    for name, status, headers, asked_s in asked:
        yield Case(
            name=name,
            script=(answers(status, headers=headers), NOTHING_MORE),
            expected=Expected(
                decided=(f"{status} background", "204 end"), attempts=2, asked_s=asked_s
            ),
        )


def _of_200(around: Surroundings) -> Iterator[Case]:
    following = {
        "plain request": _plain(issuance()),
        "extended request": _body(issuance(around.done_url)),
        "extended request, no next": _body(issuance()),
    }
    for what, body in following.items():
        yield goes_on(f"200, {what}", answers(_OK, body))
    page = {"Content-Type": "text/html; charset=utf-8"}
    yield goes_on("200, request as text/html", answers(_OK, _body(issuance()), page))
    refused = {
        "a page": (b"<!doctype html><title>hello</title>", _NO_REQUEST),
        "broken JSON": (b'{"@context": "https://irma.app/ld/req', _NO_REQUEST),
        "JSON, no request": (b'{"hello": 1}', _NO_REQUEST),
        "empty": (b"", _NO_REQUEST),
    }
    for what, (body, reason) in refused.items():
        yield fails(f"200, {what}", answers(_OK, body, page), "200 failed", reason)
    # That it may not be asked for is the session worker's decision.
    other = answers(_OK, json.dumps(_UNAUTHORIZED).encode())
    reason = "next session not authorized: "
    yield fails("200, not authorized", other, "200 next", reason)
    long = b" " * (ANSWER_BYTES_MAX + 1)
    yield too_long("200, over-long", answers(_OK, long))


def _of_202() -> Iterator[Case]:
    later = answers(202)
    request, other = _body(issuance()), _body(disclosure())
    told = ("202 later", "reply next")
    empty = ReplySent()
    again = ReplySent(body=request)
    replies: dict[str, tuple[tuple[ReplySent, ...], Expected]] = {
        "then a request": (
            (again,),
            Expected(decided=told, attempts=1, app=App.DETACHED, replies=(204,)),
        ),
        "then nothing more": (
            (empty,),
            Expected(decided=("202 later", "reply end"), attempts=1, replies=(204,)),
        ),
        "then the same again, then others": (
            (again, again, ReplySent(body=other), empty),
            Expected(
                decided=told,
                attempts=1,
                app=App.DETACHED,
                replies=(204, 204, 409, 409),
            ),
        ),
        "then invalid, forged, valid": (
            (ReplySent(body=b"{}"), ReplySent(body=request, forged=True), again),
            Expected(decided=told, attempts=1, app=App.DETACHED, replies=(400, 404, 204)),
        ),
        "never": (
            (ReplySent(after_end=True),),
            Expected(
                decided=("202 later",),
                attempts=1,
                state=ChainState.EXPIRED,
                reason="202",
                replies=(410,),
                ends_after_s=POLICY.reply_s,
            ),
        ),
    }
    for what, (sent, expected) in replies.items():
        name = f"202, {what}"
        yield Case(name=name, script=(later,), expected=expected, replies=sent)


def _retried() -> Iterator[Case]:
    yield Case(name="204", expected=Expected(decided=("204 end",), attempts=1))
    for status in (408, 425, 500, 502, 503, 504):
        yield once(f"{status}, then 204", answers(status), str(status))
    away = answers(503)
    following = answers(_OK, _plain(issuance()))
    yield Case(
        name="503 twice, then a request",
        script=(away, away, following),
        expected=Expected(
            decided=("503 live", "503 live", "200 next"), attempts=3, app=App.NEXT
        ),
    )
    live = ("503 live",) * LIVE
    yield Case(
        name="503 past the app's patience, then a request",
        script=(*(away for _ in live), away, following),
        expected=Expected(
            decided=(*live, "503 background", "200 next"),
            attempts=LIVE + 2,
            app=App.DETACHED,
        ),
    )
    yield Case(
        name="503 for ever",
        script=(away,),
        expected=exhausted("503", "status 503", attempts=IN_ALL),
    )
    abort = answers(503, headers={"Chain-Delivery": "abort"})
    reason = "the endpoint has aborted: status 503"
    yield fails("503, Chain-Delivery: abort", abort, "503 failed", reason)
    yield Case(
        name="503, then 503 with abort",
        script=(away, abort),
        expected=failed("503 live", "503 failed", reason=reason),
    )


def _final(around: Surroundings) -> Iterator[Case]:
    for status in (400, 401, 403, 404, 410, 422, 201, 206):
        yield fails(
            str(status),
            answers(status),
            f"{status} failed",
            f"unexpected status {status}",
        )
    location = f"{around.elsewhere_url}/secret-path"
    for status in (301, 302, 303, 307, 308):
        reason = f"redirects are not followed: status {status} to {around.elsewhere_url}"
        moved = answers(status, headers={"Location": location})
        yield fails(f"{status} elsewhere", moved, f"{status} failed", reason)


def _body(request: Mapping[str, JsonValue]) -> bytes:
    return json.dumps(request).encode()


def _plain(extended: Mapping[str, JsonValue]) -> bytes:
    """The request without what surrounds it."""
    return json.dumps(extended["request"]).encode()
