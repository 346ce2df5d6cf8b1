"""Work that goes on after an answer, and is finished before the process ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

#: How long work that was cancelled has for putting its things away.
CANCELLED_S: Final = 1.0


class Background:
    """Keeps tasks alive and waits for them at the end."""

    def __init__(self) -> None:
        """Begin without tasks."""
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run this beside everything else; a failure is logged by its type."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background.failed", error=type(error).__name__)

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is running and for what that starts; the rest is cancelled."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._tasks and (left_s := until - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCELLED_S)
