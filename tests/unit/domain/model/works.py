"""One chain on the real rules, workers, gateway and store, and all that may happen to it.

What is remote stands in `surroundings`; every process has a fate (`fates`), every ruling
is judged (`judge`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, cast
from urllib.parse import urlsplit

from orchestrator.background import Background
from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerPolicy
from orchestrator.domain.chain import ChainState
from orchestrator.domain.errors import OrchestratorError, Refused
from orchestrator.domain.generations import NotReplayed, Opened
from orchestrator.domain.replying import Replied
from orchestrator.gateway.bridge import Bridge
from orchestrator.gateway.replying import Reply
from orchestrator.gateway.starting import begin
from orchestrator.isolating import EndpointRule
from orchestrator.ports import Delivery, Message, Queues, Store, work_message
from orchestrator.sealing import Sealer
from orchestrator.store import SqlStore
from orchestrator.work import ends_with_generation, slot_of
from schemas.capabilities import Capability
from schemas.irma import parse_session_request, session_request_from
from tests.support.fakes import FakeClock, FakeReplies, FakeSigner
from tests.support.parts import Pauses, SharedGateway
from tests.support.samples import NOW, TARGET, disclosure, result_of
from tests.support.workshop import Workshop
from tests.unit.domain.model.fates import FATE, Crashed, Fate
from tests.unit.domain.model.irma import Handler, Session
from tests.unit.domain.model.judge import Judged
from tests.unit.domain.model.ledger import hold
from tests.unit.domain.model.points import Points
from tests.unit.domain.model.surroundings import (
    ANSWER,
    BODIES,
    FROZEN,
    GATE,
    HELD,
    Broker,
    Endpoint,
    Irma,
    Replies,
)
from workers.callback import CallbackWorker
from workers.clock import ClockWorker

#: The endpoint of every step.
ORIGIN: Final = "https://shop.example:443"

#: A callback that fails with all of its live retries does not yet open a breaker.
POLICY: Final = BreakerPolicy(attempts_min=5)


async def no_pause(_: float) -> None:
    """Live retries come at once."""
    await asyncio.sleep(0)


@dataclass
class Works:
    """Gateway, workers, clock and operator at work on one chain."""

    store: SqlStore
    clock: FakeClock
    chain_id: str = ""
    points: Points = field(default_factory=Points)
    judged: Judged = field(init=False)
    broker: Broker = field(init=False)
    irma: Irma = field(init=False)
    endpoint: Endpoint = field(init=False)
    shop: Workshop = field(init=False)
    workers: list[CallbackWorker] = field(init=False)
    #: The handlers' bridge POSTs that are under way.
    bridges: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    posts: int = 0
    #: What later answers were taken in, by the slot they have claimed.
    promised: dict[tuple[int, int], str] = field(default_factory=dict)
    #: Whose results were answered with 2xx, by step and generation.
    accepted: set[tuple[int, int]] = field(default_factory=set)
    wrongs: list[str] = field(default_factory=list)
    _tasks: set[asyncio.Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Build everything around the store."""
        sealer = Sealer(b"\x01" * 32, "k1", b"\x02" * 32)
        self.judged = Judged(self.store, self.points)
        replies = Replies(self.points)
        self.broker = Broker(replies=replies)
        self.endpoint = Endpoint(points=self.points, sealer=sealer)
        self.irma = Irma(points=self.points, sealer=sealer, clock=self.clock)
        self.shop = Workshop(
            store=cast("Store", self.judged),
            clock=self.clock,
            publisher=self.broker,
            replies=cast("FakeReplies", replies),
            backend=self.irma,
            signer=FakeSigner(public_key_pem=None),
            sealer=sealer,
            background=Background(),
            shared=cast("SharedGateway", None),
        )
        self.workers = [self._callback_worker() for _ in range(2)]
        self.broker.gates = [worker.gate for worker in self.workers]

    def _callback_worker(self) -> CallbackWorker:
        worker = self.shop.callback_worker(self.endpoint, Pauses(self.clock))
        gate = self.shop.gate()
        gate._policy = POLICY
        return replace(worker, pause=no_pause, gate=gate)

    async def begin(self) -> None:
        """The first session is live, as POST /session leaves it."""
        request = session_request_from(disclosure(TARGET))
        begun = await begin(self.shop.desk(), "acme", request)
        self.chain_id = begun.chain_id
        await self.points.settle()
        next(iter(self.irma.server.sessions.values())).reachable = True

    @property
    def now(self) -> datetime:
        """The time."""
        return self.clock()

    # ------------------------------------------------------------------- what goes on

    def alive(self) -> list[Session]:
        """The sessions that users may use."""
        return self.irma.server.alive(self.now)

    async def prove(self, session: Session, *, frozen: bool, fate: Fate) -> None:
        """A user proves; a chained session asks the bridge what follows."""
        server = self.irma.server
        server.connect(session, self.now)
        handler = Handler(session.token, session.version, self.now, bridge=None)
        server.handlers.append(handler)
        if session.chained:
            await self.post(handler, frozen=frozen, fate=fate)

    async def post(self, handler: Handler, *, frozen: bool, fate: Fate) -> None:
        """A bridge POST reaches a gateway."""
        self.posts += 1
        handler.bridge = self.posts
        task = asyncio.create_task(self._bridged(handler, frozen=frozen, fate=fate))
        self.bridges[self.posts] = task
        await self.points.settle()

    async def _bridged(self, handler: Handler, *, frozen: bool, fate: Fate) -> None:
        FATE.set(fate)
        FROZEN.set(frozen)
        number, server = handler.bridge, self.irma.server
        asked = self.irma.prepared[handler.token].next_session
        assert asked is not None
        capability = self._capability(asked.url)
        try:
            bridge = Bridge(self.shop.desk(), capability, slot_of(capability))
            answer = await bridge.answer(result_of(handler.token))
        except (Crashed, OrchestratorError):
            # The connection is cut, or answered with a fault: a handler asks again.
            return
        finally:
            if number is not None:
                self.bridges.pop(number, None)
        status, body = answer.status_code, bytes(answer.body)
        if fate.dead or handler not in server.handlers:
            return
        handler.bridge = None
        if status == 502:
            server.handlers.remove(handler)
            server.cancel(server.sessions[handler.token], self.now)
            return
        self.accepted.add((capability.step, capability.generation))
        if status == 200:
            handler.next_token = self.irma.begin(parse_session_request(body))

    def _capability(self, url: str) -> Capability:
        sealed = urlsplit(url).path.rpartition("/")[2]
        return self.shop.sealer.open_capability(sealed, now=NOW)

    async def handle(
        self, message: Message, *, fate: Fate, answer: str = "end", held: bool = False
    ) -> None:
        """A worker gets a message; it may be waiting for the machine afterwards."""
        handling = self._handled(message, fate=fate, answer=answer, held=held)
        self._spawn(handling)
        await self.points.settle()

    async def _handled(
        self, message: Message, *, fate: Fate, answer: str, held: bool
    ) -> None:
        FATE.set(fate)
        ANSWER.set(answer)
        HELD.set(held)
        delivery = Delivery(
            body=message.body, message_id=message.id, headers={}, redelivered=False
        )
        try:
            if message.routing_key == Queues.SESSIONS:
                await self.shop.session_worker()(delivery)
            else:
                worker = self.workers[self.posts % 2]
                GATE.set(worker.gate)
                await worker(delivery)
        except Crashed:
            self.broker.queue.append(message)
        except Refused as error:
            self.wrongs.append(f"G1: nothing is refused: {type(error).__name__}")
        except OrchestratorError:
            self.broker.queue.append(message)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run it; the loop keeps only weak references."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def acting(self, act: Awaitable[object], fate: Fate) -> object:
        """A gateway, clock or operator does something; None if it did not live to."""

        async def fated() -> object:
            FATE.set(fate)
            try:
                return await act
            except (Crashed, OrchestratorError):
                return None

        done = await asyncio.ensure_future(fated())
        await self.points.settle()
        return done

    async def beat(self, fate: Fate) -> None:
        """One beat of the clock worker."""
        worker = self._clock_worker()

        async def beats() -> None:
            await worker.publish_due()
            await worker.release_parked()
            await worker.check_due()

        await self.acting(beats(), fate)

    def _clock_worker(self) -> ClockWorker:
        return replace(self.shop.clock_worker(), breaker=POLICY)

    async def answer_later(self, address: Capability, answer: str, fate: Fate) -> None:
        """The endpoint uses an address that it was given."""
        request = session_request_from(BODIES[answer]) if answer in BODIES else None
        reply = Reply(self.shop.desk(), address, request)
        outcome = await self.acting(reply.take(), fate)
        if outcome is Replied.TAKEN:
            self.promised[address.step, address.generation] = reply._answer_hash

    async def switch(self, rule: EndpointRule) -> None:
        """An operator pauses or resumes the endpoint."""
        await self.acting(self.shop.switchboard.change(ORIGIN, rule), Fate())

    async def pause(self) -> None:
        """An operator pauses the endpoint."""
        await self.switch(partial(breaker.paused, note=None, now=self.now))

    async def resume(self) -> None:
        """An operator lets it go on."""
        await self.switch(partial(breaker.resumed, now=self.now))

    async def replay(self, fate: Fate) -> None:
        """An operator replays the chain, which may have nothing to be replayed."""
        chain = await self.store.chain(self.chain_id)
        assert chain is not None
        done = await self.acting(
            self.shop.reopener.replay(self.chain_id, chain.generation), fate
        )
        failed = chain.state in {ChainState.FAILED, ChainState.EXPIRED}
        if isinstance(done, Opened):
            hold("only what has failed is replayed", failed)
            rows = await self.store.waiting(chain_id=self.chain_id, limit=99)
            left = [row for row in rows if row.kind != "outbox"]
            gone = not any(map(ends_with_generation, left))
            hold("H9: what waits of a closed generation goes", gone)
        elif isinstance(done, NotReplayed) and not failed:
            hold("who is refused is told why", bool(done.reason))

    def announce(self, session: Session, status: str) -> None:
        """The IRMA server posts a session's state to our `callbackUrl`."""
        proof = "VALID" if status == "DONE" else None
        result = result_of(session.token, status, proof)
        intake = self.shop.make.intake(session.slot, "acme", result, "callback")
        self.broker.queue.append(work_message(intake))
