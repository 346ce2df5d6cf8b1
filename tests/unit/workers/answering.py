"""An endpoint's answer on its way through the session worker."""

from __future__ import annotations

from schemas.messages import StartWork, Wake
from tests.support.workshop import Begun, EndpointAnswer, Workshop


async def says(
    workshop: Workshop,
    begun: Begun,
    answer: EndpointAnswer,
    *,
    waited_s: float | None = 3.5,
) -> None:
    """The endpoint's answer to the first session's result reaches the session worker."""
    work = workshop.callback(begun.slot, begun.token, waited_s=waited_s)
    await workshop.carry_on(work, answer)


def wakes(workshop: Workshop) -> list[Wake]:
    """What the gateway was told."""
    return [wake_up.wake for wake_up in workshop.publisher.wake_ups]


def starts(workshop: Workshop) -> list[StartWork]:
    """Which sessions are to be started."""
    return [work for work in workshop.publisher.work if isinstance(work, StartWork)]
