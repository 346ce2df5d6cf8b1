"""Rows that were relayed are deleted together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from orchestrator.domain.errors import StoreUnavailable
from orchestrator.dropping import Dropper
from orchestrator.ports import Store


@dataclass
class Rows:
    """What deletes rows of a store, and may be away."""

    dropped: list[list[str]] = field(default_factory=list)
    away: bool = False

    async def drop_waiting(self, ids: Sequence[str]) -> None:
        """Note what was asked for."""
        self.dropped.append(list(ids))
        if self.away:
            raise StoreUnavailable("the store is away")


def dropper(rows: Rows, *, pause_s: float) -> Dropper:
    """One that deletes these rows."""
    return Dropper(store=cast("Store", rows), pause_s=pause_s)


async def test_without_a_pause_each_call_deletes_its_own() -> None:
    """Nothing is gathered where nothing was said of it."""
    rows = Rows()
    deleting = dropper(rows, pause_s=0)
    await asyncio.gather(deleting.drop(["a"]), deleting.drop(["b"]))
    assert rows.dropped == [["a"], ["b"]]


async def test_rows_of_one_moment_are_deleted_together() -> None:
    """Each caller comes back when its rows are deleted; later rows have a later turn."""
    rows = Rows()
    deleting = dropper(rows, pause_s=0.001)
    await asyncio.gather(deleting.drop(["a"]), deleting.drop(["b", "c"]))
    assert rows.dropped == [["a", "b", "c"]]
    await deleting.drop(["d"])
    assert rows.dropped == [["a", "b", "c"], ["d"]]


async def test_everybody_hears_that_the_store_is_away_and_the_next_try_is_new() -> None:
    """A failure is of the rows that it was about, and of no others."""
    rows = Rows(away=True)
    deleting = dropper(rows, pause_s=0.001)
    heard = await asyncio.gather(
        deleting.drop(["a"]), deleting.drop(["b"]), return_exceptions=True
    )
    assert [type(one) for one in heard] == [StoreUnavailable] * 2
    rows.away = False
    await deleting.drop(["c"])
    assert rows.dropped[-1] == ["c"]


async def test_who_is_cancelled_does_not_take_along_the_rows_of_others() -> None:
    """The rows of all who asked are deleted."""
    rows = Rows()
    deleting = dropper(rows, pause_s=0.001)
    first = asyncio.create_task(deleting.drop(["a"]))
    second = asyncio.create_task(deleting.drop(["b"]))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert rows.dropped == [["a", "b"]]
