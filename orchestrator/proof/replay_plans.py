"""Waiting for a plan, by its row: a command for each look would cost seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from orchestrator.domain.replaying import Replay
from orchestrator.ports import utc_now
from orchestrator.store.database import Database
from orchestrator.store.replays import SqlReplays

_LOOK_S: Final = 0.25


async def until_plan(
    database: Database,
    replay_id: str,
    there: Callable[[Replay], bool],
    bound_s: float,
    *,
    look_s: float = _LOOK_S,
) -> Replay:
    """A plan, once something is true of it.

    Raises:
        TimeoutError: it is not by then.
    """
    replays = SqlReplays(database, now=utc_now)
    async with asyncio.timeout(bound_s):
        while True:
            plan = await replays.plan(replay_id)
            if plan is not None and there(plan):
                return plan
            await asyncio.sleep(look_s)
