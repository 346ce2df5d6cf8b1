"""What does not start a session, and what an IRMA server says to it (irma.md §1)."""

from __future__ import annotations

import pytest

from orchestrator.gateway import Options
from schemas.irma import JsonObject
from tests.support.samples import PUBLIC_URL, disclosure
from tests.support.workshop import Workshop
from tests.unit.gateway.refusing import refused


@pytest.mark.trap("T14")
@pytest.mark.parametrize("empty", [{}, {"url": ""}, {"url": None}])
async def test_an_empty_next_session_is_one_refusal(
    workshop: Workshop, empty: JsonObject
) -> None:
    """One JSON document, with upstream's words; no session is started beside it."""
    request = disclosure() | {"nextSession": empty}
    error = await refused(workshop, await workshop.post_session(request))
    assert error == {
        "status": 400,
        "error": "INVALID_REQUEST",
        "description": "Invalid HTTP request",
        "message": "nextSession provided with empty URL",
    }


def returning(url: str | None) -> JsonObject:
    """A request whose `clientReturnUrl` is to be augmented."""
    request = disclosure()
    plain = request["request"]
    assert isinstance(plain, dict)
    plain["augmentReturnUrl"] = True
    if url is not None:
        plain["clientReturnUrl"] = url
    return request


async def test_a_return_url_is_augmented_only_where_that_is_configured(
    workshop: Workshop,
) -> None:
    """400 with upstream's words; with the option the IRMA server does it."""
    request = returning("https://shop.example/done")
    error = await refused(workshop, await workshop.post_session(request))
    assert (error["status"], error["error"]) == (400, "INVALID_REQUEST")
    assert error["message"] == (
        "augmenting client return url not enabled in server configuration"
    )
    options = Options(public_url=PUBLIC_URL, augment_client_return_url=True)
    app = workshop.shared.at(workshop.desk(options=options))
    assert (await workshop.post_session(request, app)).status == 200
    plain = workshop.backend.requests[0].request
    assert plain.augment_return_url
    assert plain.client_return_url == "https://shop.example/done"


@pytest.mark.parametrize("url", [None, ""])
async def test_no_return_url_cannot_be_augmented(
    workshop: Workshop, url: str | None
) -> None:
    """400 with upstream's words."""
    options = Options(public_url=PUBLIC_URL, augment_client_return_url=True)
    app = workshop.shared.at(workshop.desk(options=options))
    answer = await workshop.post_session(returning(url), app)
    error = await refused(workshop, answer)
    assert error["message"] == "cannot augment empty client return url"


async def test_permission_comes_before_what_does_not_fit(workshop: Workshop) -> None:
    """In the order of an IRMA server: who may not ask is told that first."""
    request = returning("https://shop.example/done")
    plain = request["request"]
    assert isinstance(plain, dict)
    plain["disclose"] = [[["pbdf.a.b.c"]]]
    others: list[JsonObject] = [{"nextSession": {}}, {"callbackUrl": "x" * 30_001}]
    for more in ({}, *others):
        error = await refused(workshop, await workshop.post_session(request | more))
        assert (error["status"], error["message"]) == (403, "pbdf.a.b.c")
