"""`chainctl replay`: what has failed, and plans that do it anew or give it up."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console

from orchestrator.app.planning import make_planner
from orchestrator.cli.asking import agreed
from orchestrator.cli.replay_asked import Asked, by_option
from orchestrator.cli.replay_shown import (
    DEAD_LETTERS,
    plan_lines,
    plans_table,
    progress_bar,
    progress_words,
    show_selected,
)
from orchestrator.domain.errors import NotDone
from orchestrator.domain.replaying import Replay, ReplayKind, ReplayState
from orchestrator.domain.selecting import How, Selected, check_all
from orchestrator.planning import COUNT_PATIENCE_S, Planner, check_why
from orchestrator.ports import utc_now
from orchestrator.replay_views import replay_view, selection_view
from orchestrator.settings import Settings
from orchestrator.store import check_schema, open_store
from schemas.replays import ReplayList

#: Between two looks at a plan that is followed.
LOOK_S: Final = 0.25

#: A plan that nobody takes up for so long has no worker.
ALONE: Final = timedelta(seconds=10)


async def plan_replay(settings: Settings, asked: Asked, *, as_json: bool) -> None:
    """Print what a replay would take; nothing is changed."""
    with by_option():
        selection = asked.selection()
        async with planner_of(settings) as planner:
            selected = await planner.selected(planner.meant(selection))
    if as_json:
        print(selection_view(selected).model_dump_json(by_alias=True))
        return
    show_selected(selected)
    print(DEAD_LETTERS)


async def run_replay(
    settings: Settings,
    asked: Asked,
    how: How,
    *,
    every: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Make a plan, once it was seen what it takes, and follow it."""
    with by_option():
        how.check()

    async def make(planner: Planner, selected: Selected) -> Replay:
        return await planner.replay(selected, how, by=who())

    await _make_and_follow(
        settings,
        asked,
        ReplayKind.REPLAY,
        make,
        every=every,
        yes=yes,
        detach=detach,
        as_json=as_json,
    )


async def handle_failures(
    settings: Settings,
    asked: Asked,
    note: str,
    *,
    every: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Give failures up, once it was seen which, and follow that."""
    with by_option():
        check_why(note)

    async def make(planner: Planner, selected: Selected) -> Replay:
        return await planner.handle(selected, note, by=who())

    await _make_and_follow(
        settings,
        asked,
        ReplayKind.HANDLE,
        make,
        every=every,
        yes=yes,
        detach=detach,
        as_json=as_json,
    )


async def follow_replay(settings: Settings, replay_id: str, *, as_json: bool) -> None:
    """Follow a plan until it stops."""
    with by_option():
        async with planner_of(settings) as planner:
            await _follow(planner, await planner.plan(replay_id), as_json=as_json)


async def list_replays(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Print plans, the newest first."""
    async with planner_of(settings) as planner:
        plans = await planner.store.replays.plans(limit=limit)
    if as_json:
        listed = ReplayList(replays=tuple(map(replay_view, plans)))
        print(json.dumps(listed.model_dump(mode="json", by_alias=True)["replays"]))
    elif not plans:
        print("no replay was made yet")
    else:
        Console().print(plans_table(plans))


async def show_replay(settings: Settings, replay_id: str, *, as_json: bool) -> None:
    """Print one plan."""
    with by_option():
        async with planner_of(settings) as planner:
            await _show_plan(planner, await planner.plan(replay_id), as_json=as_json)


async def pause_replay(settings: Settings, replay_id: str) -> None:
    """Start no more chains of a plan until it is resumed."""
    with by_option():
        async with planner_of(settings) as planner:
            await planner.pause(replay_id, by=who())
    print(f"{replay_id} is paused; what is on its way goes on")


async def resume_replay(settings: Settings, replay_id: str) -> None:
    """Let a plan go on."""
    with by_option():
        async with planner_of(settings) as planner:
            await planner.resume(replay_id, by=who())
    print(f"{replay_id} goes on")


async def cancel_replay(settings: Settings, replay_id: str) -> None:
    """End a plan; what was never started may be taken by another one."""
    with by_option():
        async with planner_of(settings) as planner:
            plan = await planner.cancel(replay_id, by=who())
    if plan.kind is ReplayKind.HANDLE:
        print(f"{replay_id} is cancelled: {plan.handled} stay marked as handled")
        return
    print(
        f"{replay_id} is cancelled: {plan.replayed} replayed, {plan.refused} refused,"
        f" {plan.left} left; what was in hand is finished"
    )


@asynccontextmanager
async def planner_of(settings: Settings) -> AsyncIterator[Planner]:
    """What makes plans in the database, if that is there and has our schema."""
    url = settings.database_url.get_secret_value()
    await check_schema(url)
    async with open_store(url, patience_s=COUNT_PATIENCE_S) as store:
        yield make_planner(settings, store)


def who() -> str:
    """The user of this machine, as plans are noted to be made by."""
    user_id = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(user_id).pw_name}"
    except KeyError:
        return f"cli:{user_id}"


