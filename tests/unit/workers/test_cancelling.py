"""Sessions that were given up are cancelled, if it takes until they cannot live (G2)."""

from __future__ import annotations

from orchestrator.domain.errors import BackendRefused
from orchestrator.domain.lookup import HANDLER_MAX
from schemas.messages import CancelWork
from tests.support.fakes import FakeBackend
from tests.support.samples import LIFETIME, delivery, issuance
from tests.support.workshop import Begun, Workshop
from workers.cancelling import CANCEL_PAUSE


async def given_up(workshop: Workshop) -> Begun:
    """A chain whose first session an orphan of its step has overtaken."""
    begun = await workshop.begin()
    orphan = workshop.callback(begun.slot, "TokenOfTheOrphan0000")
    await workshop.carry_on(orphan, issuance())
    await workshop.settled()
    return begun


def cancellation(workshop: Workshop) -> CancelWork:
    """What was published last to cancel a session."""
    works = [work for work in workshop.publisher.work if isinstance(work, CancelWork)]
    return works[-1]


async def again(workshop: Workshop) -> None:
    """The clock publishes what was put off, and a worker takes it."""
    workshop.clock.advance(CANCEL_PAUSE.total_seconds())
    await workshop.clock_worker().publish_due()
    await workshop.session_worker()(delivery(cancellation(workshop)))


async def test_a_backend_that_is_away_is_asked_until_it_answers(
    workshop: Workshop,
) -> None:
    """Each time by a waiting row of its own; then nothing is left."""
    begun = await given_up(workshop)
    workshop.backend.unreachable = True
    await workshop.session_worker()(delivery(cancellation(workshop)))
    for _ in range(3):
        await again(workshop)
    assert [row.kind for row in await workshop.store.waiting(limit=9)] == ["cancel"]
    workshop.backend.unreachable = False
    await again(workshop)
    assert workshop.backend.cancelled == [begun.token]
    assert await workshop.waiting() == []


async def test_a_session_that_cannot_live_is_left_alone(workshop: Workshop) -> None:
    """The IRMA server was away for as long as any session may last."""
    begun = await given_up(workshop)
    work = cancellation(workshop)
    row = await workshop.row(begun.slot)
    assert work.until == row.created_at + 2 * LIFETIME + HANDLER_MAX
    workshop.backend.unreachable = True
    workshop.clock.now = work.until
    await workshop.session_worker()(delivery(work))
    assert len(await workshop.waiting()) == 1
    workshop.clock.advance(CANCEL_PAUSE.total_seconds())
    await workshop.clock_worker().publish_due()
    await workshop.session_worker()(delivery(cancellation(workshop)))
    assert await workshop.waiting() == []


class Refusing(FakeBackend):
    """A backend that does not let the session be cancelled."""

    async def cancel(self, token: str) -> bool:
        """Refuse."""
        del token
        raise BackendRefused(status=400, error="INVALID_REQUEST")


async def test_a_refusal_is_an_answer(workshop: Workshop) -> None:
    """To ask again would not help."""
    await given_up(workshop)
    work = cancellation(workshop)
    object.__setattr__(workshop, "backend", Refusing())
    await workshop.session_worker()(delivery(work))
    assert await workshop.waiting() == []


async def test_a_cancellation_that_comes_again_does_no_harm(workshop: Workshop) -> None:
    """The backend says that it is over."""
    begun = await given_up(workshop)
    for _ in range(2):
        await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == [begun.token] * 2
    assert await workshop.waiting() == []
