"""Deletes waiting rows whose messages are out, those of one moment together.

A relayed row is due to be published again only after `RELAY_PAUSE`, and a message that
goes out twice has the same id; so a row may stay for a moment, and a statement and its
commit serve many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.ports import Store


@dataclass(kw_only=True)
class Dropper:
    """Gathers rows for so long, then deletes them at once.

    Attributes:
        pause_s: far less than a relayed row stays unpublished; 0 deletes each by itself.
    """

    store: Store
    pause_s: float = 0.0
    _gathered: list[str] = field(default_factory=list)
    _deleting: asyncio.Task[None] | None = None

    async def drop(self, ids: Iterable[str]) -> None:
        """Have these rows deleted, and wait until they are.

        Raises:
            StoreUnavailable: they may be there; what is not deleted is published again.
        """
        if not self.pause_s:
            await self.store.drop_waiting(list(ids))
            return
        self._gathered += ids
        if self._deleting is None:
            self._deleting = asyncio.create_task(self._delete())
        # Who is cancelled does not take along the rows of the others.
        await asyncio.shield(self._deleting)

    async def _delete(self) -> None:
        await asyncio.sleep(self.pause_s)
        ids, self._gathered, self._deleting = self._gathered, [], None
        await self.store.drop_waiting(ids)
