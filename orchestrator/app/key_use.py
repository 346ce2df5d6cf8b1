"""Each process notes which sealing keys it has, and that it uses one of them.

The clock cannot do that for all of them: while a key is changed, some processes still
seal with the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from orchestrator.domain.errors import OrchestratorError
from orchestrator.ports import Store
from orchestrator.settings import Sealing

_log = structlog.get_logger(__name__)

#: Well within what may pass unnoted (`key_retirement.UNNOTED`), though some notes fail.
NOTE_S: Final = 600.0


@asynccontextmanager
async def noting_keys(store: Store, sealing: Sealing) -> AsyncIterator[None]:
    """Note the keys before the first one is used, and then every ten minutes."""
    await _note(store, sealing)
    noting = asyncio.create_task(_note_again(store, sealing))
    try:
        yield
    finally:
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)


async def _note(store: Store, sealing: Sealing) -> None:
    await store.note_keys(used=[sealing.key_id], known=sealing.older_keys)


async def _note_again(store: Store, sealing: Sealing) -> None:
    while True:
        await asyncio.sleep(NOTE_S)
        try:
            await _note(store, sealing)
        except OrchestratorError as error:
            _log.warning("key.unnoted", why=type(error).__name__)
