"""A worker of its own: what it does, on which database, and for which chains.

Run by `test_concurrency.py`; it says on stdout how far it is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace

from orchestrator.domain.chain import Slot, StepState, View
from orchestrator.ports import Changes, Store
from orchestrator.store import open_store
from tests.contract.store.samples import LEASE, NOW, a_message, a_step


def claim(answer: str) -> Callable[[View], tuple[bool, Changes]]:
    """A rule that takes the following slot if nobody has."""

    def rule(view: View) -> tuple[bool, Changes]:
        if view.following is not None or view.step is None:
            return False, Changes()
        slot = view.step.slot.following
        offered = a_step(slot.chain_id, slot.step, state=StepState.OFFERED)
        return True, Changes(
            steps=(view.step, replace(offered, answer_hash=answer)),
            outbox=(a_message(f"{slot.chain_id}-{answer}"),),
        )

    return rule


async def _claim(store: Store, name: str, *chain_ids: str) -> None:
    """Wait for the other one, then race through all chains."""
    await store.chains(limit=1)
    print("ready", flush=True)  # noqa: T201 - how processes speak
    sys.stdin.readline()
    ordered = chain_ids if name == "left" else tuple(reversed(chain_ids))
    mine = [
        chain_id
        for chain_id in ordered
        if await store.decide(Slot(chain_id=chain_id, step=1), claim(name))
    ]
    print(*mine, flush=True)  # noqa: T201 - how processes speak


async def _lease(store: Store) -> None:
    """Hold due rows until killed."""
    rows = await store.take_due_waiting(NOW, owner="killed", lease=LEASE, limit=9)
    print(*(row.id for row in rows), flush=True)  # noqa: T201 - how processes speak
    sys.stdin.readline()


async def _hang(store: Store) -> None:
    """Stop in the middle of a decision until killed."""

    def rule(view: View) -> tuple[bool, Changes]:
        print("deciding", flush=True)  # noqa: T201 - how processes speak
        sys.stdin.readline()
        return claim("hung")(view)

    await store.decide(Slot(chain_id="C1", step=1), rule)


async def main(what: str, url: str, *args: str) -> None:
    """Do one of them."""
    async with open_store(url, now=lambda: NOW) as store:
        match what:
            case "claim":
                await _claim(store, *args)
            case "lease":
                await _lease(store)
            case _:
                await _hang(store)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
