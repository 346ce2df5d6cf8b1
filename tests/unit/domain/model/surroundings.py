"""Broker, endpoint, IRMA server and reply queue, as gateway and workers see them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from orchestrator.domain.delivery import Answer, Fault, NoAnswer, Reply
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    BrokerUnavailable,
    StoreUnavailable,
    Unroutable,
)
from orchestrator.ports import ENDPOINTS_EXCHANGE, Message, Post, Queues, Started
from orchestrator.sealing import Sealer
from orchestrator.work import slot_of
from schemas.capabilities import Capability
from schemas.endpoints import parse_news
from schemas.events import parse_event
from schemas.irma import SessionRequest, SessionResult, session_package_from
from schemas.messages import WakeUp, parse_wake_up
from tests.support.fakes import FakeBackend, FakeCaller, FakeClock, FakePublisher
from tests.support.samples import NOW, TARGET, disclosure, result_of
from tests.unit.domain.model.fates import effect
from tests.unit.domain.model.irma import IrmaServer
from tests.unit.domain.model.points import Points
from workers.isolation import Gate

#: What the endpoint says to whoever asks it now; "held" is decided on later.
ANSWER: Final[ContextVar[str]] = ContextVar("ANSWER", default="end")
#: Through which gate it is asked.
GATE: Final[ContextVar[Gate | None]] = ContextVar("GATE", default=None)
#: Whether a start waits for the machine.
HELD: Final[ContextVar[bool]] = ContextVar("HELD", default=False)
#: Whether the gateway is frozen, and so hears nothing before its time is over.
FROZEN: Final[ContextVar[bool]] = ContextVar("FROZEN", default=False)

#: The bodies of answers that lead on: a chained session, another one, a last one.
BODIES: Final = {
    "next": disclosure(TARGET),
    "rival": disclosure(TARGET, timeout=60),
    "last": disclosure(),
}
STATUSES: Final = {"end": 204, "later": 202, "busy": 503, "refused": 404}


@dataclass
class Replies:
    """The reply queue of the gateways."""

    points: Points
    mail: dict[str, list[WakeUp]] = field(default_factory=dict)

    @property
    def queue(self) -> str:
        """The queue's name."""
        return "gateway.one"

    @asynccontextmanager
    async def waiter(self, correlation_id: str) -> AsyncIterator[Waiter]:
        """Who waits has a box for mail."""
        self.mail[correlation_id] = []
        try:
            yield Waiter(self, correlation_id)
        finally:
            del self.mail[correlation_id]

    def wake(self, message: Message) -> bool:
        """Wake who waits, unless it is frozen; False when nobody does."""
        name = message.correlation_id or ""
        if name not in self.mail:
            return False
        self.mail[name].append(parse_wake_up(message.body))
        for point in self.points.of("gateway"):
            if point.name == name and not point.told.done():
                point.told.set_result(self.mail[name][0])
        return True


@dataclass
class Waiter:
    """One bridge POST that waits."""

    replies: Replies
    name: str

    async def wake_up(self, timeout_s: float) -> WakeUp | None:
        """The first wake-up, or None when the machine says that the time is over."""
        del timeout_s
        mail = self.replies.mail[self.name]
        if mail and not FROZEN.get():
            return mail[0]
        kind = "frozen gateway" if FROZEN.get() else "gateway"
        told = await self.replies.points.wait(kind, self.name)
        return told if isinstance(told, WakeUp) else None


@dataclass
class Broker(FakePublisher):
    """Keeps work until it is handled, and passes on what goes to one process only."""

    replies: Replies = field(default_factory=lambda: Replies(Points()))
    queue: list[Message] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    gates: list[Gate] = field(default_factory=list)

    async def publish(self, *messages: Message, timeout_s: float = 10.0) -> None:
        """Take one after the other; whoever dies in between has published the first."""
        del timeout_s
        fault = BrokerUnavailable("a message was not confirmed")
        taken = [await effect(partial(self._take, m), fault) for m in messages]
        if not all(taken):
            raise Unroutable("nobody waits")

    async def _take(self, message: Message) -> bool:
        if message.exchange == ENDPOINTS_EXCHANGE:
            for gate in self.gates:
                gate.learn(parse_news(message.body))
        elif message.routing_key == Queues.HISTORY:
            self.told.add(parse_event(message.body).id)
        elif message.routing_key == self.replies.queue:
            return self.replies.wake(message)
        else:
            self.queue.append(message)
        return True


