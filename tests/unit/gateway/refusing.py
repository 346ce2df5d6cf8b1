"""Requests to start a session that are refused."""

from __future__ import annotations

from schemas.irma import JsonObject
from tests.support.asgi import Answer
from tests.support.workshop import Workshop


async def refused(workshop: Workshop, answer: Answer) -> JsonObject:
    """The error of a request that has changed nothing."""
    await workshop.settled()
    assert answer.status == answer.fields["status"]
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert "chain-id" not in answer.headers
    assert workshop.backend.requests == []
    assert await workshop.store.chains(limit=10) == []
    assert workshop.publisher.calls == []
    return answer.fields
