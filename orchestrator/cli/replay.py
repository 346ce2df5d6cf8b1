"""`chainctl replay`: what has failed, and plans that do it anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import JsonValue
from rich.console import Console
from ulid import ULID

from orchestrator.app.tools import make_sealer
from orchestrator.cli.asking import agreed
from orchestrator.cli.replay_asked import Asked, endpoint_of
from orchestrator.cli.replay_selected import (
    Selected,
    refuse_nothing,
    selected_by,
    selected_json,
    show_selected,
)
from orchestrator.cli.replay_shown import (
    plan_json,
    plan_lines,
    plans_table,
    progress_bar,
    progress_words,
)
from orchestrator.domain import replaying
from orchestrator.domain.errors import NotConfigured, NotDone
from orchestrator.domain.replaying import Replay, ReplayState, url_bound_to
from orchestrator.ports import Store, utc_now
from orchestrator.settings import Settings
from orchestrator.store import check_schema, open_store

#: As many reasons of refusals as are shown.
REFUSALS_MAX: Final = 20

#: What an operator may write.
NOTE_CHARS_MAX: Final = 500

#: Between two looks at a plan that is followed.
LOOK_S: Final = 0.25

#: A plan that nobody takes up for so long has no worker.
ALONE: Final = timedelta(seconds=10)

#: To count a million failures takes longer than other queries may.
COUNT_PATIENCE_S: Final = 60.0

#: How often a change that lost a race with the worker is tried.
TRIES_MAX: Final = 20


@dataclass(frozen=True, kw_only=True)
class How:
    """How a plan is to go on."""

    pace: float = replaying.PACE
    endpoint_pace: float | None = None
    canary: bool = True
    failure_ratio_max: float = replaying.FAILURE_RATIO_MAX
    url: str | None = None
    note: str | None = None

    def check(self) -> None:
        """See that it can.

        Raises:
            NotConfigured: naming the option that is wrong.
        """
        endpoint_of(self.url, option="--url")
        if self.note is not None and len(self.note) > NOTE_CHARS_MAX:
            msg = f"--note: at most {NOTE_CHARS_MAX} characters, has {len(self.note)}"
            raise NotConfigured(msg)


async def plan_replay(settings: Settings, asked: Asked, *, as_json: bool) -> None:
    """Print what a replay would take; nothing is changed."""
    which = asked.filter(settings, utc_now())
    async with _looked_at(settings) as store:
        selected = await selected_by(store, which)
    if as_json:
        print(json.dumps(selected_json(selected)))
        return
    show_selected(selected)


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
    how.check()
    which = asked.filter(settings, utc_now())
    if which.everything != every:
        raise NotConfigured("say which failures by options, or else --all")
    async with _looked_at(settings) as store:
        selected = await selected_by(store, which)
        if not as_json:
            show_selected(selected)
        refuse_nothing(selected)
        if not agreed(f"replay {selected.open} chains?", yes=yes):
            print("nothing was started")
            return
        plan = _made(settings, selected, how, utc_now())
        await store.replays.add(plan)
        if detach:
            _tell_made(plan, as_json=as_json)
            return
        if not as_json:
            print(f"replay {plan.id}; Ctrl-C leaves it running")
        await _follow(store, plan, as_json=as_json)


async def follow_replay(settings: Settings, replay_id: str, *, as_json: bool) -> None:
    """Follow a plan until it stops."""
    async with _looked_at(settings) as store:
        await _follow(store, await _plan(store, replay_id), as_json=as_json)


async def list_replays(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Print plans, the newest first."""
    async with _looked_at(settings) as store:
        plans = await store.replays.plans(limit=limit)
    if as_json:
        print(json.dumps([plan_json(plan) for plan in plans]))
    elif not plans:
        print("no replay was made yet")
    else:
        Console().print(plans_table(plans))


async def show_replay(settings: Settings, replay_id: str, *, as_json: bool) -> None:
    """Print one plan."""
    async with _looked_at(settings) as store:
        await _show_plan(store, await _plan(store, replay_id), as_json=as_json)


