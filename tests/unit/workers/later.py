"""Endpoints that say 202 and answer later, and what they are given for that."""

from __future__ import annotations

from urllib.parse import urlsplit

from orchestrator.domain.delivery import Reply
from schemas.messages import CallbackWork, Work
from tests.support.asgi import Answer, call
from tests.support.samples import delivery
from tests.support.workshop import Begun, Workshop
from tests.unit.gateway.bridging import posted, proved
from tests.unit.workers.posting import answered, post


async def proved_one(workshop: Workshop) -> tuple[Begun, CallbackWork]:
    """A chain whose first session was proved, and its callback; nothing else is told."""
    begun = await workshop.begin()
    await proved(workshop, begun)
    work = posted(workshop)
    await workshop.settled()
    workshop.publisher.calls.clear()
    return begun, work


async def asked(workshop: Workshop, work: CallbackWork, *replies: Reply) -> str:
    """The endpoint is asked and gives these replies; the last attempt's reply path."""
    caller, _ = await post(workshop, work, *(replies or (answered(202),)))
    return urlsplit(caller.posts[-1].headers["Chain-Reply-To"]).path


async def answers(workshop: Workshop, path: str, body: bytes = b"") -> Answer:
    """The endpoint answers by the reply URL."""
    answer = await call(workshop.gateway, "POST", path, body, {})
    await workshop.settled()
    return answer


async def work_through(workshop: Workshop) -> list[Work]:
    """The session worker handles all that was published for it; what that was."""
    done = workshop.publisher.work
    workshop.publisher.calls.clear()
    for work in done:
        await workshop.session_worker()(delivery(work))
    await workshop.settled()
    return done
