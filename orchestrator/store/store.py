"""The port `Store` on a database: each method is one transaction or one query."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from orchestrator.domain.breaker import Endpoint, Release
from orchestrator.domain.chain import IDEMPOTENCY, Chain, Slot, Step, View
from orchestrator.ports import (
    ChainRow,
    Changes,
    Clock,
    EndpointRow,
    Message,
    Waiting,
    outbox_row,
    utc_now,
)
from orchestrator.store import chains, endpoints, history, waiting
from orchestrator.store.database import PATIENCE_S, Database, open_database
from orchestrator.store.rows import (
    chain_of,
    endpoint_of,
    event_of,
    slot_values,
    step_of,
    waiting_of,
)
from schemas.events import Event

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")


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

    async def purge(self, ended_before: datetime, *, limit: int) -> int:
        """Delete the secrets of chains that ended before; returns how many chains."""
        return await self._database.write(
            lambda connection: chains.purge(connection, ended_before, self._now(), limit)
        )

    async def decide(self, slot: Slot, rule: Callable[[View], tuple[T, Changes]]) -> T:
        """Let a pure rule see and change the rows around one slot."""

        def act(connection: Connection) -> T:
            view = chains.look(connection, slot, self._now)
            outcome, changes = rule(view)
            chains.put_steps(connection, changes.steps)
            if changes.chain is not None:
                chains.replace_chain(connection, changes.chain)
            waiting.put(
                connection,
                [outbox_row(sent, slot.chain_id, view.now) for sent in changes.outbox],
            )
            return outcome

        return await self._database.write(act)

    async def chain(self, chain_id: str) -> Chain | None:
        """One chain's row."""
        rows = await self._database.read(chains.CHAIN, chain_id=chain_id)
        return chain_of(rows[0]) if rows else None

    async def chains(
        self, *, limit: int, state: str | None = None, requestor: str | None = None
    ) -> list[ChainRow]:
        """The newest chains first."""
        rows = await self._database.read(chains.newest(state, requestor).limit(limit))
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
        return await self._database.write(
            lambda connection: chains.take_due(connection, now, lease=lease, limit=limit)
        )

    # --------------------------------------------------------------- waiting rows

    async def put_waiting(self, *rows: Waiting) -> None:
        """Add waiting rows; a row whose id is there already stays as it is."""
        await self._database.write(lambda connection: waiting.put(connection, rows))

    async def take_due_waiting(
        self, now: datetime, *, owner: str, lease: timedelta, limit: int
    ) -> list[Waiting]:
        """Lease due rows that nobody holds, oldest first."""
        return await self._database.write(
            lambda connection: waiting.take_due(
                connection, now, owner=owner, lease=lease, limit=limit
            )
        )

    async def drop_waiting(self, ids: Sequence[str]) -> None:
        """Delete rows whose messages were confirmed."""
        await self._database.write(lambda connection: waiting.drop(connection, ids))

    async def waiting(self, *, chain_id: str | None = None, limit: int) -> list[Waiting]:
        """Waiting rows by due time."""
        query = waiting.ALL if chain_id is None else waiting.OF_CHAIN
        rows = await self._database.read(query, chain_id=chain_id, limit=limit)
        return [waiting_of(row) for row in rows]

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

    async def append_events(self, events: Sequence[Event]) -> list[Event]:
        """Write a batch; each new event gets its chain's next `sequence`."""
        return await self._database.write(
            lambda connection: history.append(connection, events)
        )

    async def known_events(self, ids: Sequence[str]) -> set[str]:
        """Which of these event ids are written."""
        rows = await self._database.read(history.KNOWN, ids=ids)
        return {row["id"] for row in rows}

    async def unpublished_events(self, limit: int) -> list[Event]:
        """Written events that are not marked as published, oldest first."""
        rows = await self._database.read(history.UNPUBLISHED, limit=limit)
        return [event_of(row) for row in rows]

    async def mark_published(self, ids: Sequence[str]) -> None:
        """Mark events as published to subscribers."""
        now = self._now()
        await self._database.write(
            lambda connection: history.mark_published(connection, ids, now)
        )

    async def events(self, chain_id: str) -> list[Event]:
        """A chain's events in order; or an endpoint's, by its origin."""
        rows = await self._database.read(history.OF_CHAIN, chain_id=chain_id)
        return [event_of(row) for row in rows]
