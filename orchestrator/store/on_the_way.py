"""Replays whose outcome is not known: what their chains' rows say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, select, update

from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.domain.failing import FailureKind
from orchestrator.domain.replay_outcomes import OnItsWay, Went
from orchestrator.store.tables import ON_THE_WAY, chains, failures, steps, waiting

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

_FIRST: Final = steps.alias("first")
_NEXT: Final = steps.alias("next")
_GENERATION: Final = failures.c.generation + 1

#: The chain's end takes a slot, but is no session that follows.
_FOLLOWED: Final = (
    select(_NEXT.c.step)
    .where(
        _NEXT.c.chain_id == failures.c.chain_id,
        _NEXT.c.generation == _GENERATION,
        _NEXT.c.step == failures.c.step + 1,
        _NEXT.c.state != StepState.END,
    )
    .exists()
)
_LOOK: Final = (
    select(
        failures,
        chains.c.state.label("chain_state"),
        chains.c.generation.label("open_generation"),
        _FIRST.c.live_at,
        _FOLLOWED.label("followed"),
    )
    .join(chains, chains.c.id == failures.c.chain_id)
    .outerjoin(
        _FIRST,
        and_(
            _FIRST.c.chain_id == failures.c.chain_id,
            _FIRST.c.generation == _GENERATION,
            _FIRST.c.step == failures.c.step,
        ),
    )
    .where(ON_THE_WAY, failures.c.replay_id == bindparam("replay_id"))
    .order_by(failures.c.number)
    .limit(bindparam("limit"))
)
_WAITING: Final = select(waiting.c.id, waiting.c.kind, waiting.c.chain_id).where(
    waiting.c.chain_id.in_(bindparam("ids", expanding=True)),
    waiting.c.kind.in_(("retry", "parked", "deadline", "outbox")),
)
_UNJUDGED: Final = (
    select(failures.c.number, failures.c.group_number)
    .where(
        failures.c.number.in_(bindparam("numbers", expanding=True)),
        failures.c.went.is_(None),
    )
    .order_by(failures.c.number)
    .with_for_update()
)
_JUDGE: Final = update(failures).where(
    failures.c.number.in_(bindparam("numbers", expanding=True))
)


def look(connection: Connection, replay_id: str, limit: int) -> list[OnItsWay]:
    """Read their chains, their first sessions and what waits for them."""
    values = {"replay_id": replay_id, "limit": limit}
    rows = connection.execute(_LOOK, values).mappings().all()
    waits = _waits(connection, rows)
    return [_on_its_way(row, waits) for row in rows]


def judge(connection: Connection, went: Mapping[int, Went]) -> Counter[tuple[int, Went]]:
    """Note what replays came to; how many of which group, of those not noted before."""
    rows = connection.execute(_UNJUDGED, {"numbers": sorted(went)}).all()
    for how in Went:
        numbers = [row.number for row in rows if went[row.number] is how]
        if numbers:
            connection.execute(_JUDGE.values(went=how), {"numbers": numbers})
    return Counter((row.group_number, went[row.number]) for row in rows)


def _waits(
    connection: Connection, rows: Iterable[RowMapping]
) -> dict[str, list[tuple[str, str]]]:
    """What waits for chains: ids and kinds, by chain."""
    ids = [row["chain_id"] for row in rows]
    waits: dict[str, list[tuple[str, str]]] = {}
    for row in connection.execute(_WAITING, {"ids": ids}) if ids else ():
        waits.setdefault(row.chain_id, []).append((row.id, row.kind))
    return waits


def _on_its_way(row: RowMapping, waits: Mapping[str, list[tuple[str, str]]]) -> OnItsWay:
    slot = Slot(
        chain_id=row["chain_id"], step=row["step"], generation=row["generation"] + 1
    )
    # As a callback and what waits of it are named: a notification's rows are others.
    prefix = slot.event_id("session.completed", "")
    found = waits.get(slot.chain_id, ())
    kinds = [kind for id_, kind in found if id_.startswith(prefix) and kind != "outbox"]
    kinds += [kind for _, kind in found if kind == "outbox"]
    return OnItsWay(
        number=row["number"],
        kind=FailureKind(row["kind"]),
        taken_at=row["taken_at"],
        generation=row["generation"],
        open_generation=row["open_generation"],
        state=ChainState(row["chain_state"]),
        was_live=row["live_at"] is not None,
        followed=bool(row["followed"]),
        waits_as=kinds[0] if kinds else None,
    )
