"""The port `Store` on a database: each method is one transaction or one query."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import literal, select

from orchestrator.domain.breaker import Endpoint, Release
from orchestrator.domain.chain import IDEMPOTENCY, Chain, Slot, Step, View
from orchestrator.domain.key_retirement import KeyUse
from orchestrator.ports import (
    ChainRow,
    Changes,
    Clock,
    EndpointRow,
    Message,
    Recorded,
    Waiting,
    WaitingFilter,
    WaitingRow,
    outbox_row,
    utc_now,
)
from orchestrator.store import (
    chains,
    endpoints,
    failures,
    history,
    sealed_keys,
    subscribing,
    waiting,
    waiting_rooms,
)
from orchestrator.store.database import PATIENCE_S, Database, open_database
from orchestrator.store.replays import SqlReplays
from orchestrator.store.rows import (
    chain_of,
    endpoint_of,
    event_of,
    readable_event_of,
    recorded_of,
    slot_values,
    step_of,
    waiting_of,
)
from schemas.events import Event

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

_PING: Final = select(literal(1))


@asynccontextmanager
async def open_store(
    url: str, *, now: Clock = utc_now, patience_s: float = PATIENCE_S
) -> AsyncIterator[SqlStore]:
    """The store at `url` (sqlite:///path or postgresql://...), closed at the end.

    Args:
        url: where the database is.
        now: the clock of rules, outbox rows and marks.
        patience_s: how long to wait for a lock, a connection or an answer.

    Raises:
        NotConfigured: this is no URL of a database we can use.
    """
    async with open_database(url, patience_s=patience_s) as database:
        yield SqlStore(database, now=now)


class SqlStore:
    """Chains, steps, waiting rows, endpoints and events in SQL; see `ports.Store`."""

    def __init__(self, database: Database, *, now: Clock) -> None:
        self._database = database
        self._now = now
        self.replays = SqlReplays(database, now=now)

    async def ping(self) -> None:
        """Have an answer from the database."""
        await self._database.read(_PING)

    # ---------------------------------------------------------- chains and steps

    async def begin_chain(
        self, chain: Chain, step: Step, outbox: Sequence[Message]
    ) -> Chain | None:
        """Write a new chain, unless its idempotency key has begun one."""

        def act(connection: Connection) -> Chain | None:
            begun = chains.add_chain(connection, chain)
            if begun is None:
                chains.put_steps(connection, [step])
                now = self._now()
                rows = [outbox_row(message, chain.id, now) for message in outbox]
                waiting.put(connection, rows)
            return begun

        return await self._database.write(act)

    async def begun(self, idempotency: str, now: datetime) -> Chain | None:
        """The chain that this idempotency key has begun in the last 24 hours."""
        since = now - IDEMPOTENCY
        rows = await self._database.read(
            chains.BEGUN, idempotency=idempotency, since=since
        )
        return chain_of(rows[0]) if rows else None

    async def purge(self, ended_before: Callable[[str], datetime], *, limit: int) -> int:
        """Delete the secrets of chains that ended before; returns how many chains."""

        def act(connection: Connection) -> int:
            now = self._now()
            count = chains.purge(connection, ended_before, now, limit)
            endpoints.purge(connection, now)
            return count

        return await self._database.write(act)

    async def decide(self, slot: Slot, rule: Callable[[View], tuple[T, Changes]]) -> T:
        """Let a pure rule see and change the rows around one slot."""

        def act(connection: Connection) -> T:
            view = chains.look(connection, slot, self._now)
            outcome, changes = rule(view)
            _write(connection, slot.chain_id, changes, view.now)
            return outcome

        return await self._database.write(act)

    async def decide_chain(
        self,
        chain_id: str,
        rule: Callable[[Chain, Sequence[Step], datetime], tuple[T, Changes]],
    ) -> T:
        """Let a pure rule see and change all rows of one chain."""

        def act(connection: Connection) -> T:
            chain, rows = chains.look_at_all(connection, chain_id)
            now = self._now()
            outcome, changes = rule(chain, rows, now)
            _write(connection, chain_id, changes, now)
            return outcome

        return await self._database.write(act)

    async def chain(self, chain_id: str) -> Chain | None:
        """One chain's row.

        The id may be anything that somebody has put into a URL; PostgreSQL's texts have
        no NUL, and it refuses to look for one.
        """
        if "\0" in chain_id:
            return None
        rows = await self._database.read(chains.CHAIN, chain_id=chain_id)
        return chain_of(rows[0]) if rows else None

    async def chains(
        self, *, limit: int, state: str | None = None, requestor: str | None = None
    ) -> list[ChainRow]:
        """The newest chains first."""
        query = chains.newest(state, requestor).limit(limit)
        rare = state is not None or requestor is not None
        read = self._database.read_through if rare else self._database.read
        rows = await read(query)
        return [chains.chain_row_of(row) for row in rows]

    async def steps(self, chain_id: str) -> list[Step]:
        """A chain's rows, by generation and step."""
        rows = await self._database.read(chains.STEPS, chain_id=chain_id)
        return [step_of(row) for row in rows]

    async def step(self, slot: Slot) -> Step | None:
        """One slot's row."""
        rows = await self._database.read(chains.STEP, **slot_values(slot))
        return step_of(rows[0]) if rows else None

    async def step_by_token(self, token_hash: str) -> Step | None:
        """The row of a session, by the keyed hash of its requestor token."""
        rows = await self._database.read(chains.STEP_BY_TOKEN, token_hash=token_hash)
        return step_of(rows[0]) if rows else None

    async def take_due_steps(
        self, now: datetime, *, lease: timedelta, limit: int
    ) -> list[Step]:
        """Rows whose `check_at` has come, oldest first; it is moved on by the lease."""
        if not await self._database.read(chains.ANY_DUE, now=now):
            return []
        return await self._database.write(
            lambda connection: chains.take_due(connection, now, lease=lease, limit=limit)
        )

    # --------------------------------------------------------------- sealing keys

    async def note_keys(
        self, *, used: Iterable[str] = (), known: Iterable[str] = ()
    ) -> None:
        """Note that keys are in use, or only known."""
        await self._database.write(
            lambda connection: sealed_keys.note(
                connection, used=used, known=known, now=self._now()
            )
        )

    async def key_uses(self) -> list[KeyUse]:
        """What is noted of each key."""
        rows = await self._database.read(sealed_keys.ALL)
        return [sealed_keys.key_use_of(row) for row in rows]

    async def sealed_rows(self) -> dict[str, dict[str, int]]:
        """How many rows name a key, by key and table."""
        return await self._database.look_through(sealed_keys.count)

    async def reseal_steps(
        self, rule: Callable[[Step], Step], *, after: Slot | None, limit: int
    ) -> tuple[Slot | None, int]:
        """Let a rule seal the secrets of a page of steps anew."""
        return await self._database.write(
            lambda connection: sealed_keys.reseal_steps(connection, rule, after, limit)
        )

    async def reseal_waiting(
        self, rule: Callable[[Waiting], bytes], *, after: int, limit: int
    ) -> tuple[int | None, int]:
        """Let a rule seal the messages of a page of waiting rows anew."""
        return await self._database.write(
            lambda connection: sealed_keys.reseal_waiting(connection, rule, after, limit)
        )

    # --------------------------------------------------------------- waiting rows

    async def put_waiting(self, *rows: Waiting) -> None:
        """Add waiting rows; a row whose id is there already stays as it is."""
        await self._database.write_single(
            lambda connection: waiting.put(connection, rows)
        )

    async def replace_waiting(self, row: Waiting) -> None:
        """Add a waiting row, at once in the place of one with its id, leased or not."""
        await self._database.write_single(
            lambda connection: waiting.replace(connection, row)
        )

    async def take_due_waiting(
        self, now: datetime, *, owner: str, lease: timedelta, limit: int
    ) -> list[Waiting]:
        """Lease due rows that nobody holds, oldest first."""
        if not await self._database.read(waiting.ANY_DUE, now=now):
            return []
        return await self._database.write(
            lambda connection: waiting.take_due(
                connection, now, owner=owner, lease=lease, limit=limit
            )
        )

    async def drop_waiting(self, ids: Sequence[str]) -> None:
        """Delete rows whose messages were confirmed."""
        await self._database.write_single(
            lambda connection: waiting.drop(connection, ids)
        )

    async def waiting(self, *, chain_id: str | None = None, limit: int) -> list[Waiting]:
        """Waiting rows by due time."""
        query = waiting.ALL if chain_id is None else waiting.OF_CHAIN
        rows = await self._database.read(query, chain_id=chain_id, limit=limit)
        return [waiting_of(row) for row in rows]

    async def waiting_rows(
        self,
        which: WaitingFilter,
        now: datetime,
        *,
        after: WaitingRow | None = None,
        limit: int,
    ) -> list[WaitingRow]:
        """The rows that are meant, by due time; `after` the last of the page before."""
        rows = await self._database.read(waiting_rooms.page(which, after, limit))
        return [waiting_rooms.waiting_row_of(row, now) for row in rows]

    async def count_waiting(self, which: WaitingFilter) -> dict[str, int]:
        """How many rows are meant, by kind."""
        rows = await self._database.read_through(waiting_rooms.counted(which))
        return {row["kind"]: row["rows"] for row in rows}

    async def hurry_waiting(
        self, which: WaitingFilter, now: datetime, *, limit: int
    ) -> dict[str, str]:
        """Make rows due that nobody holds, the oldest first: their ids and kinds."""
        return await self._database.write(
            lambda connection: waiting_rooms.hurry(connection, which, now, limit)
        )

    async def swap_waiting(
        self, swaps: Mapping[str, Sequence[Message]], now: datetime
    ) -> set[str]:
        """Delete rows that nobody holds; what takes their place becomes an outbox."""
        return await self._database.write(
            lambda connection: waiting_rooms.swap(connection, swaps, now)
        )

    # ------------------------------------------------------------------ endpoints

    async def park(
        self, rows: Sequence[Waiting], *, busy_until: Mapping[str, datetime]
    ) -> None:
        """Add parked rows, and rows of endpoints that have none yet."""
        await self._database.write(
            lambda connection: endpoints.park(connection, rows, self._now(), busy_until)
        )

    async def release_parked(
        self,
        now: datetime,
        rule: Callable[[Endpoint], Release | None],
        *,
        owner: str,
        lease: timedelta,
        endpoints_max: int,
    ) -> list[Waiting]:
        """Lease the oldest parked rows of endpoints that a rule releases some of."""
        if not await self._database.read(endpoints.ANY_RELEASABLE, now=now):
            return []
        return await self._database.write(
            lambda connection: endpoints.release(
                connection,
                now,
                rule,
                owner=owner,
                lease=lease,
                endpoints_max=endpoints_max,
            )
        )

    async def endpoint(self, origin: str) -> Endpoint | None:
        """One endpoint's row."""
        rows = await self._database.read(endpoints.ONE, origin=origin)
        return endpoint_of(rows[0]) if rows else None

    async def endpoints(self) -> list[Endpoint]:
        """Every endpoint's row."""
        return [endpoint_of(row) for row in await self._database.read(endpoints.ALL)]

    async def endpoint_rows(self) -> list[EndpointRow]:
        """Every endpoint with what is parked for it, by origin."""
        rows = await self._database.read(endpoints.LISTED)
        return [endpoints.endpoint_row_of(row) for row in rows]

    async def change_endpoint(
        self, before: Endpoint, after: Endpoint, outbox: Sequence[Message]
    ) -> bool:
        """Compare the version and set, with the outbox."""

        def act(connection: Connection) -> bool:
            done = endpoints.compare_and_set(connection, before, after)
            if done:
                now = self._now()
                rows = [outbox_row(message, None, now) for message in outbox]
                waiting.put(connection, rows)
            return done

        return await self._database.write(act)

    # --------------------------------------------------------------------- events

    async def append_events(self, events: Sequence[Event], part: int = 0) -> list[Event]:
        """Write a batch; each new event gets its chain's next `sequence`."""
        return await self._database.write(
            lambda connection: history.append(connection, events, part)
        )

    async def known_events(self, ids: Sequence[str]) -> set[str]:
        """Which of these event ids are written."""
        rows = await self._database.read(history.KNOWN, ids=list(ids))
        return {row["id"] for row in rows}

    async def unpublished_events(self, limit: int, part: int = 0) -> list[Event]:
        """A part's written events that are not marked as published, oldest first."""
        rows = await self._database.read(history.UNPUBLISHED, limit=limit, part=part)
        return [readable_event_of(row) for row in rows]

    async def unpublished_ids(self, limit: int, part: int = 0) -> list[str]:
        """The ids of these."""
        rows = await self._database.read(history.UNPUBLISHED_IDS, limit=limit, part=part)
        return [row["id"] for row in rows]

    async def mark_published(self, ids: Sequence[str]) -> None:
        """Mark events as published to subscribers."""
        now = self._now()
        await self._database.write_single(
            lambda connection: history.mark_published(connection, ids, now)
        )

    async def events(self, chain_id: str) -> list[Event]:
        """A chain's events in order; or an endpoint's, by its origin."""
        rows = await self._database.read(history.OF_CHAIN, chain_id=chain_id)
        return [event_of(row) for row in rows]

    async def recorded(
        self, requestor: str, *, chain_id: str | None = None, after: int, limit: int
    ) -> list[Recorded]:
        """A requestor's events behind a number, in order."""
        where = {} if chain_id is None else {"chain_id": chain_id}
        query = subscribing.OF_ALL if chain_id is None else subscribing.OF_CHAIN
        rows = await self._database.read(
            query, requestor=requestor, after=after, limit=limit, **where
        )
        return [recorded_of(row) for row in rows]

    async def recorded_last(self, requestor: str) -> Recorded | None:
        """The newest of a requestor's events."""
        rows = await self._database.read(subscribing.LAST, requestor=requestor)
        return recorded_of(rows[0]) if rows else None

    async def recorded_as(
        self, event_id: str, requestor: str, *, chain_id: str | None = None
    ) -> int | None:
        """The number of one of a requestor's events."""
        query = subscribing.numbered(chain_id)
        rows = await self._database.read(query, event_id=event_id, requestor=requestor)
        return rows[0]["number"] if rows else None

    async def recorded_since(self, number: int | None) -> tuple[int, set[str]]:
        """The highest number, and whose events are behind this one."""
        return await self._database.look(
            lambda connection: subscribing.since(connection, number)
        )


def _write(
    connection: Connection, chain_id: str, changes: Changes, now: datetime
) -> None:
    """What a rule wants written about a chain whose row is locked."""
    chains.put_steps(connection, changes.steps)
    if changes.chain is not None:
        chains.replace_chain(connection, changes.chain)
    if changes.forget is not None:
        waiting.forget(connection, chain_id, changes.forget)
    if changes.failure is not None:
        failures.add(connection, changes.failure)
    waiting.put(connection, [outbox_row(sent, chain_id, now) for sent in changes.outbox])
