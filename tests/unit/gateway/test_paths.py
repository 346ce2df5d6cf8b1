"""Methods and tokens in paths are looked at before there is a route (irma.md §1)."""

from __future__ import annotations

import pytest

from tests.support.asgi import call
from tests.support.samples import disclosure
from tests.support.workshop import Workshop

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["abc", "abc/", "abc/status", "abc/no/route", "/status"])
async def test_what_is_no_token_is_refused_first(
    workshop: Workshop, method: str, path: str
) -> None:
    """With any method, whatever follows it, an empty one too."""
    answer = await call(workshop.gateway, method, f"/session/{path}")
    assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
    assert answer.fields["message"] == (
        "string did not pass input validation for requestorToken"
    )
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "method,path,status",
    [
        ("GET", "", 405),
        ("PUT", "/status", 405),
        ("DELETE", "/status", 405),
        ("GET", "/", 405),
        ("GET", "/status/", 404),
        ("GET", "/nope", 404),
    ],
)
async def test_behind_a_token_routes_are_looked_for(
    workshop: Workshop, method: str, path: str, status: int
) -> None:
    """Go's 404 and 405, whether or not there is such a session."""
    begun = await workshop.begin(disclosure())
    for token in (begun.token, "A" * 20):
        answer = await call(workshop.gateway, method, f"/session/{token}{path}")
        assert answer.status == status
        assert answer.body == (b"404 page not found\n" if status == 404 else b"")


@pytest.mark.parametrize("path", ["/session", "/nope", "/irma/nope", "/session/abc"])
async def test_other_methods_are_none(workshop: Workshop, path: str) -> None:
    """405 without a word, before the path is looked at."""
    answer = await call(workshop.gateway, "PROPFIND", path)
    assert (answer.status, answer.body) == (405, b"")


async def test_our_own_rooms_have_their_own_words(workshop: Workshop) -> None:
    """Problem details, whatever the method."""
    answer = await call(workshop.gateway, "PROPFIND", "/chains")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
