"""Several things at once, none of which outlives the failure of another."""

import asyncio
from collections.abc import Coroutine


async def together(*work: Coroutine[object, object, object]) -> None:
    """Run all at once; when one fails, the others are cancelled and have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
