"""Tells events to requestors' own URLs: the lane `events` of the callback workers.

Each is POSTed, tried again by the background clock alone, parked and released as a
callback is, from a queue and at an endpoint of its own: no chain waits for it. Nothing is
told of how it went, as that would have to be told too. What failed for good is in `dead`,
up to a bound: then all events for that requestor are paused, until an operator has seen
to it, and wait as parked rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from orchestrator.domain.breaker import BUSY_PAUSE, Kept
from orchestrator.domain.delivery import (
    Answer,
    Decision,
    GiveUp,
    Reply,
    RetryLater,
    RetryPolicies,
    Tries,
    decide_notification,
)
from orchestrator.domain.endpoint import events_origin_of, events_told_to
from orchestrator.domain.errors import Refused
from orchestrator.domain.posting import event_headers_of
from orchestrator.domain.refusals import Refusals
from orchestrator.domain.telling import EventUrls
from orchestrator.ports import (
    Caller,
    Clock,
    Delivery,
    Handler,
    Hold,
    Post,
    Signer,
    Store,
)
from orchestrator.telemetry import bind_chain
from orchestrator.work import WorkMaker, slot_of
from schemas.events import CLOUDEVENTS_JSON
from schemas.messages import CallbackWork, EventWork
from workers.decoding import tried_work
from workers.isolation import Gate
from workers.parking import Parking

_log = structlog.get_logger(__name__)

#: The receiver wants no more of it (RFC 9110 §15.5.11).
GONE: Final = 410


class NotTold(Refused):
    """An event could not be delivered to its requestor's URL."""


@dataclass(frozen=True, kw_only=True)
class EventTeller:
    """Handles the queue `callbacks.events`; callbacks in it are the callback worker's.

    Attributes:
        callbacks: handles callbacks.
        urls: where requestors want their events; looked at when one is POSTed, so what
            has waited goes where it is wanted now.
    """

    callbacks: Handler
    urls: EventUrls
    store: Store
    make: WorkMaker
    gate: Gate
    parking: Parking
    caller: Caller
    signer: Signer
    policies: RetryPolicies
    timeout_s: float
    clock: Clock
    random: Callable[[], float]
    hold: Hold
    _refusals: dict[str, Refusals] = field(init=False, repr=False, default_factory=dict)

    async def __call__(self, delivery: Delivery) -> None:
        """Make this event's next attempt.

        Raises:
            NotTold: it failed for good; it belongs into `dead`.
            Unavailable: it could not be attempted; the receiver was not asked.
        """
        work = tried_work(delivery)
        if isinstance(work, CallbackWork):
            await self.callbacks(delivery)
            return
        with bind_chain(work.chain_id, work.step, work.generation):
            await self._tell(work)

    async def _tell(self, work: EventWork) -> None:
        url = self._url(work)
        if url is None:
            _log.info("event.unwanted", event_id=work.event_id)
            return
        work = _moved(work, events_origin_of(url))
        if await self._is_paused(work):
            return
        place = await self.gate.enter(work)
        if isinstance(place, Kept):
            await self._park(work, place)
            return
        reply = await place.while_asking(self._attempt(work, url))
        await self._act(work, reply, self._decide(work, reply))

    def _url(self, work: EventWork) -> str | None:
        """Where it goes by the configuration of now; None if it is not wanted there.

        What was wanted when it happened is not asked about its type again.
        """
        wanted = self.urls.get(work.requestor)
        return None if wanted is None else wanted.url

    async def _is_paused(self, work: EventWork) -> bool:
        """Whether its requestor is told nothing for now; then it is parked for that."""
        own = events_told_to(work.requestor)
        kept = self.gate.kept_back(own)
        if kept is not None:
            await self._park(_moved(work, own), kept)
        return kept is not None

    async def _park(self, work: EventWork, kept: Kept) -> None:
        now = self.clock()
        again = work.parked_at is not None and kept is Kept.LIMIT
        busy_until = now + BUSY_PAUSE if again else None
        row = self.make.parked(work, now)
        await self.hold(lambda: self.parking.park(row, busy_until))
        _log.info("event.parked", endpoint=work.endpoint, kept=kept)

    async def _attempt(self, work: EventWork, url: str) -> Reply:
        """One HTTP try, freshly signed; id and body stay the same."""
        now, body = self.clock(), work.event.encode()
        signature = await self.signer.sign_webhook(
            work.requestor, work.event_id, body, now=now
        )
        headers = event_headers_of(
            work.event_id, slot_of(work), now, attempt=work.attempt, signature=signature
        )
        post = Post(
            requestor=work.requestor,
            url=url,
            body=body,
            content_type=CLOUDEVENTS_JSON,
            headers=headers,
            timeout_s=self.timeout_s,
        )
        return await self.caller.post(post)

    def _decide(self, work: EventWork, reply: Reply) -> Decision:
        """As of a requestor's `callbackUrl`, but nobody waits: there is no live clock."""
        now = self.clock()
        tries = Tries(
            attempt=work.attempt,
            asked_at=now,
            live=0,
            retries=work.retries,
            deadline=None,
        )
        policy = self.policies.of(work.requestor)
        return decide_notification(
            tries, reply, now=now, policy=policy, random=self.random
        )

    async def _act(self, work: EventWork, reply: Reply, decision: Decision) -> None:
        _log.info(
            "event.posted",
            event_id=work.event_id,
            attempt=work.attempt,
            endpoint=work.endpoint,
            status=reply.status if isinstance(reply, Answer) else None,
            fault=None if isinstance(reply, Answer) else reply.fault,
            decision=type(decision).__name__,
        )
        if isinstance(decision, RetryLater):
            row = self.make.again(work, decision.delay_s, self.clock())
            await self.hold(lambda: self.store.put_waiting(row))
        elif not isinstance(decision, GiveUp):
            self._refusals[work.requestor] = self._refused(work.requestor).well()
        elif not _is_gone(reply):
            await self._give_up(work, decision.reason)

    async def _give_up(self, work: EventWork, reason: str) -> None:
        """Bury it, unless that are too many by now: then it waits with those to come."""
        refused = self._refused(work.requestor).counting(self.clock())
        self._refusals[work.requestor] = refused
        if why := refused.too_many:
            own = events_told_to(work.requestor)
            await self.gate.pause(own, f"{why}, the last one: {reason}")
        if not await self._is_paused(work):
            raise NotTold(f"the event was not told: {reason}")
        self._refusals.pop(work.requestor, None)

    def _refused(self, requestor: str) -> Refusals:
        return self._refusals.get(requestor) or Refusals(since=self.clock())


def _moved(work: EventWork, endpoint: str) -> EventWork:
    """The same for the URL of now; elsewhere it was not kept back yet."""
    if work.endpoint == endpoint:
        return work
    return work.model_copy(update={"endpoint": endpoint, "parked_at": None})


def _is_gone(reply: Reply) -> bool:
    return isinstance(reply, Answer) and reply.status == GONE