async def _make_and_follow(
    settings: Settings,
    asked: Asked,
    kind: ReplayKind,
    make: Callable[[Planner, Selected], Awaitable[Replay]],
    *,
    every: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
) -> None:
    with by_option():
        selection = asked.selection()
        async with planner_of(settings) as planner:
            which = planner.meant(selection)
            check_all(which, every=every)
            selected = await planner.selected(which)
            if not as_json:
                show_selected(selected)
            count = selected.some_for(kind)
            if not agreed(f"{kind} {count} chains?", yes=yes):
                print("nothing was started")
                return
            plan = await make(planner, selected)
            if detach:
                _tell_made(plan, as_json=as_json)
                return
            if not as_json:
                print(f"replay {plan.id}; Ctrl-C leaves it running")
            await _follow(planner, plan, as_json=as_json)


async def _follow(planner: Planner, plan: Replay, *, as_json: bool) -> None:
    """Look at a plan until it stops, and say how it stands then.

    Raises:
        NotDone: it did not come to its end.
    """
    console = Console(quiet=as_json)
    warned = False
    with progress_bar(console, shown=console.is_terminal and not as_json) as bar:
        task = bar.add_task("", total=None)
        while plan.state in {ReplayState.PLANNED, ReplayState.RUNNING}:
            if not warned and _alone(plan, utc_now()):
                warned = True
                console.print(
                    "no worker has taken it up yet: is a replay worker running?"
                )
            total = None if plan.claiming else plan.claimed
            words, done = progress_words(plan), plan.claimed - plan.left
            bar.update(task, completed=done, total=total, description=words)
            await asyncio.sleep(LOOK_S)
            plan = await planner.plan(plan.id)
    await _show_plan(planner, plan, as_json=as_json)
    _tell_dead_letters(plan, as_json=as_json)
    if plan.state is not ReplayState.DONE:
        raise NotDone(f"{plan.id} is {plan.state}, {plan.left} left")


def _alone(plan: Replay, now: datetime) -> bool:
    return plan.state is ReplayState.PLANNED and now - plan.made_at > ALONE


async def _show_plan(planner: Planner, plan: Replay, *, as_json: bool) -> None:
    refusals = await planner.refusals(plan)
    if as_json:
        print(replay_view(plan, refusals).model_dump_json(by_alias=True))
        return
    for line in plan_lines(plan, refusals):
        print(line)


def _tell_made(plan: Replay, *, as_json: bool) -> None:
    if as_json:
        print(replay_view(plan).model_dump_json(by_alias=True))
    else:
        print(f"replay {plan.id} is planned")
    _tell_dead_letters(plan, as_json=as_json)


def _tell_dead_letters(plan: Replay, *, as_json: bool) -> None:
    """Who replays what an outage has left may think that it is all."""
    if plan.kind is ReplayKind.REPLAY and not as_json:
        print(DEAD_LETTERS)
