"""What operators do with failures and plans, by the command line and by HTTP alike.

A selection is looked at first; a plan is made of exactly what was shown, and carried out
by the replay worker. Whoever asks for it or changes it is noted in its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from ulid import ULID

from orchestrator.domain import replaying
from orchestrator.domain.errors import FieldInvalid, NotDone, UnknownReplay
from orchestrator.domain.failing import FailureFilter
from orchestrator.domain.replaying import CutOff, Replay, ReplayKind, ReplayState
from orchestrator.domain.selecting import (
    How,
    Selected,
    Selection,
    check_known,
    check_note,
    endpoint_of,
)
from orchestrator.ports import Clock, Store
from orchestrator.sealing import Sealer

#: As many groups as are counted.
GROUPS_MAX: Final = 10_000

#: As many reasons of refusals as are shown.
REFUSALS_MAX: Final = 20

#: To count a million failures takes longer than other queries may.
COUNT_PATIENCE_S: Final = 60.0

#: How often a change that lost a race with the worker is tried.
TRIES_MAX: Final = 20


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Makes plans and changes them.

    Attributes:
        requestors: the keys of those there are, by their names.
    """

    store: Store
    sealer: Sealer
    requestors: Mapping[str, str]
    clock: Clock

    def meant(self, selection: Selection) -> FailureFilter:
        """Which failures are meant.

        Raises:
            FieldInvalid: naming the field that is wrong, and why.
        """
        return selection.filter(self.requestors, self.clock())

    async def selected(
        self, which: FailureFilter, *, until: datetime | None = None
    ) -> Selected:
        """The groups of what is meant, as of now or up to an earlier cut-off.

        Raises:
            FieldInvalid: a chain that is named has never failed, or the cut-off is yet
                to come.
        """
        cut_off = await self.store.replays.cut_off()
        if until is not None:
            cut_off = _earlier(cut_off, until)
        if which.chain_ids is not None:
            check_known(await self.store.replays.unknown(which.chain_ids))
        groups = await self.store.replays.groups(which, cut_off, limit=GROUPS_MAX)
        return Selected(which=which, cut_off=cut_off, groups=groups)

    async def replay(self, selected: Selected, how: How, *, by: str) -> Replay:
        """A plan that replays what was looked at; it is written.

        Raises:
            FieldInvalid: it could not go on like that, or there is nothing to replay.
        """
        how.check()
        selected.some_for(ReplayKind.REPLAY)
        replay_id = str(ULID())
        plan = replace(
            self._made(replay_id, selected, by),
            note=how.note,
            pace=how.pace,
            endpoint_pace=how.endpoint_pace,
            canary=how.canary,
            failure_ratio_max=how.failure_ratio_max,
            endpoint=endpoint_of(how.url, field="url"),
            sealed_url=None if how.url is None else self._sealed(replay_id, how.url),
        )
        await self.store.replays.add(plan)
        return plan

    async def handle(self, selected: Selected, note: str | None, *, by: str) -> Replay:
        """A plan that gives up what was looked at; it is written.

        Raises:
            FieldInvalid: it is not said why, or there is nothing to give up.
        """
        check_why(note)
        selected.some_for(ReplayKind.HANDLE)
        made = self._made(str(ULID()), selected, by)
        plan = replace(made, kind=ReplayKind.HANDLE, note=note, canary=False)
        await self.store.replays.add(plan)
        return plan

    async def plan(self, replay_id: str) -> Replay:
        """One plan.

        Raises:
            UnknownReplay: there is none.
        """
        plan = await self.store.replays.plan(replay_id) if replay_id.isalnum() else None
        if plan is None:
            raise UnknownReplay(f"replay {replay_id!a}: there is no such replay")
        return plan

    async def refusals(self, plan: Replay) -> dict[str, int]:
        """Why failures of a plan were refused, and how many."""
        return await self.store.replays.refusals(plan.id, limit=REFUSALS_MAX)

    async def pause(self, replay_id: str, *, by: str) -> Replay:
        """Start no more of its chains until it is resumed.

        Raises:
            UnknownReplay: there is none.
            NotDone: it stands so that it cannot be paused.
        """
        return await self._change(replay_id, replaying.paused, "paused", by)

    async def resume(self, replay_id: str, *, by: str) -> Replay:
        """Let a plan go on; it raises as `pause`."""
        return await self._change(replay_id, replaying.resumed, "resumed", by)

    async def cancel(self, replay_id: str, *, by: str) -> Replay:
        """End a plan; what was never started is free for another. Raises as `pause`."""

        def rule(plan: Replay) -> Replay | None:
            return replaying.cancelled(plan, self.clock())

        return await self._change(replay_id, rule, "cancelled", by)

    async def _change(
        self,
        replay_id: str,
        rule: Callable[[Replay], Replay | None],
        what: str,
        by: str,
    ) -> Replay:
        """Change a plan by a rule, whatever its worker does to it meanwhile."""
        for _ in range(TRIES_MAX):
            plan = await self.plan(replay_id)
            changed = rule(plan)
            if changed is None:
                raise NotDone(f"{replay_id} is {plan.state}, so it cannot be {what}")
            if await self.store.replays.change(plan, replace(changed, changed_by=by)):
                return await self.plan(replay_id)
        raise NotDone(f"{replay_id} is just being changed by others; try again")

    def _made(self, replay_id: str, selected: Selected, by: str) -> Replay:
        return Replay(
            id=replay_id,
            state=ReplayState.PLANNED,
            made_by=by,
            filter=selected.which,
            made_at=self.clock(),
            cut_off=selected.cut_off,
        )

    def _sealed(self, replay_id: str, url: str) -> str:
        bound_to = replaying.url_bound_to(replay_id)
        return self.sealer.seal(url.encode(), bound_to=bound_to)


def check_why(note: str | None) -> None:
    """See that who gives up failures says why.

    Raises:
        FieldInvalid: there is no note, or it is too long.
    """
    if note is None or not note.strip():
        raise FieldInvalid("note", "needed: why these are not replayed")
    check_note(note)


def _earlier(now: CutOff, until: datetime) -> CutOff:
    if until.tzinfo is None:
        raise FieldInvalid("cutOff", "it needs its zone, as 2026-05-01T12:00:00Z")
    if until > now.at:
        raise FieldInvalid("cutOff", "it is yet to come")
    try:
        return replace(now, at=until.astimezone(UTC))
    except OverflowError:
        raise FieldInvalid("cutOff", "it is before the calendar's begin") from None
