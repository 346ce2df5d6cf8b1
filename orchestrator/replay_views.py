"""Failures and plans as they are told, by HTTP and by `chainctl replay --json`."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.domain.failing import FailureFilter, FailureGroup
from orchestrator.domain.replaying import Replay
from orchestrator.domain.selecting import Selected
from schemas.replays import (
    FailureGroupView,
    FailuresMeant,
    ReplayView,
    SelectionView,
)


def selection_view(selected: Selected) -> SelectionView:
    """What is meant, and what there is of it."""
    return SelectionView(
        filter=_filter_view(selected.which),
        cut_off=selected.cut_off.at,
        to_replay=selected.open,
        too_old=selected.purged,
        in_replay=selected.claimed,
        refused=selected.refused,
        handled=selected.handled,
        groups=tuple(map(_group_view, selected.groups)),
    )


def replay_view(plan: Replay, refusals: Mapping[str, int] | None = None) -> ReplayView:
    """A plan, and how far it is."""
    return ReplayView(
        id=plan.id,
        kind=plan.kind,
        state=plan.state,
        why=plan.why,
        note=plan.note,
        filter=_filter_view(plan.filter),
        made_at=plan.made_at,
        made_by=plan.made_by,
        changed_by=plan.changed_by,
        cut_off=plan.cut_off.at,
        started_at=plan.started_at,
        ended_at=plan.ended_at,
        pace=plan.pace,
        endpoint_pace=plan.endpoint_pace,
        canary=plan.canary,
        failure_ratio_max=plan.failure_ratio_max,
        endpoint=plan.endpoint,
        claiming=plan.claiming,
        claimed=plan.claimed,
        replayed=plan.replayed,
        refused=plan.refused,
        handled=plan.handled,
        left=plan.left,
        went_well=plan.well if plan.canary else None,
        failed_again=plan.ill if plan.canary else None,
        settled=plan.settled,
        refusals=refusals,
    )


def _filter_view(which: FailureFilter) -> FailuresMeant:
    return FailuresMeant(
        requestor=which.requestor,
        endpoint=which.endpoint,
        reason=which.reason,
        status=which.status,
        step=which.step,
        since=which.since,
        until=which.until,
        chains=None if which.chain_ids is None else len(which.chain_ids),
    )


def _group_view(group: FailureGroup) -> FailureGroupView:
    return FailureGroupView(
        reason=group.reason,
        endpoint=group.endpoint,
        status=group.status,
        to_replay=group.open,
        too_old=group.purged,
        in_replay=group.claimed,
        refused=group.refused,
        handled=group.handled,
        first_at=group.first_at,
        last_at=group.last_at,
    )
