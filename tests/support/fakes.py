"""Stand-ins for the ports: they keep what they were given and fail as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.domain.delivery import Reply
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    BrokerUnavailable,
    NotAdmitted,
    Refused,
    Undecodable,
    Unroutable,
)
from orchestrator.ports import LANES, Message, Post, Queues, Started
from schemas.events import Event, parse_event
from schemas.irma import (
    InvalidSessionResult,
    JsonObject,
    RevocationRequest,
    SessionPackage,
    SessionPointer,
    SessionRequest,
    SessionResult,
    Status,
    parse_session_result,
    session_package_from,
)
from schemas.messages import WakeUp, Work, parse_wake_up, parse_work


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    now: datetime

    def __call__(self) -> datetime:
        """What the time is."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class FakePublisher:
    """Keeps what was confirmed, in order.

    Attributes:
        calls: the messages of each call that was confirmed.
        down: the connection is known to be down.
        slow: nothing is confirmed before this is set.
        asked: set once something was to be published.
        gone: queues that do not exist.
        bytes_max: the longest message that is taken.
    """

    calls: list[tuple[Message, ...]] = field(default_factory=list)
    down: bool = False
    slow: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: set[str] = field(default_factory=set)
    bytes_max: int = 8 * 1024 * 1024

    async def publish(self, *messages: Message, timeout_s: float = 10.0) -> None:
        """Confirm the messages, or raise as the broker would."""
        del timeout_s
        self.asked.set()
        ids = [message.id for message in messages if not message.exchange]
        assert len(set(ids)) == len(ids), "two messages of one call have the same id"
        if max((len(message.body) for message in messages), default=0) > self.bytes_max:
            raise Refused("a message is over the limit")
        if self.slow is not None:
            await self.slow.wait()
        if self.down:
            raise BrokerUnavailable("the connection to the broker is down")
        taken = tuple(m for m in messages if m.routing_key not in self.gone)
        self.calls.append(taken)
        if len(taken) < len(messages):
            raise Unroutable("nothing takes a message")

    async def tell(self, *messages: Message) -> None:
        """Subscribers are told like everybody else."""
        await self.publish(*messages)

    @property
    def messages(self) -> list[Message]:
        """All that was confirmed."""
        return [message for call in self.calls for message in call]

    @property
    def events(self) -> list[Event]:
        """What was confirmed for the history."""
        return [parse_event(m.body) for m in self.to(Queues.HISTORY)]

    @property
    def types(self) -> list[str]:
        """The types of the events for the history."""
        return [event.type for event in self.events]

    @property
    def work(self) -> list[Work]:
        """What was confirmed for workers."""
        queues = {*LANES.values(), Queues.SESSIONS}
        return [parse_work(m.body) for m in self.messages if m.routing_key in queues]

    @property
    def wake_ups(self) -> list[WakeUp]:
        """What was confirmed for gateways that wait."""
        found = [m for m in self.messages if m.routing_key.startswith("gateway.")]
        return [parse_wake_up(m.body) for m in found]

    def to(self, queue: str) -> list[Message]:
        """What was confirmed for one queue."""
        return [m for m in self.messages if m.routing_key == queue and not m.exchange]


@dataclass
class FakeReplies:
    """A reply queue whose wake-ups are played by a script, which gets no arguments.

    When the script says nothing, more than the time that was given passes on the clock.
    """

    clock: FakeClock
    script: Callable[[], Awaitable[WakeUp | None]] | None = None
    waiting: int = 0
    timeouts_s: list[float] = field(default_factory=list)

    @property
    def queue(self) -> str:
        """The queue's name."""
        return "gateway.one"

    @asynccontextmanager
    async def waiter(self, correlation_id: str) -> AsyncIterator[FakeReplies]:
        """Count who waits."""
        assert correlation_id
        self.waiting += 1
        try:
            yield self
        finally:
            self.waiting -= 1

    async def wake_up(self, timeout_s: float) -> WakeUp | None:
        """What the script says, or None when the time is over."""
        assert self.waiting == 1
        self.timeouts_s.append(timeout_s)
        found = await self.script() if self.script else None
        if found is None:
            self.clock.advance(timeout_s + 0.5)
        return found


