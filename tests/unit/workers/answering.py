"""Endpoints' answers on their way through the session worker, and what comes of them."""

from __future__ import annotations

from typing import Final

from orchestrator.domain import handover
from orchestrator.domain.chain import StepState
from orchestrator.domain.handover import Forward
from schemas.events import Purpose
from schemas.irma import JsonObject, SessionResult, session_result_from
from schemas.messages import CallbackSecrets, CallbackWork, StartWork, Wake
from tests.support.samples import CALLBACK, TARGET, disclosure, issuance
from tests.support.workshop import Begun, EndpointAnswer, Workshop

#: The token of the second session where the IRMA server has started it.
SECOND: Final = "TokenOfTheSecond0000"


def telling() -> JsonObject:
    """A chained request whose requestor wants to be told of the session's end."""
    return disclosure(TARGET, callbackUrl=CALLBACK)


async def says(
    workshop: Workshop,
    begun: Begun,
    answer: EndpointAnswer,
    *,
    waited_s: float | None = 3.0,
) -> None:
    """The endpoint's answer to the first session's result reaches the session worker."""
    work = workshop.callback(begun.slot, begun.token, waited_s=waited_s)
    await workshop.carry_on(work, answer)


async def offered(
    workshop: Workshop,
    request: JsonObject | None = None,
    answer: JsonObject | None = None,
) -> Begun:
    """A chain whose second session is offered to a gateway."""
    begun = await workshop.begin(request)
    await says(workshop, begun, answer or issuance())
    workshop.publisher.calls.clear()
    return begun


async def forwarded(
    workshop: Workshop,
    request: JsonObject | None = None,
    answer: JsonObject | None = None,
) -> Begun:
    """A chain whose second session was handed to the IRMA server."""
    begun = await offered(workshop, request, answer)
    await forward(workshop, begun)
    return begun


async def forward(workshop: Workshop, begun: Begun) -> Forward:
    """The gateway of the first session claims the offer."""
    slot, token_hash = begun.slot, workshop.sealer.token_hash(begun.token)
    return await workshop.rulings.by_outbox(
        slot, lambda view: handover.forward(view, slot, token_hash=token_hash)
    )


async def detached(
    workshop: Workshop,
    request: JsonObject | None = None,
    answer: JsonObject | None = None,
) -> Begun:
    """A chain whose second session is to be started on its own."""
    begun = await workshop.begin(request)
    await says(workshop, begun, answer or issuance(), waited_s=None)
    workshop.publisher.calls.clear()
    return begun


async def looked_up(
    workshop: Workshop, begun: Begun, found: SessionResult | None, after_s: float = 10
) -> StepState:
    """The second row's state after the clock looked up the first session."""
    if found is not None:
        workshop.backend.results[begun.token] = found
    workshop.clock.advance(after_s)
    await workshop.beat()
    await workshop.settled()
    return (await workshop.row(begun.slot.following)).state


def wakes(workshop: Workshop) -> list[Wake]:
    """What the gateway was told."""
    return [wake_up.wake for wake_up in workshop.publisher.wake_ups]


def starts(workshop: Workshop) -> list[StartWork]:
    """Which sessions are to be started."""
    return [work for work in workshop.publisher.work if isinstance(work, StartWork)]


def told(workshop: Workshop) -> list[SessionResult]:
    """What requestors' own callback URLs are told."""
    works = [work for work in workshop.publisher.work if isinstance(work, CallbackWork)]
    assert all(work.purpose is Purpose.NOTIFY for work in works)
    return [_result(workshop, work) for work in works]


def _result(workshop: Workshop, work: CallbackWork) -> SessionResult:
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    assert secrets.url == CALLBACK
    return session_result_from(secrets.result)
