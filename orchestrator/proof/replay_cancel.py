"""A plan that is cancelled halfway, with its worker killed before it let go of the rest.

What it never started is free: a second plan takes exactly that, and no more.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from orchestrator.domain.replaying import ReplayState
from orchestrator.local.stack import Plan, Stack
from orchestrator.local.together import together
from orchestrator.proof.ground import Ground
from orchestrator.proof.outage_judging import verdict
from orchestrator.proof.replay_account import Kept, exact, kept_of
from orchestrator.proof.replay_command import Replays, Told
from orchestrator.proof.replay_endpoints import Endpoints, endpoints_at_work
from orchestrator.proof.replay_http import HttpReplays, http_replays, operators
from orchestrator.proof.replay_in_hand import of_replay_worker
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
#: The worker notices a plan's end within its beat of 0.1 s: that has to be looked for
#: more often.
_SOON_S: Final = 0.005
_BOUND_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What was seen of both plans.

    Attributes:
        how: they were made and the first was cancelled.
        at_kill: its rows when the worker was dead; `settled_at_kill`: it was over then.
        in_hand: how many callbacks may come again, by what the killed worker was about.
        posted: chains that had reached an endpoint when the first plan had settled.
        posts: what the endpoints got in all.
    """

    how: str
    chains: int
    first: Told
    at_kill: Kept
    settled_at_kill: bool
    in_hand: int
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
        overrides=operators(token),
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
        gone = until_plan(
            database,
            plan.id,
            lambda one: one.state is ReplayState.CANCELLED,
            _BOUND_S,
            look_s=_SOON_S,
        )
        kill = self.stack.processes.kill
        await amid(self.replays.cancel(plan.id), gone, lambda: kill("replay"))
        settled_at_kill = (await self.replays.show(plan.id)).settled
        at_kill = await kept_of(database, plan.id)
        self.say(f"its worker was killed with {at_kill.in_hand:,} in its plan still")
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
            at_kill=at_kill,
            settled_at_kill=settled_at_kill,
            in_hand=of_replay_worker(pace),
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


async def amid(
    command: Coroutine[object, object, object],
    until: Coroutine[object, object, object],
    kill: Callable[[], Awaitable[object]],
) -> None:
    """Kill as soon as it is so; the command, which makes it so, may run still."""

    async def killed() -> None:
        await until
        await kill()

    await together(command, killed())


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
        "claimed_at_kill": cancelled.at_kill.in_hand,
        "redelivered": redelivered(cancelled.posts),
        "redelivered_max": cancelled.in_hand,
    }


def _promises(cancelled: Cancelled) -> list[Promise]:
    """The account, a kill, and that the second plan has the rest and none is twice."""
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
    again, most = redelivered(cancelled.posts), cancelled.in_hand
    if again > most:
        wrong.append(f"{again} callbacks came again, the kill explains {most}")
    over = ["it had let go of all"] if cancelled.settled_at_kill else []
    still = f"{cancelled.at_kill.in_hand:,} in the plan still"
    rest = f"a second plan {how} takes exactly what the first has never started"
    return [
        exact(how, first, cancelled.kept, cancelled.chains, cancelled.posted),
        verdict(f"cancelled {how}, its worker is killed before the end", still, over),
        verdict(
            rest,
            f"{second.replayed:,} replayed, 0 twice, {again} redelivered (of {most})",
            wrong,
        ),
    ]