@dataclass
class FakeBackend:
    """A session system that answers from memory.

    Attributes:
        requests: what was started, in order; the n-th has the token `token_of(n)`.
        results: what is stored of sessions, by token.
        unreachable: every call fails as if nothing answered.
        refusal: what starting a session or revoking is answered with.
        meanwhile: happens while a session is being started.
        looking: happens while a session is being looked up.
        followers: the pointers of next sessions, by the token of the one before.
        revoked: what was revoked, in order.
        key: whether it signs what it POSTs.
        forgotten: the tokens of sessions that it does not know any more.
    """

    requests: list[SessionRequest] = field(default_factory=list)
    results: dict[str, SessionResult] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    unreachable: bool = False
    refusal: BackendRefused | NotAdmitted | None = None
    meanwhile: Callable[[], Awaitable[None]] | None = None
    looking: Callable[[], Awaitable[object]] | None = None
    followers: dict[str, SessionPointer] = field(default_factory=dict)
    revoked: list[RevocationRequest] = field(default_factory=list)
    key: bool = True
    forgotten: set[str] = field(default_factory=set)

    async def start(self, request: SessionRequest) -> Started:
        """Start a session."""
        self._reach()
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        token = token_of(len(self.requests))
        if self.meanwhile is not None:
            await self.meanwhile()
        package = session_package_from(
            {
                "sessionPtr": {
                    "u": f"http://irma.example/irma/session/{token}",
                    "irmaqr": str(request.type),
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
        self.asked.append(token)
        if self.looking is not None:
            await self.looking()
        return self.results.get(token)

    async def cancel(self, token: str) -> bool:
        """Note that a session was cancelled."""
        self._reach()
        self.cancelled.append(token)
        return token not in self.forgotten

    async def status(self, token: str) -> Status | None:
        """Where a session stands by what is stored of it."""
        self._reach()
        self.asked.append(token)
        stored = self.results.get(token)
        return None if stored is None else stored.status

    async def next_pointer(self, package: SessionPackage) -> SessionPointer | None:
        """Who followed a session."""
        self._reach()
        return self.followers.get(package.token)

    async def revoke(self, request: RevocationRequest) -> None:
        """Note what was revoked."""
        self._reach()
        if self.refusal is not None:
            raise self.refusal
        self.revoked.append(request)

    async def signs(self) -> bool:
        """Whether it was given a key."""
        self._reach()
        return self.key

    async def read_result(self, body: bytes, content_type: str) -> SessionResult:
        """Read JSON; there is no signature to check."""
        if not content_type.startswith("application/json"):
            raise Undecodable("no session result: neither JSON nor JWT")
        try:
            return parse_session_result(body)
        except InvalidSessionResult as error:
            raise Undecodable(f"no session result: {error}") from None

    def _reach(self) -> None:
        if self.unreachable:
            raise BackendUnavailable("http://irma.example:80 does not answer")


def token_of(n: int) -> str:
    """The requestor token of the n-th session that was started, from 1."""
    return f"Token{n:015}"


@dataclass
class FakeSigner:
    """Signs by counting, so that every signature is another.

    Attributes:
        public_key_pem: the key; None for none.
        public_keys: the published keys.
        signed: what was signed as JWT, in order.
        webhooks: the requestors that have a secret.
        posted: what was signed as webhook: its id, body and time.
    """

    public_key_pem: str | None = "-----BEGIN PUBLIC KEY-----"
    public_keys: Sequence[JsonObject] = ({"kid": "fake"},)
    signed: list[tuple[JsonObject, int, datetime]] = field(default_factory=list)
    webhooks: set[str] = field(default_factory=set)
    posted: list[tuple[str, bytes, datetime]] = field(default_factory=list)

    async def sign(
        self, result: JsonObject, *, validity_s: int, now: datetime
    ) -> str | None:
        """A JWT with the number of the signature; None without a key."""
        if self.public_key_pem is None:
            return None
        self.signed.append((result, validity_s, now))
        return f"header.claims.{len(self.signed)}"

    async def sign_legacy(
        self, result: SessionResult, *, validity_s: int, now: datetime
    ) -> str | None:
        """A JWT that is told from the others by its middle."""
        signed = await self.sign(result.to_wire(), validity_s=validity_s, now=now)
        return None if signed is None else signed.replace("claims", "legacy")

    async def sign_webhook(
        self, requestor: str, webhook_id: str, body: bytes, *, now: datetime
    ) -> str | None:
        """A signature with its number; None for a requestor without secrets."""
        if requestor not in self.webhooks:
            return None
        self.posted.append((webhook_id, body, now))
        return f"v1,{len(self.posted)}"


@dataclass
class FakeCaller:
    """An endpoint that gives scripted replies, one for each POST."""

    replies: Sequence[Reply] = ()
    posts: list[Post] = field(default_factory=list)

    async def post(self, post: Post) -> Reply:
        """The next reply of the script."""
        self.posts.append(post)
        return self.replies[len(self.posts) - 1]
