"""One callback, and an endpoint that gives scripted replies."""

from __future__ import annotations

from orchestrator.domain.chain import Slot
from orchestrator.domain.delivery import Answer, Reply
from schemas.messages import (
    CallbackWork,
)
from tests.support.fakes import FakeCaller
from tests.support.parts import Pauses
from tests.support.samples import delivery
from tests.support.workshop import Workshop

SLOT = Slot(chain_id="C1", step=1)
TOKEN = "TokenMARKER000000001"
NEXT = (
    b'{"@context":"https://irma.app/ld/request/disclosure/v2","disclose":[[["a.b.c.d"]]]}'
)


def answered(
    status: int, body: bytes = b"", retry_after_s: float | None = None
) -> Answer:
    """The endpoint's answer after 12 ms."""
    return Answer(status=status, body=body, duration_s=0.012, retry_after_s=retry_after_s)


async def post(
    workshop: Workshop,
    work: CallbackWork,
    *replies: Reply,
    pauses: Pauses | None = None,
) -> tuple[FakeCaller, Pauses]:
    """Handle one message, with the endpoint giving these replies."""
    caller, pauses = FakeCaller(replies), pauses or Pauses(workshop.clock)
    await workshop.callback_worker(caller, pauses)(delivery(work))
    assert len(caller.posts) == len(replies)
    return caller, pauses
