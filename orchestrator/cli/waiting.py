"""`chainctl waiting`: what waits in the store, hurried or cancelled."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.tools import make_sealer
from orchestrator.cli.asking import agreed, from_now, span, time_of
from orchestrator.cli.chains import looked_at
from orchestrator.cli.timeline import plain
from orchestrator.domain.endpoint import NO_ORIGIN, endpoint_named
from orchestrator.domain.errors import NotConfigured, NotDone
from orchestrator.domain.operating import Tally, uncancellable
from orchestrator.ports import PARKED, Store, WaitingFilter, utc_now
from orchestrator.settings import Settings
from orchestrator.waiting_rooms import Listed, WaitingRooms
from orchestrator.work import WorkMaker

_NOTHING: Final = "nothing waits that is meant"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of the rows that are meant."""

    ids: Sequence[str] = ()
    kinds: Sequence[str] = field(default_factory=tuple)
    chain: str | None = None
    endpoint: str | None = None
    due_before: str | None = None

    def some(self) -> WaitingFilter:
        """Rows to be changed: named, or of a kind, a chain, an endpoint.

        Raises:
            NotConfigured: both, or nothing is said.
        """
        filtered = bool(self.kinds or self.chain or self.endpoint)
        if bool(self.ids) == filtered:
            raise NotConfigured(
                "say which rows: their ids, or else --chain, --endpoint or --kind"
            )
        return self.filter(utc_now())

    def filter(self, now: datetime) -> WaitingFilter:
        """The same for the store."""
        due = self.due_before
        if self.chain is not None and not self.chain.isprintable():
            raise NotConfigured("--chain: that is no id of a chain")
        return WaitingFilter(
            ids=self.ids or None,
            kinds=self.kinds or None,
            chain_id=self.chain,
            endpoint=None if self.endpoint is None else _origin(self.endpoint),
            due_before=None if due is None else time_of(due, now, option="--due-before"),
        )


async def list_waiting(
    settings: Settings, asked: Asked, *, limit: int, as_json: bool
) -> None:
    """Print what waits, by due time, and how much there is of each kind."""
    now = utc_now()
    which = asked.filter(now)
    async with looked_at(settings) as store:
        rooms = _rooms(settings, store)
        counts = await rooms.counts(which)
        rows = [row async for page in rooms.listed(which, limit=limit) for row in page]
    if as_json:
        told: JsonValue = [listed_json(row) for row in rows]
        total = sum(counts.values())
        print(json.dumps({"total": total, "counts": counts, "rows": told}))
        return
    if rows:
        Console().print(_table(rows, now))
    print(_summary(counts, len(rows)))


async def hurry_waiting(settings: Settings, asked: Asked) -> None:
    """Make rows due now."""
    which = asked.some()
    async with looked_at(settings) as store:
        tally = await _done(_rooms(settings, store).hurry(which))
    print(_did("made due now", tally))
    if parked := tally.done[PARKED]:
        print(
            f"{parked} parked: published once now, the oldest first; parked again if"
            " the endpoint is still not free"
        )
    _print_left(tally)


async def cancel_waiting(settings: Settings, asked: Asked, *, yes: bool) -> None:
    """Take rows out for good.

    Raises:
        NotDone: some of those that were named are left.
    """
    which = asked.some()
    async with looked_at(settings) as store:
        rooms = _rooms(settings, store)
        counts = await rooms.counts(which)
        cancellable = {
            kind: count for kind, count in counts.items() if not uncancellable(kind)
        }
        # What is named and cannot be cancelled is refused with its reason, unasked.
        if cancellable and not agreed(_question(cancellable), yes=yes):
            print("nothing was changed")
            return
        tally = await _done(rooms.cancel(which))
    print(_did("cancelled", tally))
    _print_left(tally)
    if asked.ids:
        tally.complete()


def listed_json(listed: Listed) -> dict[str, JsonValue]:
    """What `--json` tells of a row."""
    row = listed.row.waiting
    return {
        "id": row.id,
        "kind": row.kind,
        "chain": row.chain_id,
        "endpoint": row.endpoint,
        "dueAt": None if row.kind == PARKED else row.due_at.isoformat(),
        "since": row.created_at.isoformat(),
        "attempt": listed.attempt,
        "held": listed.row.held,
    }


async def _done(operation: Coroutine[object, object, Tally]) -> Tally:
    try:
        return await operation
    except NotDone as error:
        raise NotConfigured(str(error)) from None


def _rooms(settings: Settings, store: Store) -> WaitingRooms:
    make = WorkMaker(sealer=make_sealer(settings))
    return WaitingRooms(store=store, make=make, clock=utc_now)


def _table(rows: Iterable[Listed], now: datetime) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("kind", "due", "since"):
        table.add_column(name, no_wrap=True)
    table.add_column("attempt", justify="right", no_wrap=True)
    for name in ("endpoint", "chain", "id"):
        table.add_column(name, overflow="fold")
    for listed in rows:
        row = listed.row.waiting
        table.add_row(
            row.kind,
            _due(listed, now),
            span(now - row.created_at),
            "" if listed.attempt is None else str(listed.attempt),
            Text(plain(row.endpoint or "")),
            row.chain_id or "",
            Text(plain(row.id)),
        )
    return table


def _due(listed: Listed, now: datetime) -> str:
    row = listed.row.waiting
    if listed.row.held:
        return "now, held"
    return "endpoint" if row.kind == PARKED else from_now(row.due_at, now)


def _summary(counts: Mapping[str, int], shown: int) -> str:
    total = sum(counts.values())
    if not total:
        return _NOTHING
    part = f", the first {shown} shown" if shown < total else ""
    return f"{total} waiting{part}: {_kinds(counts)}"


def _did(what: str, tally: Tally) -> str:
    total = tally.done.total()
    if total == 0 and not tally.left:
        return _NOTHING
    kinds = f": {_kinds(tally.done)}" if total else ""
    return f"{total} {what}{kinds}"


def _question(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return (
        f"cancel {total} ({_kinds(counts)})? Callbacks are given up, and chains that"
        " wait for them end as failed"
    )


def _print_left(tally: Tally) -> None:
    for line in tally.lines():
        print(line)


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def _origin(url: str) -> str:
    origin = endpoint_named(url)
    if origin == NO_ORIGIN:
        raise NotConfigured(
            "--endpoint: it needs http or https and a host, as https://HOST:PORT"
        )
    return origin
