"""Runs of the whole plant that need one rule each: harmless, but for it."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.ports import Message, work_message
from tests.unit.domain.model.fates import Fate
from tests.unit.domain.model.ledger import hold
from tests.unit.domain.model.plant import Plant


async def the_endpoint_says(plant: Plant, answer: str) -> None:
    """Of the first session's result."""
    await _prove(plant)
    await plant.handle(_take(plant), fate=Fate(), answer=answer)
    await plant.recover()


async def a_retry_is_due(plant: Plant) -> None:
    """The endpoint is busy."""
    await the_endpoint_says(plant, "busy")


async def a_later_answer_never_comes(plant: Plant) -> None:
    """The endpoint says 202, and nothing more."""
    await the_endpoint_says(plant, "later")


async def a_gateway_dies_with_its_offer(plant: Plant) -> None:
    """It is frozen when its wake-up comes, and is gone when it should hear it."""
    fate = Fate()
    await plant.prove(plant.alive()[0], frozen=True, fate=fate)
    await plant.handle(_take(plant), fate=Fate(), answer="last")
    await plant.handle(_take(plant), fate=Fate())
    fate.dead = True
    await plant.recover()


async def the_server_forgets_a_live_session(plant: Plant) -> None:
    """It was restarted while the user looked for the phone."""
    plant.irma.server.restart()
    await plant.recover()


async def a_result_tells_first_of_its_session(plant: Plant) -> None:
    """The user proves the second step before anybody has looked it up."""
    await _prove(plant)
    await plant.handle(_take(plant), fate=Fate(), answer="next")
    await plant.handle(_take(plant), fate=Fate())
    plant.irma.server.store(plant.irma.server.handlers[0])
    await plant.prove(plant.alive()[0], frozen=False, fate=Fate())
    await plant.recover()


async def a_retry_waits_when_the_chain_is_replayed(plant: Plant) -> None:
    """One delivery of a callback was told to come again, another one was refused."""
    await _fail(plant, before="busy")
    await plant.replay(Fate())
    await plant.recover()


async def a_chain_that_ended_well_is_replayed(plant: Plant) -> None:
    """An operator has mistaken it for another."""
    await _prove(plant)
    await plant.handle(_take(plant), fate=Fate(), answer="end")
    await plant.handle(_take(plant), fate=Fate())
    await plant.replay(Fate())
    await plant.check()


async def a_cancellation_waits_when_the_chain_is_replayed(plant: Plant) -> None:
    """A session was given up while the IRMA server was away."""
    orphan = plant.irma.server.start(
        plant.alive()[0].slot, plant.now, chained=True, timeout_s=0
    )
    await _fail(plant)
    until = plant.now + timedelta(hours=1)
    cancel = plant.shop.make.cancel(orphan.slot, "acme", orphan.token, until=until)
    plant.irma.unreachable = True
    await plant.handle(work_message(cancel), fate=Fate())
    plant.irma.unreachable = False
    await plant.replay(Fate())
    plant.clock.advance(11)
    await plant.beat(Fate())
    while plant.broker.queue:
        await plant.handle(_take(plant), fate=Fate())
    hold("G2: a session that was given up is cancelled", not orphan.alive(plant.now))


async def a_worker_dies_when_it_has_settled(plant: Plant) -> None:
    """What it owes is known to the store alone."""
    session = plant.alive()[0]
    plant.irma.server.cancel(session, plant.now)
    plant.announce(session, "CANCELLED")
    await plant.handle(_take(plant), fate=Fate(kind="dies after", at=0))
    await plant.recover()


async def a_worker_dies_when_it_has_claimed(plant: Plant) -> None:
    """Its message comes again, and finds what it did."""
    await _prove(plant)
    await plant.handle(_take(plant), fate=Fate(), answer="last")
    await plant.handle(_take(plant), fate=Fate(kind="dies after", at=0))
    await plant.recover()


async def an_endpoint_gives_two_answers(plant: Plant) -> None:
    """Its callback was delivered twice."""
    await _prove(plant)
    callback = _take(plant)
    for answer in ("last", "rival"):
        await plant.handle(callback, fate=Fate(), answer=answer)
    await plant.recover()


async def another_answer_comes_after_the_later_one(plant: Plant) -> None:
    """A second delivery is answered at once, and is quicker at the session worker."""
    await _prove(plant)
    callback = _take(plant)
    await plant.handle(callback, fate=Fate(), answer="later")
    await plant.answer_later(plant.endpoint.addresses[-1], "next", Fate())
    await plant.handle(callback, fate=Fate(), answer="rival")
    plant.broker.queue.reverse()
    await plant.recover()


async def an_endpoint_is_paused(plant: Plant) -> None:
    """Its callback is parked, and released once it may go on."""
    await plant.pause()
    await _prove(plant)
    await plant.handle(_take(plant), fate=Fate())
    await plant.check()
    await plant.recover()


async def a_breaker_opens(plant: Plant) -> None:
    """The endpoint fails often enough; what follows is parked, and one is the probe."""
    await _prove(plant)
    callback = _take(plant)
    for _ in range(2):
        await plant.handle(callback, fate=Fate(), answer="busy")
    await plant.handle(callback, fate=Fate(), answer="busy")
    await plant.check()
    await plant.recover()


async def _prove(plant: Plant) -> None:
    await plant.prove(plant.alive()[0], frozen=False, fate=Fate())


def _take(plant: Plant) -> Message:
    return plant.broker.queue.pop(0)


async def _fail(plant: Plant, before: str | None = None) -> None:
    """The chain fails on its first callback, which may get another answer before."""
    await _prove(plant)
    callback = _take(plant)
    for answer in [*([before] if before else []), "refused"]:
        await plant.handle(callback, fate=Fate(), answer=answer)
    await plant.handle(_take(plant), fate=Fate())