@dataclass
class Endpoint(FakeCaller):
    """Says what it is told to say, and remembers what it was asked.

    Attributes:
        bodies: what was POSTed under each `webhook-id`.
        attempts: the attempts made under each.
        names: under which ids each result was POSTed in each generation.
        addresses: where it may answer later, the newest last.
        wrongs: the promises that a POST has broken.
    """

    points: Points = field(default_factory=Points)
    sealer: Sealer | None = None
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    attempts: dict[str, set[int]] = field(default_factory=dict)
    names: dict[tuple[int, bytes], set[str]] = field(default_factory=dict)
    addresses: list[Capability] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)

    async def post(self, post: Post) -> Reply:
        """Note the POST, then answer; who asks may not live to hear that."""
        self._note(post)
        try:
            return await effect(self._reply, StoreUnavailable("the connection is cut"))
        except StoreUnavailable:
            return NoAnswer(fault=Fault.DISCONNECTED, duration_s=0.01)

    def _note(self, post: Post) -> None:
        name = post.headers["webhook-id"]
        self.bodies.setdefault(name, set()).add(post.body)
        address = post.headers.get("Chain-Reply-To")
        if address is not None and self.sealer is not None:
            token = urlsplit(address).path.rpartition("/")[2]
            capability = self.sealer.open_capability(token, now=NOW)
            self.addresses.append(capability)
            self.attempts.setdefault(name, set()).add(capability.attempt or 0)
            callback = (capability.generation, post.body)
            self.names.setdefault(callback, set()).add(name)
        gate = GATE.get()
        known = list(gate._known.values()) if gate else []
        if any(news.paused for news in known):
            self.wrongs.append("G5: nobody asks an endpoint that is paused")
        if any(news.state == "open" for news in known):
            self.wrongs.append("G5: nobody asks an endpoint whose breaker is open")

    async def _reply(self) -> Reply:
        answer = ANSWER.get()
        if answer == "held":
            answer = str(await self.points.wait("endpoint"))
        if answer in BODIES:
            body = json.dumps(BODIES[answer]).encode()
            return Answer(status=200, body=body, duration_s=0.01)
        if answer in STATUSES:
            return Answer(status=STATUSES[answer], body=b"", duration_s=0.01)
        return NoAnswer(fault=Fault.TIMEOUT, duration_s=20.0)


@dataclass
class Irma(FakeBackend):
    """The model's IRMA server behind the port; a request names its slot by its URLs."""

    server: IrmaServer = field(default_factory=IrmaServer)
    points: Points = field(default_factory=Points)
    sealer: Sealer | None = None
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW))
    prepared: dict[str, SessionRequest] = field(default_factory=dict)

    def begin(self, request: SessionRequest) -> str:
        """Start a session, of which nobody was told yet; its token."""
        assert self.sealer is not None
        sealed = urlsplit(request.callback_url or "").path.rpartition("/")[2]
        capability = self.sealer.open_capability(sealed, now=NOW)
        session = self.server.start(
            slot_of(capability),
            self.clock(),
            chained=request.next_session is not None,
            timeout_s=request.timeout,
        )
        self.prepared[session.token] = request
        return session.token

    async def start(self, request: SessionRequest) -> Started:
        """Start a session for a worker, which may wait for the machine."""
        verdict = await self.points.wait("start") if HELD.get() else "ok"
        if verdict == "refused":
            raise BackendRefused(status=400, error="INVALID_REQUEST")
        if verdict == "away":
            raise BackendUnavailable("it does not answer")
        fault = BackendUnavailable("it did not answer in time")
        return await effect(partial(self._started, request), fault)

    async def _started(self, request: SessionRequest) -> Started:
        token = self.begin(request)
        package = session_package_from(
            {
                "sessionPtr": {
                    "u": f"http://irma.example/{token}",
                    "irmaqr": "disclosing",
                },
                "token": token,
                "frontendRequest": {
                    "authorization": "A" * 20,
                    "minProtocolVersion": "1.0",
                    "maxProtocolVersion": "1.1",
                },
            }
        )
        return Started(token=token, package=package)

    async def result(self, token: str) -> SessionResult | None:
        """What is stored of a session."""
        self._reach()
        found = self.server.sessions[token].stored(self.clock())
        if found.status is None:
            return None
        proof = "VALID" if found.status == "DONE" else None
        result = result_of(token, found.status, proof)
        return result.model_copy(update={"next_session": found.next_token})

    async def cancel(self, token: str) -> bool:
        """Cancel a session that is alive."""
        self._reach()
        session = self.server.sessions[token]
        if not session.alive(self.clock()):
            return False
        self.server.cancel(session, self.clock())
        return True
