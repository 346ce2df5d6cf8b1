"""The IRMA server refuses us: the requestor must not look for the fault at himself."""

from __future__ import annotations

import json

from orchestrator.domain.errors import BackendRefused, NotAdmitted
from tests.support.asgi import Answer, call
from tests.support.samples import SECRET, disclosure
from tests.support.workshop import Workshop


async def started(workshop: Workshop) -> Answer:
    """A session request that is all right."""
    return await workshop.post_session(disclosure())


async def test_our_credentials_are_no_requestors_fault(workshop: Workshop) -> None:
    """500 with a reason: no UNAUTHORIZED, nothing to try again soon, and no chain."""
    workshop.backend.refusal = NotAdmitted("IRMA server http://irma.example: refuses us")
    answer = await started(workshop)
    assert (answer.status, answer.fields["error"]) == (500, "INTERNAL_ERROR")
    assert "does not admit this gateway" in str(answer.fields["message"])
    assert "retry-after" not in answer.headers
    assert await workshop.store.chains(limit=1) == []


async def test_a_permission_that_is_missing_there_is_passed_on(
    workshop: Workshop,
) -> None:
    """The server's reason tells which, so that somebody can be asked for it."""
    workshop.backend.refusal = BackendRefused(
        status=403, error="UNAUTHORIZED", description="You are not …", message="a.b.c.d"
    )
    answer = await started(workshop)
    assert (answer.status, answer.fields["error"]) == (403, "UNAUTHORIZED")
    assert answer.fields["message"] == "a.b.c.d"


async def test_a_wrong_token_of_the_requestor_is_his_own(workshop: Workshop) -> None:
    """403 before anything is asked of the server."""
    headers = {"Authorization": f"{SECRET}x", "Content-Type": "application/json"}
    body = json.dumps(disclosure()).encode()
    answer = await call(workshop.gateway, "POST", "/session", body, headers)
    assert (answer.status, answer.fields["error"]) == (403, "UNAUTHORIZED")
    assert workshop.backend.requests == []
