"""The proof that broker or store may be away under load: nothing is lost, nobody notices.

Two runs, each on an installation of its own: users come at a steady pace, play their
chains, and meanwhile the broker, then the database server, is stopped and started again.
What users, endpoint, subscriber and database have in their journals is compared at the
end (`outage_books`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from pydantic import JsonValue

from orchestrator.local.stack import Plan, Stack
from orchestrator.ports import Store
from orchestrator.proof.ground import Ground
from orchestrator.proof.outage_books import (
    Away,
    Books,
    Phase,
    Signs,
)
from orchestrator.proof.outage_judging import all_of, noticed, verdict
from orchestrator.proof.outage_left import died, kept, left, said, unheard
from orchestrator.proof.outage_sheet import figures, sheet
from orchestrator.proof.outage_users import Crowd, Load, crowd, posted
from orchestrator.proof.outage_watching import subscribed
from orchestrator.proof.report import Promise, Report
from orchestrator.store import open_store

Say = Callable[[str], None]

#: How long what is left may take to go once the last user has gone.
_CLEARED_S: Final = 60.0
_LOOK_S: Final = 0.5


class Stoppable(Protocol):
    """A server of ours that can be stopped and started."""

    async def stop(self) -> None:
        """Stop it in order."""

    async def start(self) -> None:
        """Start it again; ready when it answers."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The load and the outage.

    Attributes:
        think_s: users share after so long at most.
        patience_s: no chain takes its user longer.
    """

    rate: float = 20.0
    before_s: float = 15.0
    away_s: float = 30.0
    after_s: float = 20.0
    think_s: float = 10.0
    patience_s: float = 240.0

    @property
    def load(self) -> Load:
        """What the users are told of it."""
        return Load(rate=self.rate, think_s=self.think_s, patience_s=self.patience_s)


@dataclass(frozen=True, kw_only=True)
class _Outage:
    """What is away, whether new chains are refused for it, and who has to say so."""

    what: str
    refuses: bool
    signs: Mapping[str, Signs]


_LOST: Final = Signs(away="broker.lost", over="broker.back")
_HELD: Final = Signs(away="worker.held", over="worker.no_longer_held")
_FAULT: Final = Signs(away="clock.fault", over=None)

_BROKER: Final = _Outage(
    what="broker",
    refuses=False,
    signs=dict.fromkeys(
        ("gateway", "callback-1", "callback-2", "session", "history", "clock"), _LOST
    ),
)
#: Callback workers go on: they need the store only when something has to wait.
_STORE: Final = _Outage(
    what="store",
    refuses=True,
    signs={"session": _HELD, "history": _HELD, "clock": _FAULT},
)

_PLAN: Final = Plan(
    callbacks=2, endpoint=False, overrides={"irma_server": {"check_attribute": ""}}
)


async def prove(ground: Ground, say: Say, pace: Pace = Pace()) -> Report:
    """The broker away, then the store."""
    broker = await _part(ground, _BROKER, ground.broker.node, pace, say)
    store = await _part(ground, _STORE, _store_of(ground), pace, say)
    return Report(
        proof="outage",
        promises=[*broker.promises, *store.promises],
        sheets=[*broker.sheets, *store.sheets],
        figures={"broker": dict(broker.figures), "store": dict(store.figures)},
    )


def _store_of(ground: Ground) -> Stoppable | None:
    return None if ground.postgresql is None else ground.postgresql.server


async def _part(
    ground: Ground, outage: _Outage, server: Stoppable | None, pace: Pace, say: Say
) -> Report:
    """One run; what cannot be stopped cannot be proved, which is no pass."""
    if server is None:
        cannot = Promise(
            name=f"{outage.what} away", seen=_why_not(ground, outage), held=False
        )
        say(f"{cannot.name}: {cannot.seen}")
        return Report(proof=outage.what, promises=[cannot])
    async with (
        ground.stack(_PLAN) as stack,
        open_store(stack.database_url) as store,
        subscribed(stack.broker_url) as subscriber,
        crowd(stack, subscriber, pace.load) as users,
    ):
        return await _Run(stack, store, users, outage, pace, say).report(server)


def _why_not(ground: Ground, outage: _Outage) -> str:
    if outage is _BROKER:
        return "RABBITMQ_URL's is not ours to stop; unset it for a private node"
    if ground.postgresql is None:
        return "SQLite has no server to stop; this needs --database postgresql"
    return "POSTGRESQL_URL's is not ours to stop; unset it for a private cluster"


@dataclass(frozen=True)
class _Run:
    """One run: the outage under load, and what is found afterwards."""

    stack: Stack
    store: Store
    users: Crowd
    outage: _Outage
    pace: Pace
    say: Say

    async def report(self, server: Stoppable) -> Report:
        """Everything, in the words of this outage."""
        what = self.outage.what
        away = await self._under_load(server)
        cleared = await _left_nothing(self.stack, self.store)
        books = await self._books(away)
        logs = {process: said(self.stack, process) for process in self.outage.signs}
        promises = [*all_of(books), noticed(away, self.outage.signs, logs), *cleared]
        return Report(
            proof=what,
            promises=[replace(one, name=f"{what} away: {one.name}") for one in promises],
            sheets=[sheet(f"{what} away for {away.lasted_s:.1f} s", books)],
            figures={**_figures(books), "unheard": dict(unheard(self.stack))},
        )

    async def _under_load(self, server: Stoppable) -> Away:
        what, pace = self.outage.what, self.pace
        async with self.users.coming():
            self.say(f"{what} away: {pace.rate:g} chains/s")
            await asyncio.sleep(pace.before_s)
            away = await _away(server, pace.away_s, what, self.say)
            await asyncio.sleep(pace.after_s)
        self.say("all users have gone")
        return away

    async def _books(self, away: Away) -> Books:
        epoch_s = time.time() - asyncio.get_running_loop().time()
        users = self.users
        return Books(
            away=away,
            rate=self.pace.rate,
            offered=users.offered,
            refuses=self.outage.refuses,
            users=users.users,
            refusals=users.refusals,
            posted=posted(users.endpoint, epoch_s),
            told=users.subscriber.told,
            viewings=[page.viewing for page in users.pages],
            kept=await kept(self.store),
        )


async def _away(server: Stoppable, away_s: float, what: str, say: Say) -> Away:
    """Stop it, keep it stopped for so long, and start it again, whatever happens."""
    from_s = time.time()
    try:
        await server.stop()
        say(f"{what} stopped")
        await asyncio.sleep(away_s)
    finally:
        await server.start()
    until_s = time.time()
    say(f"{what} back")
    return Away(from_s=from_s, until_s=until_s)


async def _left_nothing(stack: Stack, store: Store) -> list[Promise]:
    """No row, no message, no session is left, and no process has died."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _CLEARED_S
    while (  # noqa: ASYNC110 - rows and queues make no noise
        not (found := await left(stack, store)).nothing and loop.time() < until
    ):
        await asyncio.sleep(_LOOK_S)
    remains = [] if found.nothing else [f"left: {found}"]
    dead = [f"{name} died" for name in died(stack)]
    return [
        verdict("no row waits, no message is left or dead", "all gone", remains),
        verdict("no process dies", "all run", dead),
    ]


def _figures(books: Books) -> dict[str, JsonValue]:
    phases: dict[str, JsonValue] = {phase.value: figures(books, phase) for phase in Phase}
    away_s = round(books.away.lasted_s, 1)
    return {"offered_per_s": round(books.offered, 2), "away_s": away_s, **phases}
