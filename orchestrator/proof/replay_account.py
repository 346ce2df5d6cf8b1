"""The account of a cancelled plan: by itself, by the rows, by the endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select

from orchestrator.domain.replaying import Outcome
from orchestrator.proof.outage_judging import verdict
from orchestrator.proof.replay_command import Told
from orchestrator.proof.report import Promise
from orchestrator.store.database import Database
from orchestrator.store.tables import chains, failures

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BY_OUTCOME: Final = select(
    failures.c.replay_id, failures.c.outcome, func.count().label("rows")
).group_by(failures.c.replay_id, failures.c.outcome)
#: As the plan counts them.
_REFUSED: Final = (Outcome.REFUSED, Outcome.UNREAD)

_REOPENED: Final = (
    select(func.count())
    .select_from(failures.join(chains, chains.c.id == failures.c.chain_id))
    .where(
        failures.c.replay_id == bindparam("replay_id"),
        chains.c.generation == failures.c.generation + 1,
    )
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the rows say of the failures of a plan.

    Attributes:
        in_hand: neither done nor let go of.
        free: in no plan at all.
        reopened: its chains that are in their next generation.
    """

    replayed: int
    refused: int
    in_hand: int
    free: int
    reopened: int


async def kept_of(database: Database, replay_id: str) -> Kept:
    """As the rows are now."""

    def look(connection: Connection) -> Kept:
        rows = {
            (row.replay_id, row.outcome): row.rows
            for row in connection.execute(_BY_OUTCOME)
        }
        return Kept(
            replayed=rows.get((replay_id, Outcome.REPLAYED), 0),
            refused=sum(rows.get((replay_id, one), 0) for one in _REFUSED),
            in_hand=rows.get((replay_id, None), 0),
            free=rows.get((None, None), 0),
            reopened=connection.execute(_REOPENED, {"replay_id": replay_id}).scalar_one(),
        )

    return await database.look(look)


def exact(
    how: str, plan: Told, kept: Kept, wanted: int, posted: int | None = None
) -> Promise:
    """Whether the plan's account is that of the rows and of the endpoints.

    Args:
        how: it was cancelled, in words.
        plan: a plan that was cancelled and has settled.
        kept: its rows.
        wanted: how many failures there were for it.
        posted: chains whose next generation has reached an endpoint, once all have.
    """
    seen = (
        f"at {_share(plan)} of {plan.claimed:,}: {plan.replayed:,} replayed,"
        f" {plan.refused:,} refused, {plan.left:,} never started"
    )
    return verdict(
        f"cancelled {how}, done, refused and left are exact",
        seen,
        list(_deviations(plan, kept, wanted, posted)),
    )


def _share(plan: Told) -> str:
    done = plan.replayed + plan.refused
    return f"{done / plan.claimed:.0%}" if plan.claimed else "nothing"


def _deviations(plan: Told, kept: Kept, wanted: int, posted: int | None) -> Iterator[str]:
    if plan.state != "cancelled" or not plan.settled:
        yield f"the plan is {plan.state}, settled: {plan.settled}"
    sums: Sequence[tuple[str, int, int]] = (
        ("claimed", plan.claimed, wanted),
        ("the sum", plan.replayed + plan.refused + plan.left, wanted),
        ("replayed by the rows", kept.replayed, plan.replayed),
        ("refused by the rows", kept.refused, plan.refused),
        ("free by the rows", kept.free, plan.left),
        ("in hand still", kept.in_hand, 0),
        ("chains reopened", kept.reopened, plan.replayed),
        ("chains posted", plan.replayed if posted is None else posted, plan.replayed),
    )
    for what, found, right in sums:
        if found != right:
            yield f"{what} {found:,} instead of {right:,}"
