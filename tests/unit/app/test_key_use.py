"""Processes note which keys they have."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.app import key_use
from orchestrator.app.key_use import noting_keys
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.domain.key_retirement import KeyUse
from orchestrator.sealing import new_key
from orchestrator.settings import Sealing
from orchestrator.store import SqlStore
from tests.support.samples import NOW
from tests.unit.conftest import LoseStore

SEALING = Sealing.model_validate(
    {
        "key": new_key(),
        "key_id": "k2",
        "hash_key": new_key(),
        "older_keys": {"k1": new_key()},
    }
)


async def test_keys_are_noted_before_they_are_used(store: SqlStore) -> None:
    """The one that seals as used, the older one as known."""
    async with noting_keys(store, SEALING):
        assert await store.key_uses() == [
            KeyUse(key_id="k1", first_seen_at=NOW),
            KeyUse(key_id="k2", first_seen_at=NOW, last_used_at=NOW),
        ]


async def test_without_a_note_no_process_starts(
    store: SqlStore, lose_store: LoseStore
) -> None:
    """A key that seals would be taken for one that does not."""
    lose_store("note_keys")
    with pytest.raises(StoreUnavailable):
        async with noting_keys(store, SEALING):
            raise AssertionError


async def test_keys_are_noted_again_and_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the store was away for a while, until the process ends."""
    monkeypatch.setattr(key_use, "NOTE_S", 0.0)
    noted, notes = asyncio.Event(), 0

    async def note_keys(**_: object) -> None:
        nonlocal notes
        notes += 1
        if notes == 2:
            raise StoreUnavailable("away")
        if notes == 3:
            noted.set()

    monkeypatch.setattr(store, "note_keys", note_keys)
    async with asyncio.timeout(5), noting_keys(store, SEALING):
        await noted.wait()
    after = notes
    await asyncio.sleep(0)
    assert notes == after
