"""Batch replays for operators: what `chainctl replay` does, by HTTP (DESIGN §7).

A POST tells what there is, and makes a plan only with `dryRun: false`. Every error says
which field is wrong and why; nothing is started then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import (
    FieldInvalid,
    NotDone,
    UnknownReplay,
)
from orchestrator.domain.replaying import Replay
from orchestrator.domain.selecting import How, Selected, Selection, check_all
from orchestrator.gateway.bodies import read_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import JSON_TYPE, IrmaFault
from orchestrator.gateway.problems import Problem
from orchestrator.planning import Planner
from orchestrator.replay_views import replay_view, selection_view
from schemas.events import explain
from schemas.replays import ReplayAsked, ReplayList

_log = structlog.get_logger(__name__)

_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_TOO_LARGE: Final = 413
_CREATED: Final = 201

_NO_STORE: Final = {"Cache-Control": "no-store"}

#: As many chains as can be named take a third of it.
BODY_BYTES_MAX: Final = 1_000_000

#: As many plans as are listed, if not asked otherwise and at most.
LISTED: Final = 20
LISTED_MAX: Final = 1_000

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}")

#: What says how a plan goes on that replays; giving up needs none of it.
_OF_REPLAYS: Final = (
    "pace",
    "endpoint_pace",
    "canary",
    "failure_ratio_max",
    "url",
)

_Limit = Annotated[str | None, Query(description=f"At most so many, to {LISTED_MAX}.")]


def replays_routes(desk: Desk) -> APIRouter:
    """The routes about replays."""
    router = APIRouter()

    @router.post("/replays")
    async def make(request: Request) -> Response:
        """Tell what a replay would take; with `dryRun: false`, make a plan of it."""
        by, planner = _admitted(desk, request)
        asked = await _asked(request)
        with _told():
            if asked.dry_run:
                return _answer(selection_view(await _selected(planner, asked)))
            plan = await _made(planner, asked, by)
        _log.info("replay.planned", replay=plan.id, kind=plan.kind, by=by)
        place = {"Location": f"/replays/{plan.id}"}
        return _answer(replay_view(plan), _CREATED, place)

    @router.get("/replays")
    async def plans(request: Request, limit: _Limit = None) -> Response:
        """Plans, the newest first."""
        _, planner = _admitted(desk, request)
        found = await planner.store.replays.plans(limit=_limit(limit))
        return _answer(ReplayList(replays=tuple(map(replay_view, found))))

    @router.get("/replays/{replay_id}")
    async def plan(replay_id: str, request: Request) -> Response:
        """A plan: who made it, how far it is, what was refused and why."""
        _, planner = _admitted(desk, request)
        with _told():
            found = await planner.plan(replay_id)
            return _answer(replay_view(found, await planner.refusals(found)))

    @router.post("/replays/{replay_id}/pause")
    async def pause(replay_id: str, request: Request) -> Response:
        """Start no more chains until it is resumed; what is on its way goes on."""
        by, planner = _admitted(desk, request)
        with _told():
            return _changed(await planner.pause(replay_id, by=by), by)

    @router.post("/replays/{replay_id}/resume")
    async def resume(replay_id: str, request: Request) -> Response:
        """Let a paused plan go on; one that its canary has stopped begins small again."""
        by, planner = _admitted(desk, request)
        with _told():
            return _changed(await planner.resume(replay_id, by=by), by)

    @router.post("/replays/{replay_id}/cancel")
    async def cancel(replay_id: str, request: Request) -> Response:
        """End a plan for good; what was never started is free for another one."""
        by, planner = _admitted(desk, request)
        with _told():
            return _changed(await planner.cancel(replay_id, by=by), by)

    return router


def _admitted(desk: Desk, request: Request) -> tuple[str, Planner]:
    """Who asks, and what makes plans; a stranger's body is not read."""
    by = desk.operators.caller(request.headers)
    return by, desk.planner


async def _asked(request: Request) -> ReplayAsked:
    """The body.

    Raises:
        Problem: it is not what is taken here, and which field of it.
    """
    try:
        body = await read_body(request)
    except IrmaFault as fault:
        message = fault.error.message or "body: not received"
        raise Problem(_BAD_REQUEST, message, field="body") from None
    if len(body) > BODY_BYTES_MAX:
        detail = f"body: longer than {BODY_BYTES_MAX} bytes"
        raise Problem(_TOO_LARGE, detail, field="body")
    try:
        return ReplayAsked.model_validate_json(body)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False)[0]["loc"]
        field = ".".join(map(str, place)) or "body"
        raise Problem(_BAD_REQUEST, explain(error), field=field) from None


async def _selected(planner: Planner, asked: ReplayAsked) -> Selected:
    which = planner.meant(Selection(**asked.filter.model_dump()))
    if asked.all or not asked.dry_run:
        check_all(which, every=asked.all)
    _how(asked)
    return await planner.selected(which, until=asked.cut_off)


async def _made(planner: Planner, asked: ReplayAsked, by: str) -> Replay:
    selected = await _selected(planner, asked)
    if asked.kind == "handle":
        return await planner.handle(selected, asked.note, by=by)
    return await planner.replay(selected, _how(asked), by=by)


def _how(asked: ReplayAsked) -> How:
    """How the plan goes on; what is not said is as usual.

    Raises:
        FieldInvalid: it cannot go on like that.
    """
    said = {
        name: value for name in _OF_REPLAYS if (value := getattr(asked, name)) is not None
    }
    if said and asked.kind == "handle":
        named = ReplayAsked.model_fields[min(said)].alias or min(said)
        raise FieldInvalid(named, "only of a replay; these are given up")
    how = How(**said, note=asked.note)
    how.check()
    return how


def _limit(text: str | None) -> int:
    if text is None:
        return LISTED
    if not _NUMBER.fullmatch(text) or int(text) > LISTED_MAX:
        detail = f"limit: it needs a number from 1 to {LISTED_MAX}"
        raise Problem(_BAD_REQUEST, detail, field="limit")
    return int(text)


def _changed(plan: Replay, by: str) -> Response:
    _log.info("replay.changed", replay=plan.id, state=plan.state, by=by)
    return _answer(replay_view(plan))


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be done, as problem details."""
    try:
        yield
    except FieldInvalid as error:
        raise Problem(_BAD_REQUEST, str(error), field=error.field) from None
    except UnknownReplay as error:
        raise Problem(_NOT_FOUND, str(error)) from None
    except NotDone as error:
        raise Problem(_CONFLICT, str(error)) from None


def _answer(
    view: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    body = view.model_dump_json(by_alias=True)
    return Response(body, status, _NO_STORE | (headers or {}), JSON_TYPE)
