"""POSTs to the bridge, with workers that do their part while the gateway waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from schemas.messages import (
    CallbackWork,
    WakeUp,
)
from tests.support.asgi import Answer, call
from tests.support.samples import result_of, wire
from tests.support.workshop import Begun, EndpointAnswer, Workshop

JSON = {"Content-Type": "application/json; charset=UTF-8"}

Script = Callable[[], Awaitable[WakeUp | None]]


async def post(
    workshop: Workshop, path: str | None, body: bytes, *, app: FastAPI | None = None
) -> Answer:
    """What a backend is answered that POSTs this."""
    assert path is not None
    answer = await call(app or workshop.gateway, "POST", path, body, JSON)
    assert answer.headers.get("content-length", "0") == str(len(answer.body))
    return answer


async def proved(workshop: Workshop, begun: Begun) -> Answer:
    """What the backend is answered that POSTs the first session's proved result."""
    return await post(workshop, begun.bridge, wire(result_of(begun.token)))


def posted(workshop: Workshop) -> CallbackWork:
    """The callback that the gateway has published."""
    (work,) = [w for w in workshop.publisher.work if isinstance(w, CallbackWork)]
    return work


def endpoint_says(workshop: Workshop, answer: EndpointAnswer) -> Script:
    """The workers do their part while the gateway waits; it gets their wake-up."""

    async def script() -> WakeUp | None:
        last = [w for w in workshop.publisher.work if isinstance(w, CallbackWork)][-1]
        await workshop.carry_on(last, answer)
        return workshop.publisher.wake_ups[-1]

    return script


def woken_too_late(workshop: Workshop, script: Script) -> Script:
    """The same, but its wake-up is lost."""

    async def lost() -> None:
        await script()

    return lost
