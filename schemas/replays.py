"""Failures and plans as operators ask for them and are told of them: `/replays`.

`chainctl replay --json` tells the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _written_out(value: object) -> object:
    """A time as text; a number would be read as seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        msg = "it needs a time with its zone as 2026-05-01T12:00:00Z"
        raise ValueError(msg) from None


class _Asked(BaseModel):
    """CamelCase on the wire; what is not known is refused, as a typing error may be."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )


class FailuresAsked(_Asked):
    """Which failures are meant; what is left out does not matter.

    Attributes:
        requestor: by key or name.
        endpoint: any URL there.
        reason: the class of the failure, as the groups tell it.
        status: what was answered at last.
        step: the chain's session that it failed at.
        since: the first moment: a time with its zone, or a span back as `12h`.
        until: the moment after the last, in the same way.
        chains: ids, at most 10,000.
    """

    requestor: str | None = None
    endpoint: str | None = None
    reason: str | None = None
    status: int | None = None
    step: int | None = None
    since: str | None = None
    until: str | None = None
    chains: tuple[str, ...] | None = None


class ReplayAsked(_Asked):
    """A plan that is asked for; without `dryRun: false` nothing but a count is made.

    Attributes:
        kind: `handle` gives the failures up: they are marked and never replayed.
        filter: which failures are meant.
        all: every failure there is; needed where the filter says nothing.
        dry_run: only tell what there is.
        cut_off: what a dry run has told: nothing is taken that failed after it.
        pace: chains a second.
        endpoint_pace: the same for each endpoint.
        canary: go on in groups, each after the last has gone well.
        failure_ratio_max: the share of a group that may fail again.
        url: where results are POSTed instead.
        note: shown with the plan; needed to give failures up.
    """

    kind: Literal["replay", "handle"] = "replay"
    filter: FailuresAsked = FailuresAsked()
    all: bool = False
    dry_run: bool = True
    cut_off: Annotated[datetime, BeforeValidator(_written_out)] | None = None
    pace: float | None = None
    endpoint_pace: float | None = None
    canary: bool | None = None
    failure_ratio_max: float | None = None
    url: str | None = None
    note: str | None = None


class _View(BaseModel):
    """CamelCase on the wire; what is not known is null."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class FailuresMeant(_View):
    """Which failures were asked for; of chains that were named, how many."""

    requestor: str | None
    endpoint: str | None
    reason: str | None
    status: int | None
    step: int | None
    since: datetime | None
    until: datetime | None
    chains: int | None


class FailureGroupView(_View):
    """Failures with reason, endpoint and status in common.

    Attributes:
        reason: the class of the failures.
        endpoint: where the callback went, as an origin.
        status: what was answered at last.
        to_replay: how many can be replayed.
        too_old: how many cannot, as their results were deleted.
        in_replay: how many another plan has.
        refused: how many could not be replayed when that was tried.
        handled: how many were given up.
        first_at: when the first of them failed.
        last_at: when the last of them failed.
    """

    reason: str
    endpoint: str | None
    status: int | None
    to_replay: int
    too_old: int
    in_replay: int
    refused: int
    handled: int
    first_at: datetime
    last_at: datetime


class SelectionView(_View):
    """What a plan would take: sums as of the groups, and up to when."""

    filter: FailuresMeant
    cut_off: datetime
    to_replay: int
    too_old: int
    in_replay: int
    refused: int
    handled: int
    groups: tuple[FailureGroupView, ...]


class ReplayView(_View):
    """A plan, and how far it is.

    Attributes:
        id: the plan's id.
        kind: `replay`, or `handle` where its failures are given up.
        state: `planned`, `running`, `paused`, `done` or `cancelled`.
        why: why it is paused, if not by an operator.
        note: what its maker has written.
        filter: which failures are meant.
        made_at: when it was made.
        made_by: who asked for it: an operator's name, or `cli:` and a user's.
        changed_by: who has paused, resumed or cancelled it last.
        cut_off: what failed later is not taken.
        started_at: when a worker took it up.
        ended_at: when it was done or cancelled.
        pace: chains a second.
        endpoint_pace: the same for each endpoint.
        canary: whether it goes on in groups.
        failure_ratio_max: the share of a group that may fail again.
        endpoint: where results are POSTed instead, as an origin.
        claiming: whether it is still taking failures.
        claimed: how many it has taken.
        replayed: how many chains were opened again.
        refused: how many could not be.
        handled: how many were given up.
        left: how many were never started.
        went_well: of a canary: how many were answered well.
        failed_again: of a canary: how many were not.
        settled: whether nothing is to be done for it any more.
        refusals: why chains were refused, and how many; only of a single plan.
    """

    id: str
    kind: str
    state: str
    why: str | None
    note: str | None
    filter: FailuresMeant
    made_at: datetime
    made_by: str | None
    changed_by: str | None
    cut_off: datetime
    started_at: datetime | None
    ended_at: datetime | None
    pace: float
    endpoint_pace: float | None
    canary: bool
    failure_ratio_max: float
    endpoint: str | None
    claiming: bool
    claimed: int
    replayed: int
    refused: int
    handled: int
    left: int
    went_well: int | None
    failed_again: int | None
    settled: bool
    refusals: Mapping[str, int] | None = Field(default=None)


class ReplayList(_View):
    """Plans, the newest first."""

    replays: tuple[ReplayView, ...]
