"""Waiting for a server of a proof's own that is just being started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

#: Between two tries.
_LOOK_S: Final = 0.05


async def until_reached(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until it takes connections."""
    while True:
        try:
            await ask()
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(_LOOK_S)
        else:
            return
