"""A plan that is cancelled halfway, with its worker killed as it lets go of the rest.

What it never started is free: a second plan takes exactly that, and no more.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from orchestrator.local.stack import Plan, Stack
from orchestrator.proof.ground import Ground
from orchestrator.proof.outage_judging import verdict
from orchestrator.proof.replay_account import Kept, exact, kept_of
from orchestrator.proof.replay_command import Replays, Told
from orchestrator.proof.replay_endpoints import Endpoints, endpoints_at_work
from orchestrator.proof.replay_http import OPERATOR, HttpReplays, http_replays
from orchestrator.proof.replay_journal import Posted, ids_of, redelivered
from orchestrator.proof.replay_plans import until_plan
from orchestrator.proof.replay_rows import Rows
from orchestrator.proof.report import Promise, Report
from schemas.messages import Lane

Say = Callable[[str], None]

CHAINS_MAX: Final = 1_000

#: At most, and so that a few do not go out at once.
_PACE_MAX: Final = 20.0
_HALF_S: Final = 20.0
_LOOK_S: Final = 0.25
_BOUND_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What was seen of both plans.

    Attributes:
        how: they were made and the first was cancelled.
        posted: chains that had reached an endpoint when the first plan had settled.
        posts: what the endpoints got in all.
    """

    how: str
    chains: int
    first: Told
    kept: Kept
    posted: int
    second: Told
    posts: list[Posted]


async def prove(ground: Ground, say: Say, chains: int) -> Report:
    """An installation; a plan that is cancelled, and one that does the rest, each way."""
    count = min(chains, CHAINS_MAX)
    token = secrets.token_urlsafe(24)
    plan = Plan(
        endpoint=False,
        lanes=(Lane.REPLAY,),
        replays=True,
        overrides={"operators": {OPERATOR: {"key": token}}},
    )
    async with (
        ground.stack(plan) as stack,
        Rows.of(stack) as rows,
        endpoints_at_work(
            stack.around, 2, stack.config_file.parent / "journal"
        ) as endpoints,
        http_replays(stack.gateway_url, token) as by_http,
    ):
        ways: dict[str, Replays | HttpReplays] = {
            "by command": Replays(stack=stack),
            "by HTTP": by_http,
        }
        cancelled = [
            await _Run(stack, rows, endpoints, replays, say).cancelled(how, count)
            for how, replays in ways.items()
        ]
        return report(cancelled)


@dataclass(frozen=True)
class _Run:
    stack: Stack
    rows: Rows
    endpoints: Endpoints
    replays: Replays | HttpReplays
    say: Say

    async def cancelled(self, how: str, count: int) -> Cancelled:
        """Both plans."""
        urls = self.endpoints.urls
        ids = frozenset(
            await self.rows.failed([f"{urls[n % len(urls)]}/204" for n in range(count)])
        )
        pace = min(_PACE_MAX, count / 2 / _HALF_S)
        self.say(f"{how}: {count:,} failures, a plan at {pace:g}/s, cancelled halfway")
        plan = await self.replays.made(pace)
        database, half = self.rows.database, count // 2
        await until_plan(database, plan.id, lambda one: one.replayed >= half, _BOUND_S)
        await self.replays.cancel(plan.id)
        await self.stack.processes.kill("replay")
        await self.stack.start_worker("replay")
        await until_plan(database, plan.id, lambda one: one.settled, _BOUND_S)
        first = await self.replays.show(plan.id)
        posted = await self._arrived(ids, first.replayed)
        kept = await kept_of(database, plan.id)
        self.say(f"{first.replayed:,} replayed, {first.left:,} left; a plan of the rest")
        rest = await self.replays.made(_PACE_MAX)
        done = await until_plan(database, rest.id, lambda one: one.settled, _BOUND_S)
        await self._arrived(ids, first.replayed + done.replayed)
        return Cancelled(
            how=how,
            chains=count,
            first=first,
            kept=kept,
            posted=posted,
            second=await self.replays.show(rest.id),
            posts=self._posts(ids),
        )

    def _posts(self, ids: frozenset[str]) -> list[Posted]:
        return [post for post in self.endpoints.posted() if post.chain_id in ids]

    async def _arrived(self, ids: frozenset[str], count: int) -> int:
        """Chains whose callback has come, once so many have; or what there are then."""
        for _ in range(round(_BOUND_S / _LOOK_S)):
            if len(ids_of(self._posts(ids))) >= count:
                break
            await asyncio.sleep(_LOOK_S)
        return len(ids_of(self._posts(ids)))


def report(cancelled: Sequence[Cancelled]) -> Report:
    """What was promised and what was seen."""
    return Report(
        proof="cancel",
        promises=[promise for one in cancelled for promise in _promises(one)],
        figures={one.how: _figures(one) for one in cancelled},
    )


def _figures(cancelled: Cancelled) -> dict[str, JsonValue]:
    first = cancelled.first
    return {
        "chains": cancelled.chains,
        "replayed": first.replayed,
        "refused": first.refused,
        "never_started": first.left,
        "second_plan": cancelled.second.replayed,
        "redelivered": redelivered(cancelled.posts),
    }


def _promises(cancelled: Cancelled) -> list[Promise]:
    """The account; and the second plan has the rest, and nobody is asked twice."""
    how, first, second = cancelled.how, cancelled.first, cancelled.second
    ids = ids_of(cancelled.posts)
    wrong = [
        f"{one}: {len(some)} callbacks" for one, some in ids.items() if len(some) > 1
    ]
    if (second.claimed, second.replayed, second.state) != (
        first.left,
        first.left,
        "done",
    ):
        wrong.append(f"it is {second.state}: {second.replayed:,} of {second.claimed:,}")
    if len(ids) != cancelled.chains:
        wrong.append(f"{len(ids):,} callbacks in all")
    rest = f"a second plan {how} takes exactly what the first has never started"
    return [
        exact(how, first, cancelled.kept, cancelled.chains, cancelled.posted),
        verdict(rest, f"{second.replayed:,} replayed, 0 twice", wrong),
    ]
