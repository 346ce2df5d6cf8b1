"""Places at an endpoint, and the room where callbacks wait for one."""

from __future__ import annotations

import asyncio

import pytest

from workers.places import Limits, Places

SHOP, BANK = "https://shop.example:443", "https://bank.example:443"


def places(*, attempts: int = 1, room: int = 4, wait_s: float = 5.0) -> Places:
    """Few places, a small room, and half of it for each requestor."""
    return Places(
        Limits(attempts=attempts, room=room, room_per_requestor=room // 2, wait_s=wait_s)
    )


async def waiting(taking: Places, origin: str, requestor: str) -> asyncio.Task[bool]:
    """Somebody who waits in the room by now."""
    task = asyncio.create_task(taking.take(origin, requestor))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_there_are_so_many_places_and_no_more() -> None:
    """Each endpoint has its own; who leaves makes room."""
    taking = places(attempts=2, wait_s=0)
    assert [await taking.take(SHOP, "acme") for _ in range(3)] == [True, True, False]
    assert await taking.take(BANK, "acme")
    taking.leave(SHOP)
    assert await taking.take(SHOP, "acme")


async def test_who_waits_gets_the_place_of_who_leaves() -> None:
    """In order of coming; nobody gets in before them."""
    taking = places()
    assert await taking.take(SHOP, "acme")
    first = await waiting(taking, SHOP, "acme")
    second = await waiting(taking, SHOP, "other")
    taking.leave(SHOP)
    assert await first
    assert not second.done()
    taking.leave(SHOP)
    assert await second
    taking.leave(SHOP)
    assert await taking.take(SHOP, "acme")


async def test_nobody_waits_longer_than_the_time() -> None:
    """Then it is parked, and its place in the room is free."""
    taking = places(room=2, wait_s=0.01)
    assert await taking.take(SHOP, "acme")
    for _ in range(3):
        assert not await taking.take(SHOP, "acme")
    taking.leave(SHOP)
    assert await taking.take(SHOP, "acme")


async def test_the_room_is_small() -> None:
    """Who does not fit in is parked at once."""
    taking = places(room=4)
    assert await taking.take(SHOP, "acme")
    tasks = [await waiting(taking, SHOP, name) for name in ("a", "b", "c", "d")]
    assert not await taking.take(SHOP, "e")
    taking.shut(SHOP)
    assert [await task for task in tasks] == [False] * 4


async def test_no_requestor_fills_the_room() -> None:
    """It has half of it, at all endpoints together; the rest is for others."""
    taking = places(room=4)
    assert await taking.take(SHOP, "acme")
    assert await taking.take(BANK, "acme")
    tasks = [await waiting(taking, SHOP, "acme"), await waiting(taking, BANK, "acme")]
    assert not await taking.take(SHOP, "acme")
    tasks.append(await waiting(taking, SHOP, "other"))
    taking.shut(SHOP)
    taking.shut(BANK)
    assert await asyncio.gather(*tasks) == [False] * 3


async def test_who_waits_is_sent_away_when_it_is_shut() -> None:
    """Nobody waits for an endpoint that is left alone; other endpoints go on."""
    taking = places()
    assert await taking.take(SHOP, "acme")
    assert await taking.take(BANK, "acme")
    shop = await waiting(taking, SHOP, "acme")
    bank = await waiting(taking, BANK, "acme")
    taking.shut(SHOP)
    assert not await shop
    assert not bank.done()
    taking.leave(BANK)
    assert await bank


@pytest.mark.parametrize("given", [False, True])
async def test_who_gives_up_takes_no_place_along(given: bool) -> None:  # noqa: FBT001 - a column of the table
    """Cancelled while it waits, or just when the place was given."""
    taking = places(wait_s=0.01)
    assert await taking.take(SHOP, "acme")
    task = await waiting(taking, SHOP, "acme")
    if given:
        taking.leave(SHOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if not given:
        taking.leave(SHOP)
    assert await taking.take(SHOP, "acme")
    assert not await taking.take(SHOP, "acme")


async def test_nothing_is_kept_of_who_is_gone() -> None:
    """Memory is that of what is in hand, however many endpoints there were (G8)."""
    taking = places(wait_s=0)
    for number in range(50):
        origin = f"https://e{number}.example:443"
        assert await taking.take(origin, "acme")
        assert not await taking.take(origin, "acme")
        taking.leave(origin)
    assert not taking._busy
    assert not taking._room
    assert not taking._waiting
