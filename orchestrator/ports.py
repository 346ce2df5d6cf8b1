"""What gateway and workers need from the outside, as protocols.

Each has at least one real adapter; `orchestrator.app` is the only place that builds them.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from orchestrator.domain.breaker import Endpoint, Release
from orchestrator.domain.chain import Chain, Slot, Step, View
from orchestrator.domain.dead import DeadLetter
from orchestrator.domain.delivery import Reply
from orchestrator.domain.failing import Failure, FailureFilter, FailureGroup
from orchestrator.domain.key_retirement import KeyUse
from orchestrator.domain.parting import PARTS_MAX
from orchestrator.domain.replay_outcomes import OnItsWay, Went
from orchestrator.domain.replaying import Claimed, CutOff, Mark, Replay
from schemas.events import CLOUDEVENTS_JSON, Event, dump_event
from schemas.irma import (
    JsonObject,
    RevocationRequest,
    SessionPackage,
    SessionPointer,
    SessionRequest,
    SessionResult,
    Status,
)
from schemas.messages import (
    CallbackWork,
    EventWork,
    Lane,
    ReplyAddress,
    WakeUp,
    Work,
    dump,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of every process where no other is handed in."""
    return datetime.now(UTC)


# ------------------------------------------------------------------------ broker


class Queues:
    """The names of the queues that messages are published to by name (DESIGN §5)."""

    CALLBACKS = "callbacks"
    CALLBACKS_REPLAY = "callbacks.replay"
    CALLBACKS_EVENTS = "callbacks.events"
    SESSIONS = "sessions"
    HISTORY = "history"
    DEAD = "dead"
    LOG = "chain.log"


def history_queue(part: int) -> str:
    """The queue of a part of the history; the first one has the plain name.

    Who publishes names only that: the publisher knows the parts (`domain/parting`).
    """
    return Queues.HISTORY if part == 0 else f"{Queues.HISTORY}.{part}"


#: Every name that such a queue can have.
HISTORY_QUEUES: Final = frozenset(map(history_queue, range(PARTS_MAX)))

#: The exchange that subscribers bind to.
EVENTS_EXCHANGE: Final = "chain.events"

#: The fanout exchange by which workers learn what has changed at endpoints.
ENDPOINTS_EXCHANGE: Final = "chain.endpoints"