async def pause_replay(settings: Settings, replay_id: str) -> None:
    """Start no more chains of a plan until it is resumed."""
    await _changed(settings, replay_id, replaying.paused, "paused")
    print(f"{replay_id} is paused; what is on its way goes on")


async def resume_replay(settings: Settings, replay_id: str) -> None:
    """Let a plan go on."""
    await _changed(settings, replay_id, replaying.resumed, "resumed")
    print(f"{replay_id} goes on")


async def cancel_replay(settings: Settings, replay_id: str) -> None:
    """End a plan; what was never started may be taken by another one."""

    def rule(plan: Replay) -> Replay | None:
        return replaying.cancelled(plan, utc_now())

    plan = await _changed(settings, replay_id, rule, "cancelled")
    print(
        f"{replay_id} is cancelled: {plan.replayed} replayed, {plan.refused} refused,"
        f" {plan.left} left; what was in hand is finished"
    )


@asynccontextmanager
async def _looked_at(settings: Settings) -> AsyncIterator[Store]:
    """The database, if it is there and has our schema."""
    url = settings.database_url.get_secret_value()
    await check_schema(url)
    async with open_store(url, patience_s=COUNT_PATIENCE_S) as store:
        yield store


def _made(settings: Settings, selected: Selected, how: How, now: datetime) -> Replay:
    replay_id = str(ULID())
    sealed = None
    if how.url is not None:
        bound_to = url_bound_to(replay_id)
        sealed = make_sealer(settings).seal(how.url.encode(), bound_to=bound_to)
    return Replay(
        id=replay_id,
        state=ReplayState.PLANNED,
        note=how.note,
        filter=selected.which,
        made_at=now,
        cut_off=selected.cut_off,
        pace=how.pace,
        endpoint_pace=how.endpoint_pace,
        canary=how.canary,
        failure_ratio_max=how.failure_ratio_max,
        endpoint=endpoint_of(how.url, option="--url"),
        sealed_url=sealed,
    )


async def _follow(store: Store, plan: Replay, *, as_json: bool) -> None:
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
            words, done = progress_words(plan), plan.replayed + plan.refused
            bar.update(task, completed=done, total=total, description=words)
            await asyncio.sleep(LOOK_S)
            plan = await _plan(store, plan.id)
    await _show_plan(store, plan, as_json=as_json)
    if plan.state is not ReplayState.DONE:
        raise NotDone(f"{plan.id} is {plan.state}, {plan.left} left")


def _alone(plan: Replay, now: datetime) -> bool:
    return plan.state is ReplayState.PLANNED and now - plan.made_at > ALONE


async def _plan(store: Store, replay_id: str) -> Replay:
    plan = await store.replays.plan(replay_id)
    if plan is None:
        msg = f"replay {replay_id!a}: there is no such replay; see `chainctl replay list`"
        raise NotConfigured(msg)
    return plan


async def _changed(
    settings: Settings,
    replay_id: str,
    rule: Callable[[Replay], Replay | None],
    what: str,
) -> Replay:
    """Change a plan by a rule, whatever its worker does to it meanwhile.

    Raises:
        NotDone: it stands so that the rule does not change it.
    """
    async with _looked_at(settings) as store:
        for _ in range(TRIES_MAX):
            plan = await _plan(store, replay_id)
            changed = rule(plan)
            if changed is None:
                raise NotDone(f"{replay_id} is {plan.state}, so it cannot be {what}")
            if await store.replays.change(plan, changed):
                return await _plan(store, replay_id)
    raise NotDone(f"{replay_id} is just being changed by others; try again")


async def _show_plan(store: Store, plan: Replay, *, as_json: bool) -> None:
    refusals = await store.replays.refusals(plan.id, limit=REFUSALS_MAX)
    if as_json:
        why: dict[str, JsonValue] = {**refusals}
        print(json.dumps(plan_json(plan) | {"refusals": why}))
        return
    for line in plan_lines(plan, refusals):
        print(line)


def _tell_made(plan: Replay, *, as_json: bool) -> None:
    told = json.dumps(plan_json(plan)) if as_json else f"replay {plan.id} is planned"
    print(told)
