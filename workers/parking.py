"""Parks many callbacks in one transaction.

An endpoint that hangs has its callbacks parked as fast as they come. Were each written by
itself, those that wait for the database would fill the prefetch and keep the others out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.ports import Store, Waiting


@dataclass
class _Batch:
    """What is written next."""

    rows: list[Waiting] = field(default_factory=list)
    busy_until: dict[str, datetime] = field(default_factory=dict)


class Parking:
    """Writes rows as they come; those that come meanwhile are written together next."""

    def __init__(self, store: Store) -> None:
        """Write into this store."""
        self._store = store
        self._batch: _Batch | None = None
        self._writing: asyncio.Task[None] | None = None

    async def park(self, row: Waiting, busy_until: datetime | None) -> None:
        """Return when the row is committed.

        Raises:
            StoreUnavailable: nothing of its batch was written, as far as is known.
        """
        if self._batch is None or self._writing is None:
            self._batch = _Batch()
            writing = self._write(self._batch, self._writing)
            self._writing = asyncio.create_task(writing)
        self._batch.rows.append(row)
        if busy_until is not None and row.endpoint is not None:
            self._batch.busy_until[row.endpoint] = busy_until
        # The others' rows are written all the same when one of them gives up.
        await asyncio.shield(self._writing)

    async def _write(self, batch: _Batch, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._batch = None
        await self._store.park(batch.rows, busy_until=batch.busy_until)
