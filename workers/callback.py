"""The callback worker: POSTs a result to its URL and reads what the answer does.

Decode, decide, act, settle. A live retry happens here, while the app waits; a background
one becomes a waiting row and is somebody's message again later. Only then is the store
touched. Each step that follows an answer is held by itself while broker or store is away:
the endpoint is not asked again, and a row that was written, and may have been published
since, is not written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Literal

import structlog

from orchestrator.domain import happenings
from orchestrator.domain.breaker import BUSY_PAUSE, Kept
from orchestrator.domain.delivery import (
    Answer,
    Decision,
    Ended,
    GiveUp,
    Later,
    Next,
    Reply,
    RetryLater,
    RetryLive,
    RetryPolicies,
    Tries,
    decide,
    decide_notification,
)
from orchestrator.domain.errors import Unroutable
from orchestrator.domain.posting import body_of, headers_of
from orchestrator.ports import (
    Caller,
    Clock,
    Delivery,
    Hold,
    Message,
    Post,
    Publisher,
    Signer,
    Store,
    event_message,
    wake_up_message,
    work_message,
)
from orchestrator.preparing import reply_url
from orchestrator.sealing import Sealer
from orchestrator.telemetry import bind_chain
from orchestrator.work import WorkMaker, slot_of
from schemas.events import Purpose
from schemas.irma import (
    InvalidSessionRequest,
    parse_session_request,
)
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    ReplyAddress,
    Wake,
    WakeUp,
)
from workers.decoding import callback_work
from workers.isolation import Gate
from workers.parking import Parking

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CallbackWorker:
    """Handles the queue of one lane of callbacks."""

    publisher: Publisher
    store: Store
    sealer: Sealer
    make: WorkMaker
    gate: Gate
    parking: Parking
    caller: Caller
    signer: Signer
    policies: RetryPolicies
    public_url: str
    timeout_s: float
    clock: Clock
    random: Callable[[], float]
    hold: Hold
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __call__(self, delivery: Delivery) -> None:
        """Make this callback's next attempt, and the live ones after it."""
        work = callback_work(delivery)
        secrets = self.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
        with bind_chain(work.chain_id, work.step, work.generation):
            for live in count():
                place = await self.gate.enter(work)
                if isinstance(place, Kept):
                    await self._park(work, place)
                    return
                asked_at = self.clock()
                reply = await place.while_asking(self._attempt(work, secrets, asked_at))
                now = self.clock()
                decision = self._decide(work, reply, live, asked_at, now)
                await self._act(work, secrets, reply, decision, now)
                if not isinstance(decision, RetryLive):
                    return
                await self.pause(decision.delay_s)
                work = work.model_copy(update={"attempt": work.attempt + 1})

    async def _attempt(
        self, work: CallbackWork, secrets: CallbackSecrets, now: datetime
    ) -> Reply:
        """One HTTP try, freshly signed; id and result stay the same (G3)."""
        result = secrets.result
        jwt = await self.signer.sign(result, validity_s=work.validity_s, now=now)
        body, content_type = body_of(result, jwt)
        signed = await self.signer.sign_webhook(work.requestor, work.id, body, now=now)
        post = Post(
            requestor=work.requestor,
            url=secrets.url,
            body=body,
            content_type=content_type,
            headers=headers_of(
                work.id,
                slot_of(work),
                now,
                attempt=work.attempt,
                signature=signed,
                reply_to=self._reply_to(work, secrets.token, now),
            ),
            timeout_s=self.timeout_s,
        )
        _log.debug("callback.posting", attempt=work.attempt, endpoint=work.endpoint)
        return await self.caller.post(post)

    def _reply_to(self, work: CallbackWork, token: str, now: datetime) -> str | None:
        """Where the endpoint may answer later; a notification asks for nothing."""
        if work.purpose is not Purpose.NEXT:
            return None
        policy = self.policies.of(work.requestor)
        return reply_url(
            self.sealer,
            self.public_url,
            work,
            session=self.make.ordinal(token),
            until=now + timedelta(seconds=policy.reply_s),
        )

    def _decide(
        self,
        work: CallbackWork,
        reply: Reply,
        live: int,
        asked_at: datetime,
        now: datetime,
    ) -> Decision:
        tries = Tries(
            attempt=work.attempt,
            asked_at=asked_at,
            live=live,
            retries=work.retries,
            deadline=work.reply.deadline if work.reply else None,
        )
        table = decide if work.purpose is Purpose.NEXT else decide_notification
        policy = self.policies.of(work.requestor)
        decision = table(tries, reply, now=now, policy=policy, random=self.random)
        _log.info(
            "callback.decided",
            attempt=work.attempt,
            endpoint=work.endpoint,
            status=reply.status if isinstance(reply, Answer) else None,
            fault=None if isinstance(reply, Answer) else reply.fault,
            decision=type(decision).__name__,
        )
        return decision

    async def _park(self, work: CallbackWork, kept: Kept) -> None:
        """Keep the attempt back for its endpoint's sake; the app need not wait for it."""
        now = self.clock()
        again = work.parked_at is not None and kept is Kept.LIMIT
        busy_until = now + BUSY_PAUSE if again else None
        row = self.make.parked(work, now)
        await self.hold(lambda: self.parking.park(row, busy_until))
        if work.reply is not None:
            await self._release(work, work.reply)
        if work.parked_at is None:
            event = happenings.callback_parked(work, kept, now)
            await self._publish(event_message(event))
        _log.info("callback.parked", endpoint=work.endpoint, kept=kept)

    async def _act(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        reply: Reply,
        decision: Decision,
        now: datetime,
    ) -> None:
        """Publish what was decided; what has to wait is a row first."""
        waits = work.reply if isinstance(decision, (RetryLater, Later)) else None
        if isinstance(decision, RetryLater):
            row = self.make.again(work, decision.delay_s, now)
            await self.hold(lambda: self.store.put_waiting(row))
        elif isinstance(decision, Later):
            await self._await_reply(work, secrets, reply, decision.until)
        if waits is not None:
            await self._release(work, waits)
            work = work.model_copy(update={"reply": None})
        messages = self._messages(work, secrets, reply, decision, now)
        await self._publish(*messages)

    async def _publish(self, *messages: Message) -> None:
        await self.hold(lambda: self.publisher.publish(*messages))

    async def _await_reply(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        reply: Reply,
        until: datetime,
    ) -> None:
        """The chain expires unless the answer comes; the last 202 sets the deadline."""
        now = self.clock()
        answered = happenings.callback_answered(work, reply, "later", now)
        row = self.make.deadline(work, secrets, until=until, cause=answered.id, now=now)
        await self.hold(lambda: self.store.replace_waiting(row))

    async def _release(self, work: CallbackWork, reply: ReplyAddress) -> None:
        """Nothing that the app should see comes while it waits, so it need not wait."""
        wake_up = WakeUp(
            wake=Wake.LATER,
            chain_id=work.chain_id,
            step=work.step + 1,
            generation=work.generation,
            requestor=work.requestor,
            cause=work.id,
        )
        try:
            await self._publish(wake_up_message(reply, wake_up))
        except Unroutable:
            _log.info("callback.nobody_waits")

    def _messages(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        reply: Reply,
        decision: Decision,
        now: datetime,
    ) -> list[Message]:
        match decision:
            case Next(body=body):
                return self._follow(work, secrets, reply, body, now)
            case Ended():
                return self._end(work, secrets, reply, now)
            case GiveUp(reason=reason):
                return self._fail(work, secrets, reply, reason, now)
            case Later():
                later = happenings.callback_answered(work, reply, "later", now)
                return [event_message(later)]
            case RetryLive() | RetryLater():
                event = happenings.callback_retrying(work, reply, decision, now)
                return [event_message(event)]

    def _follow(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        reply: Reply,
        body: bytes,
        now: datetime,
    ) -> list[Message]:
        """200: the body has to be a session request."""
        try:
            request = parse_session_request(body)
        except InvalidSessionRequest as error:
            reason = f"the answer is no session request: {error}"[:500]
            return self._fail(work, secrets, reply, reason, now)
        answered = happenings.callback_answered(work, reply, "next", now)
        following = self.make.following(work, secrets, request, answered.id)
        return [event_message(answered), work_message(following)]

    def _end(
        self, work: CallbackWork, secrets: CallbackSecrets, reply: Reply, now: datetime
    ) -> list[Message]:
        """204 completes the chain; the answer to a notification is just noted."""
        answer: Literal["end", "noted"] = (
            "end" if work.purpose is Purpose.NEXT else "noted"
        )
        answered = happenings.callback_answered(work, reply, answer, now)
        if work.purpose is Purpose.NOTIFY:
            return [event_message(answered)]
        ending = self.make.ending(work, secrets, end=End.COMPLETED, cause=answered.id)
        return [event_message(answered), work_message(ending)]

    def _fail(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        reply: Reply,
        reason: str,
        now: datetime,
    ) -> list[Message]:
        """Given up; only a failed `nextSession` ends the chain."""
        failed = happenings.callback_failed(work, reply, reason, now)
        if work.purpose is Purpose.NOTIFY:
            return [event_message(failed)]
        ending = self.make.ending(
            work, secrets, end=End.FAILED, cause=failed.id, reason=reason
        )
        return [event_message(failed), work_message(ending)]
