"""Errors as the IRMA server writes them (irma.md §1.1)."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    BrokerUnavailable,
    SealBroken,
    StoreUnavailable,
)
from orchestrator.gateway import faults
from orchestrator.gateway.faults import IrmaFault, Overloaded, json_response
from orchestrator.gateway.problems import Problem
from schemas.irma import ErrorKind
from tests.support.asgi import Answer, Exchange, call

JSON_TYPE = "application/json; charset=UTF-8"


PROBLEM_TYPE = "application/problem+json"


def app(error: Exception | None = None) -> FastAPI:
    """An application whose routes raise this error."""
    made = FastAPI(redirect_slashes=False)
    faults.install(made)

    @made.get("/it")
    @made.get("/irma/it")
    @made.get("/chains/it")
    async def it() -> None:
        if error is not None:
            raise error

    return made


async def told(error: Exception) -> Answer:
    """What a client is told of an error."""
    answer = await call(app(error), "GET", "/it")
    assert answer.headers["content-type"] == JSON_TYPE
    return answer


async def test_a_fault_is_an_irma_error() -> None:
    """Status, name, description and message; empty fields are left out."""
    answer = await told(IrmaFault(ErrorKind.INVALID_REQUEST, "disclose: missing"))
    assert answer.status == 400
    assert answer.json == {
        "status": 400,
        "error": "INVALID_REQUEST",
        "description": "Invalid HTTP request",
        "message": "disclose: missing",
    }
    answer = await told(IrmaFault(ErrorKind.SESSION_UNKNOWN))
    assert "message" not in answer.fields


@pytest.mark.parametrize("kind", list(ErrorKind))
async def test_every_kind_has_its_own_status(kind: ErrorKind) -> None:
    """The HTTP status is the one in the body."""
    answer = await told(IrmaFault(kind))
    assert answer.status == answer.fields["status"] == kind.http_status


async def test_what_the_irma_server_refused_is_passed_on() -> None:
    """Only it knows the schemes, so its words are the requestor's answer."""
    refused = BackendRefused(
        status=400, error="INVALID_REQUEST", description="d", message="unknown attribute"
    )
    answer = await told(refused)
    assert (answer.status, answer.json) == (
        400,
        {
            "status": 400,
            "error": "INVALID_REQUEST",
            "description": "d",
            "message": "unknown attribute",
        },
    )


async def test_an_unspoken_refusal_has_no_empty_fields() -> None:
    """As the IRMA server leaves them out."""
    answer = await told(BackendRefused(status=403, error="UNAUTHORIZED"))
    assert answer.json == {"status": 403, "error": "UNAUTHORIZED"}


@pytest.mark.parametrize(
    "error,who",
    [
        (StoreUnavailable("MARKER"), "database"),
        (BrokerUnavailable("MARKER"), "broker"),
        (BackendUnavailable("MARKER"), "IRMA server"),
    ],
)
async def test_what_is_away_is_named(error: Exception, who: str) -> None:
    """503 with a time to come back, in the IRMA error shape; no details."""
    answer = await told(error)
    assert answer.status == answer.fields["status"] == 503
    assert answer.headers["retry-after"] == "5"
    assert who in str(answer.fields["message"])
    assert "MARKER" not in answer.body.decode()


@pytest.mark.parametrize("error", [ValueError("MARKER"), SealBroken("MARKER")])
async def test_a_defect_of_ours_is_an_internal_error(error: Exception) -> None:
    """A client sees an IRMA error, the server the defect (irma.md §1.1, panic)."""
    exchange = Exchange(method="GET", path="/it")
    with pytest.raises(type(error)):
        await exchange.by(app(error))
    assert exchange.answer.status == 500
    assert exchange.answer.headers["content-type"] == JSON_TYPE
    assert exchange.answer.json == {
        "status": 500,
        "error": "INTERNAL_ERROR",
        "description": "Internal server error",
    }