#: Each lane's callbacks have a queue of their own, so that a backlog in one of them does
#: not stand before another's.
LANES: Final = {
    Lane.LIVE: Queues.CALLBACKS,
    Lane.REPLAY: Queues.CALLBACKS_REPLAY,
    Lane.EVENTS: Queues.CALLBACKS_EVENTS,
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to publish, always persistent and confirmed.

    `exchange` is "" for work, which goes to its queue by name and is mandatory; nobody
    has to listen to an exchange. `id` becomes the AMQP message id, by which a return is
    matched.
    """

    id: str
    routing_key: str
    body: bytes
    exchange: str = ""
    content_type: str = "application/json"
    correlation_id: str | None = None
    headers: Mapping[str, str | int] = field(default_factory=dict)


def event_message(event: Event) -> Message:
    """An event on its way to the history."""
    return Message(
        id=event.id,
        routing_key=Queues.HISTORY,
        body=dump_event(event),
        content_type=CLOUDEVENTS_JSON,
    )


def work_message(work: Work) -> Message:
    """A work message on its way to its queue; `:work` keeps its id apart from events'."""
    match work:
        case CallbackWork():
            queue = LANES[work.lane]
        case EventWork():
            queue = Queues.CALLBACKS_EVENTS
        case _:
            queue = Queues.SESSIONS
    return Message(id=f"{work.id}:work", routing_key=queue, body=dump(work))


def wake_up_message(reply: ReplyAddress, wake_up: WakeUp) -> Message:
    """A wake-up on its way to the gateway that waits."""
    return Message(
        id=f"{wake_up.cause}:{reply.correlation_id}:{wake_up.wake}",
        routing_key=reply.queue,
        body=dump(wake_up),
        correlation_id=reply.correlation_id,
    )


class Publisher(Protocol):
    """The one way out to the broker."""

    async def publish(self, *messages: Message, timeout_s: float = 10.0) -> None:
        """Publish in this order and return when every message is confirmed.

        Raises:
            Unroutable: a message came back; the others may have been taken.
            BrokerUnavailable: a message was not confirmed in time; it may be in the
                broker all the same.
        """


class Subscribers(Protocol):
    """The way to whoever listens; what they own is not in the way of work (DESIGN §5)."""

    async def tell(self, *messages: Message) -> None:
        """Publish in this order; a refusal or a late confirm is counted, not raised.

        Raises:
            BrokerUnavailable: the connection is down, or the broker does not read from
                it; messages may be out all the same.
        """


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message in hand."""

    body: bytes
    message_id: str
    headers: Mapping[str, object]
    redelivered: bool


class Handler(Protocol):
    """A worker: returning settles the message as done.

    `Refused` moves it to `dead` with its reason; an `OrchestratorError` that is `held`
    holds it and tries again until the fault is over; any other error is a defect of ours
    and dead-letters it.
    """

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one message; must be harmless when repeated."""


class Hold(Protocol):
    """Holds a step of handling a message: what was done before it is not repeated.

    So an endpoint that has answered is not asked again for the sake of what follows.
    """

    async def __call__(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do it, and again after each fault that is `held`; other errors pass.

        If the process is to stop meanwhile it ends by an error that no handler catches,
        and the message goes to another worker.
        """


@dataclass(frozen=True, kw_only=True)
class BatchDelivery(Delivery):
    """A message in hand in a batch; `waited_s` since it was first presented."""

    waited_s: float


@dataclass(frozen=True, kw_only=True)
class BatchOutcome:
    """What became of a batch, by index; each index stands in exactly one place.

    `deferred` ones stay in hand and come first in the next batch, which follows soon even
    when nothing new arrives; `dead` ones go to `dead` with the reason given.
    """

    done: Sequence[int]
    deferred: Sequence[int] = ()
    dead: Mapping[int, str] = field(default_factory=dict)


class BatchHandler(Protocol):
    """A worker that takes batches, one at a time, in the order of the queue.

    An `OrchestratorError` that is `held` presents the batch again until the fault is
    over. After any other error each message is presented alone, and the one that fails
    alone goes to `dead`, with its reason if it was `Refused`.
    """

    async def __call__(self, batch: Sequence[BatchDelivery]) -> BatchOutcome:
        """Handle one batch; must be harmless when repeated."""


@dataclass(frozen=True, kw_only=True)
class HeldLetter:
    """A message of `dead` in an operator's hand, with all that a fresh copy needs."""

    letter: DeadLetter
    tag: int
    body: bytes
    correlation_id: str | None = None


class DeadLetters(Protocol):
    """One pass over the queue `dead`; what is not settled goes back in its order.

    What comes into the queue meanwhile is for the next pass.
    """

    @property
    def total(self) -> int:
        """How many letters there were to take when the pass began."""

    @property
    def others(self) -> bool:
        """Whether another operator has letters in hand, which are not seen here."""

    def pages(self) -> AsyncIterator[Sequence[HeldLetter]]:
        """Every letter once, oldest first, a bounded number at a time.

        Who does not go to the end loses nothing, but the order.

        Raises:
            BrokerUnavailable: the connection was lost; all that was not settled is in the
                queue again.
        """

    async def settle(self, held: Sequence[HeldLetter]) -> None:
        """Remove letters for good.

        Raises:
            BrokerUnavailable: they may still be in the queue.
        """


class Replies(Protocol):
    """A gateway's exclusive reply queue."""

    @property
    def queue(self) -> str:
        """The queue's name, to be put into `ReplyAddress.queue`."""

    def waiter(self, correlation_id: str) -> AbstractAsyncContextManager[Waiter]:
        """Wait for the wake-ups of one bridge POST for as long as the context is open."""


class Waiter(Protocol):
    """One bridge POST that waits."""

    async def wake_up(self, timeout_s: float) -> WakeUp | None:
        """The next wake-up, or None when the time is over."""


# ------------------------------------------------------------------------- store


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a rule wants written, in one transaction with its outbox.

    `steps` replace or create their slots' rows; `chain` replaces the chain's row.
    `forget` says which of the rows that wait for the chain go; those of `outbox` come
    after that. `failure` is what the chain ends with, kept for replays.
    """

    steps: tuple[Step, ...] = ()
    chain: Chain | None = None
    outbox: tuple[Message, ...] = ()
    forget: Callable[[Waiting], bool] | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A message that waits in the store: why, and until when (DESIGN §5)."""

    id: str
    kind: str
    due_at: datetime
    message: Message
    chain_id: str | None = None
    endpoint: str | None = None
    created_at: datetime


#: The kind of rows that hold a callback's next attempt.
RETRY: Final = "retry"

#: The kind of rows that wait for their endpoint and not for a time.
PARKED: Final = "parked"

#: Whoever wrote an outbox row publishes it right after, and the broker may still confirm
#: it; only then the clock does.
RELAY_PAUSE: Final = timedelta(seconds=2)


def outbox_row(message: Message, chain_id: str | None, now: datetime) -> Waiting:
    """A message that waits only to be relayed to the broker."""
    return Waiting(
        id=message.id,
        kind="outbox",
        due_at=now + RELAY_PAUSE,
        message=message,
        chain_id=chain_id,
        created_at=now,
    )


@dataclass(frozen=True, kw_only=True)
class WaitingFilter:
    """Which waiting rows are meant; what is None does not matter.

    `due_before` leaves out parked rows, which wait for their endpoint and not for a time.
    """

    ids: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    chain_id: str | None = None
    endpoint: str | None = None
    due_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WaitingRow:
    """A waiting row as operators see it; `held` while somebody is just publishing it."""

    waiting: Waiting
    number: int
    held: bool


@dataclass(frozen=True, kw_only=True)
class ChainRow:
    """A chain as lists show it."""

    chain: Chain
    steps: int


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event of a chain as it is written: its JSON, and its place in the history.

    Numbers grow in the order in which events become visible, over all chains, but not
    one by one.
    """

    number: int
    id: str
    body: str


@dataclass(frozen=True, kw_only=True)
class EndpointRow:
    """An endpoint as lists show it: how it stands, how many rows wait and since when."""

    endpoint: Endpoint
    parked: int
    oldest_at: datetime | None


class Store(Protocol):
    """The database; every method is one transaction.

    Raises (all): StoreUnavailable.
    """

    @property
    def replays(self) -> Replays:
        """Failures, and the plans that replay them."""

    async def ping(self) -> None:
        """Have an answer; nothing is read or locked."""

    async def begin_chain(
        self, chain: Chain, step: Step, outbox: Sequence[Message]
    ) -> Chain | None:
        """Write a new chain with its first step and its events.

        Returns the chain that the same idempotency key has begun in the 24 hours before;
        then nothing is written.
        """

    async def begun(self, idempotency: str, now: datetime) -> Chain | None:
        """The chain that this idempotency key has begun in the last 24 hours."""

    async def purge(self, ended_before: Callable[[str], datetime], *, limit: int) -> int:
        """Delete the secrets of chains that ended before; returns how many chains.

        `ended_before` tells that time by the chain's requestor. Rows of endpoints that
        nothing has happened to for long are deleted too; paused ones stay.
        """

    async def decide(self, slot: Slot, rule: Callable[[View], tuple[T, Changes]]) -> T:
        """Let a pure rule see and change the rows around one slot.

        The chain's row is locked, then read with the slot's row and the following one;
        what the rule returns is written before the lock goes. The rule may be called
        again when the database asks for it.

        Raises:
            UnknownChain: the slot's chain does not exist.
        """

    async def decide_chain(
        self,
        chain_id: str,
        rule: Callable[[Chain, Sequence[Step], datetime], tuple[T, Changes]],
    ) -> T:
        """Let a pure rule see and change all rows of one chain; otherwise as `decide`.

        It is given the chain, its rows by generation and step, and the time.
        """

    async def note_keys(
        self, *, used: Iterable[str] = (), known: Iterable[str] = ()
    ) -> None:
        """Note that sealing keys are in use just now, or only that they are known."""

    async def key_uses(self) -> list[KeyUse]:
        """What is noted of each sealing key, by id."""

    async def sealed_rows(self) -> Mapping[str, Mapping[str, int]]:
        """How many rows name a sealing key, by key and table."""

    async def reseal_steps(
        self, rule: Callable[[Step], Step], *, after: Slot | None, limit: int
    ) -> tuple[Slot | None, int]:
        """Let a rule seal the secrets of a page of steps anew.

        Returns the last row looked at, None at the end, and how many were written. What
        somebody else is just writing is passed over.
        """

    async def reseal_waiting(
        self, rule: Callable[[Waiting], bytes], *, after: int, limit: int
    ) -> tuple[int | None, int]:
        """Let a rule seal the messages of a page of waiting rows anew; as `reseal_steps`.

        The rule gives the message's body; rows are told by their numbers.
        """

    async def chain(self, chain_id: str) -> Chain | None:
        """One chain's row."""

    async def chains(
        self, *, limit: int, state: str | None = None, requestor: str | None = None
    ) -> list[ChainRow]:
        """The newest chains first."""

    async def steps(self, chain_id: str) -> list[Step]:
        """A chain's rows, by generation and step."""

    async def step(self, slot: Slot) -> Step | None:
        """One slot's row."""

    async def step_by_token(self, token_hash: str) -> Step | None:
        """The row of a session, by the keyed hash of its requestor token."""

    async def take_due_steps(
        self, now: datetime, *, lease: timedelta, limit: int
    ) -> list[Step]:
        """Rows whose `check_at` has come, oldest first; it is moved on by the lease."""

    async def put_waiting(self, *rows: Waiting) -> None:
        """Add waiting rows; a row whose id is there already stays as it is."""

    async def replace_waiting(self, row: Waiting) -> None:
        """Add a waiting row, at once in the place of one with its id, leased or not."""

    async def take_due_waiting(
        self, now: datetime, *, owner: str, lease: timedelta, limit: int
    ) -> list[Waiting]:
        """Lease due rows that nobody holds, oldest first; never parked ones."""

    async def drop_waiting(self, ids: Sequence[str]) -> None:
        """Delete rows whose messages were confirmed."""

    async def waiting(self, *, chain_id: str | None = None, limit: int) -> list[Waiting]:
        """Waiting rows by due time."""

    async def waiting_rows(
        self,
        which: WaitingFilter,
        now: datetime,
        *,
        after: WaitingRow | None = None,
        limit: int,
    ) -> list[WaitingRow]:
        """The rows that are meant, by due time; `after` the last of the page before."""

    async def count_waiting(self, which: WaitingFilter) -> dict[str, int]:
        """How many rows are meant, by kind."""

    async def hurry_waiting(
        self, which: WaitingFilter, now: datetime, *, limit: int
    ) -> dict[str, str]:
        """Make rows due that nobody holds, the oldest first: their ids and kinds.

        A parked one goes on as a retry, so that the clock publishes it once. What is due
        already does not count: repeated until nothing is left, each row comes once.
        """

    async def swap_waiting(
        self, swaps: Mapping[str, Sequence[Message]], now: datetime
    ) -> set[str]:
        """Delete rows that nobody holds; what takes their place becomes an outbox.

        Returns the ids that were deleted; of the others nothing is written.
        """

    async def park(
        self, rows: Sequence[Waiting], *, busy_until: Mapping[str, datetime]
    ) -> None:
        """Add parked rows, and rows of endpoints that have none yet; as `put_waiting`.

        Of a closed endpoint that is busy nothing is released before the time given.
        """

    async def release_parked(
        self,
        now: datetime,
        rule: Callable[[Endpoint], Release | None],
        *,
        owner: str,
        lease: timedelta,
        endpoints_max: int,
    ) -> list[Waiting]:
        """Lease the oldest parked rows of endpoints that a rule releases some of.

        The endpoint's row is locked meanwhile, and written only if rows were released.
        """

    async def endpoint(self, origin: str) -> Endpoint | None:
        """One endpoint's row; there is none before it parked, opened or was paused."""

    async def endpoints(self) -> list[Endpoint]:
        """Every endpoint's row."""

    async def endpoint_rows(self) -> list[EndpointRow]:
        """Every endpoint with what is parked for it, by origin."""

    async def change_endpoint(
        self, before: Endpoint, after: Endpoint, outbox: Sequence[Message]
    ) -> bool:
        """Compare and set: write it if the row has still the version of `before`.

        `before` of version 0 may have no row yet. Returns whether it was written; only
        then is the outbox.
        """

    async def append_events(self, events: Sequence[Event], part: int = 0) -> list[Event]:
        """Write a batch; each new event gets its chain's next `sequence`.

        Returns those that were new, with their sequence, in order. Repeated ids change
        nothing. `part` is that of the history which has to publish them.
        """

    async def known_events(self, ids: Sequence[str]) -> set[str]:
        """Which of these event ids are written."""

    async def unpublished_events(self, limit: int, part: int = 0) -> list[Event]:
        """A part's written events that are not marked as published, oldest first."""

    async def unpublished_ids(self, limit: int, part: int = 0) -> list[str]:
        """Their ids, for who has them at hand."""

    async def mark_published(self, ids: Sequence[str]) -> None:
        """Mark events as published to subscribers."""

    async def events(self, chain_id: str) -> list[Event]:
        """A chain's events in order; or an endpoint's, by its origin."""

    async def recorded(
        self, requestor: str, *, chain_id: str | None = None, after: int, limit: int
    ) -> list[Recorded]:
        """A requestor's events behind a number, in order; of all its chains or of one.

        What is behind the last one of them is not there yet: nothing comes in between
        later on.
        """

    async def recorded_last(self, requestor: str) -> Recorded | None:
        """The newest of a requestor's events."""

    async def recorded_as(
        self, event_id: str, requestor: str, *, chain_id: str | None = None
    ) -> int | None:
        """The number of one of a requestor's events; None if there is no such one."""

    async def recorded_since(self, number: int | None) -> tuple[int, set[str]]:
        """The highest number, and whose events are behind this one; nobody's if None."""


# ----------------------------------------------------------------------- replays


class Replays(Protocol):
    """How chains have failed, and the plans that replay them; as `Store`.

    Raises (all): StoreUnavailable.
    """

    async def cut_off(self) -> CutOff:
        """Now, and the last failure that is written."""

    async def groups(
        self, which: FailureFilter, cut_off: CutOff, *, limit: int
    ) -> list[FailureGroup]:
        """The failures that are meant, by reason, endpoint and status; most first.

        Failures of chains that were opened again since are none any more.
        """

    async def unknown(self, chain_ids: Sequence[str]) -> list[str]:
        """Which of these chains have never failed."""

    async def add(self, plan: Replay) -> None:
        """Write a new plan."""

    async def plan(self, replay_id: str) -> Replay | None:
        """One plan."""

    async def plans(self, *, limit: int) -> list[Replay]:
        """The newest plans first."""

    async def refusals(self, replay_id: str, *, limit: int) -> dict[str, int]:
        """Why failures of a plan were refused, and how many; most first."""

    async def change(self, before: Replay, after: Replay) -> bool:
        """Compare and set: write what rules change if the version is still the same.

        Counters are left as they are, but those of a group begin anew with another one.
        """

    async def lease(
        self, owner: str, now: datetime, *, lease: timedelta, limit: int
    ) -> list[Replay]:
        """Plans with something to do, the oldest first; they are ours meanwhile.

        That is for most of the lease at least: it is not written anew at every call.
        """

    async def claim(self, plan: Replay, *, limit: int) -> int:
        """Claim the next failures that a plan means and nobody has; how many it were."""

    async def take(
        self,
        plan: Replay,
        now: datetime,
        *,
        owner: str,
        without: Collection[str],
        limit: int,
    ) -> list[Claimed]:
        """The next failures of a plan, of no endpoint that is left out.

        They are put into its group, and noted as begun. None, if somebody else has
        leased the plan meanwhile.
        """

    async def claimable(
        self, which: FailureFilter, cut_off: CutOff, *, after: int, limit: int
    ) -> list[Claimed]:
        """Failures that a plan could claim, by number; nobody claims them."""

    async def mark(self, replay_id: str, marks: Sequence[Mark], *, owner: str) -> None:
        """Note and count what became of failures, each once.

        Nothing is noted if somebody else has leased the plan meanwhile: they take what
        was begun again, and know what became of it by then.
        """

    async def on_their_way(self, replay_id: str, *, limit: int) -> list[OnItsWay]:
        """Replays of a plan whose outcome is not known."""

    async def judge(self, plan: Replay, went: Mapping[int, Went]) -> None:
        """Note and count what replays came to, each once."""

    async def release(self, replay_id: str, *, after: int, limit: int) -> int | None:
        """Let failures go that were never begun, behind this number.

        The number of the last one, None if there was none. Who has let go of a page goes
        on behind it: what was let go of would have to be passed over each time.
        """

    async def reseal(
        self, rule: Callable[[str, str], str], *, after: str, limit: int
    ) -> tuple[str | None, int]:
        """Let a rule seal the URLs of a page of plans anew, by their ids.

        As `Store.reseal_steps`; whoever has read a plan before has to read it again.
        """


# ---------------------------------------------------------------------- backends


@dataclass(frozen=True, kw_only=True)
class Started:
    """A session that a backend started: its requestor token and its whole package."""

    token: str
    package: SessionPackage


class Backend(Protocol):
    """A session system (IRMA server, later Ory and DID wallets).

    Raises (all): BackendUnavailable, BackendRefused. Where the backend refuses us and
    not what is asked for, that is BackendUnavailable too (`NotAdmitted`): no requestor
    can mend it.
    """

    async def start(self, request: SessionRequest) -> Started:
        """Start a session; the request's URLs are ours already."""

    async def result(self, token: str) -> SessionResult | None:
        """What the backend has stored of a session; None when it does not know it."""

    async def cancel(self, token: str) -> bool:
        """Cancel a session; False when the backend does not know it."""

    async def status(self, token: str) -> Status | None:
        """A session's status as it stands; None when the backend does not know it."""

    async def next_pointer(self, package: SessionPackage) -> SessionPointer | None:
        """The pointer of the session that followed this one in flow, if one did."""

    async def revoke(self, request: RevocationRequest) -> None:
        """Revoke a credential that the backend has issued."""

    async def signs(self) -> bool:
        """Whether the backend signs what it POSTs to us."""

    async def read_result(self, body: bytes, content_type: str) -> SessionResult:
        """Read a result that was POSTed to us, checking its signature where it has one.

        Raises:
            Undecodable: it is no session result, or the signature does not hold.
        """


# --------------------------------------------------------------------- callbacks


@dataclass(frozen=True, kw_only=True)
class Post:
    """One POST of one result, on behalf of a requestor, named by its key."""

    requestor: str
    url: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    timeout_s: float


class Caller(Protocol):
    """Makes one POST; every outcome is a typed reply, never an exception."""

    async def post(self, post: Post) -> Reply:
        """POST within the limits of `callbacks`; redirects are not followed."""


class Signer(Protocol):
    """Signs session results as the IRMA server does, and bodies as webhooks are.

    Source: reference irma.md §6; Standard Webhooks 1.0.0.
    """

    @property
    def public_key_pem(self) -> str | None:
        """SPKI PEM of the key that verifies, or None without a key."""

    @property
    def public_keys(self) -> Sequence[JsonObject]:
        """The keys that receivers may trust, as JWKs; the one that signs comes first."""

    async def sign(
        self, result: JsonObject, *, validity_s: int, now: datetime
    ) -> str | None:
        """The JWT of a result as it is on the wire; None without a key.

        It is made off the event loop.
        """

    async def sign_legacy(
        self, result: SessionResult, *, validity_s: int, now: datetime
    ) -> str | None:
        """The JWT of `/getproof`, made off the event loop; None without a key."""

    async def sign_webhook(
        self, requestor: str, webhook_id: str, body: bytes, *, now: datetime
    ) -> str | None:
        """The `webhook-signature` of a body; None for a requestor without secrets."""
