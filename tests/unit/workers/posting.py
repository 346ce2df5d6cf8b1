"""One callback, and an endpoint that gives scripted replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.broker.holding import Faults, Holder
from orchestrator.domain.chain import Slot
from orchestrator.domain.delivery import Answer, Reply
from orchestrator.ports import Hold, Waiting
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


def stopping() -> Hold:
    """How steps are held in a process that is to stop."""
    stop = asyncio.Event()
    stop.set()
    holder = Holder(faults=Faults("callbacks"), stopping=stop, random=lambda: 0.0)

    async def hold(step: Callable[[], Awaitable[None]]) -> None:
        await holder.until_done(step)

    return hold


@dataclass
class Published(Pauses):
    """Pauses in which a clock publishes what waits; then the broker is back."""

    workshop: Workshop = field(kw_only=True)
    rows: Sequence[Waiting] = ()

    async def __call__(self, seconds: float) -> None:
        """Keep the rows that were there, and delete them as the clock does."""
        await super().__call__(seconds)
        self.rows = await self.workshop.store.waiting(limit=10)
        await self.workshop.store.drop_waiting([row.id for row in self.rows])
        self.workshop.publisher.down = False