@pytest.mark.trap("T36")
async def test_an_unknown_path_is_gos_404() -> None:
    """Plain text, as the requestor routes of the IRMA server (irma.md §1.1)."""
    answer = await call(app(), "GET", "/nowhere")
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_wrong_method_is_an_empty_405() -> None:
    """With the methods that are right."""
    answer = await call(app(), "DELETE", "/it")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("method,path", [("HEAD", "/it"), ("OPTIONS", "/it")])
async def test_head_and_options_are_methods_like_others(method: str, path: str) -> None:
    """An IRMA server answers neither where it answers GET."""
    answer = await call(app(), method, path)
    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.trap("T36")
@pytest.mark.parametrize(
    "method,path,status",
    [
        ("GET", "/irma/nowhere", 404),
        ("GET", "/irma/", 404),
        ("DELETE", "/irma/it", 405),
    ],
)
async def test_below_irma_unknown_routes_are_json(
    method: str, path: str, status: int
) -> None:
    """Status and error, and no description (irma.md §1.1)."""
    answer = await call(app(), method, path)
    assert answer.headers["content-type"] == JSON_TYPE
    assert answer.status == status
    assert answer.json == {"status": status, "error": "INVALID_REQUEST"}


async def test_a_fault_may_have_a_status_that_irma_does_not_know() -> None:
    """In its body too."""
    answer = await told(IrmaFault(ErrorKind.INVALID_REQUEST, "no", status=409))
    assert (answer.status, answer.fields["status"]) == (409, 409)


async def test_what_is_too_much_is_told_with_a_time() -> None:
    """503 like what is away, with the bound in words."""
    answer = await told(Overloaded("too many of them"))
    assert (answer.status, answer.fields["status"]) == (503, 503)
    assert answer.headers["retry-after"] == "5"
    assert answer.fields["message"] == "too many of them"


@pytest.mark.parametrize(
    "error,status,detail",
    [
        (Problem(404, "there is none"), 404, "there is none"),
        (StoreUnavailable("MARKER"), 503, "the database is away"),
        (Overloaded("too many of them"), 503, "too many of them"),
    ],
)
async def test_our_own_rooms_tell_problems(
    error: Exception, status: int, detail: str
) -> None:
    """Problem details (RFC 9457), whatever went wrong."""
    answer = await call(app(error), "GET", "/chains/it")
    assert answer.headers["content-type"] == PROBLEM_TYPE
    assert (answer.status, answer.fields["status"]) == (status, status)
    assert str(answer.fields["detail"]).startswith(detail)
    assert "MARKER" not in answer.body.decode()


async def test_unknown_routes_and_methods_of_our_rooms_are_problems() -> None:
    """With the title of their status."""
    answer = await call(app(), "GET", "/chains/no/such")
    assert answer.headers["content-type"] == PROBLEM_TYPE
    assert (answer.status, answer.fields["title"]) == (404, "Not Found")
    answer = await call(app(), "POST", "/chains/it")
    assert (answer.status, answer.fields["title"]) == (405, "Method Not Allowed")
    assert answer.headers["allow"] == "GET"


async def test_a_defect_in_our_rooms_is_a_problem() -> None:
    """500 without a word about what it was."""
    exchange = Exchange(method="GET", path="/chains/it")
    with pytest.raises(ValueError, match="MARKER"):
        await exchange.by(app(ValueError("MARKER")))
    assert exchange.answer.headers["content-type"] == PROBLEM_TYPE
    assert exchange.answer.fields["status"] == 500
    assert "MARKER" not in exchange.answer.body.decode()


def test_json_is_written_without_spaces() -> None:
    """As Go does, with its content type."""
    response = json_response({"a": [1, "ü"]}, headers={"Chain-Id": "C1"})
    assert response.body == b'{"a":[1,"\\u00fc"]}'
    assert response.headers["content-type"] == JSON_TYPE
    assert response.headers["chain-id"] == "C1"
