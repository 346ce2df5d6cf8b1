"""`chainctl keys`: which keys there are, what they still seal, when each may go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.lifetimes import longest_lifetime
from orchestrator.domain.errors import NotConfigured, OrchestratorError
from orchestrator.domain.key_retirement import (
    KeyRole,
    KeyState,
    Retirement,
    key_states,
    retirement,
)
from orchestrator.ports import Clock, Store, utc_now
from orchestrator.settings import Settings
from orchestrator.store import check_schema, open_store

#: To count is to read every row.
COUNT_PATIENCE_S: Final = 600.0

_Judged = tuple[KeyState, Retirement]


async def list_keys(settings: Settings, *, as_json: bool, clock: Clock = utc_now) -> None:
    """Print every sealing key, and whether it may be taken out."""
    async with counted(settings) as store:
        judged = await _judged(settings, store, clock())
    if as_json:
        print(json.dumps([_json(key, verdict) for key, verdict in judged]))
    else:
        Console().print(_table(judged))


async def check_key(settings: Settings, key_id: str, *, clock: Clock = utc_now) -> None:
    """Do nothing if a key may be taken out.

    Raises:
        NotConfigured: nothing is known of such a key.
        OrchestratorError: it may not, and why.
    """
    async with counted(settings) as store:
        judged = await _judged(settings, store, clock())
    by_id = {key.key_id: (key, verdict) for key, verdict in judged}
    if key_id not in by_id:
        msg = f"key {key_id}: nothing is known of it; see `chainctl keys list`"
        raise NotConfigured(msg)
    key, verdict = by_id[key_id]
    if not verdict.allowed:
        raise OrchestratorError(f"key {key_id}: {_outlook(key, verdict)}")
    print(f"key {key_id} may be taken out of the configuration")


async def _judged(settings: Settings, store: Store, now: datetime) -> list[_Judged]:
    longest = longest_lifetime(settings)
    sealing = settings.sealing
    # Rows come first: what leaves them afterwards is noted before it does.
    rows = await store.sealed_rows()
    states = key_states(
        sealing.key_id,
        frozenset(sealing.older_keys),
        rows,
        {use.key_id: use for use in await store.key_uses()},
    )
    return [(key, retirement(key, now=now, longest=longest)) for key in states]


@asynccontextmanager
async def counted(settings: Settings) -> AsyncIterator[Store]:
    """The database, if it is there, with the patience to read all of it."""
    url = settings.database_url.get_secret_value()
    await check_schema(url)
    async with open_store(url, patience_s=COUNT_PATIENCE_S) as store:
        yield store


def _json(key: KeyState, verdict: Retirement) -> dict[str, JsonValue]:
    use = key.use
    return {
        "key": key.key_id,
        "role": key.role.value,
        "rows": dict(key.rows),
        "firstSeenAt": _iso(use.first_seen_at if use else None),
        "lastUsedAt": _iso(use.last_used_at if use else None),
        "mayBeRetired": verdict.allowed,
        "notBefore": _iso(verdict.not_before),
        "reason": verdict.reason,
    }


def _table(judged: list[_Judged]) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("key", "role", "rows", "last use"):
        table.add_column(name, no_wrap=True)
    table.add_column("may be taken out", overflow="fold")
    for key, verdict in judged:
        last = key.use.last_used_at if key.use else None
        rows = ", ".join(f"{name} {count}" for name, count in sorted(key.rows.items()))
        table.add_row(
            Text(key.key_id),
            Text(key.role.value, style="red" if _missed(key, verdict) else ""),
            rows or "-",
            _at(last) or "-",
            Text(_outlook(key, verdict)),
        )
    return table


def _missed(key: KeyState, verdict: Retirement) -> bool:
    """Whether it was taken out too early."""
    return key.role is KeyRole.MISSING and not verdict.allowed


def _outlook(key: KeyState, verdict: Retirement) -> str:
    if verdict.allowed:
        return "was" if key.role is KeyRole.MISSING else "yes"
    if verdict.not_before is not None:
        said = f"not before {_at(verdict.not_before)}: {verdict.reason}"
    else:
        said = f"no: {verdict.reason}"
    return f"{said}; give it back" if _missed(key, verdict) else said


def _at(time: datetime | None) -> str:
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M")


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
