"""The proof of replays: after an outage, of a million failures, and cancelled halfway."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.proof import replay_cancel, replay_million, replay_outage
from orchestrator.proof.ground import Ground, Proof
from orchestrator.proof.names import ReplayPart, ReplayWay
from orchestrator.proof.report import Report

Say = Callable[[str], None]


def prove(
    parts: Sequence[ReplayPart], *, chains: int, selected: int, by: ReplayWay
) -> Proof:
    """These parts, one after the other, as one proof; after the outage `by` this way."""

    async def part_of(part: ReplayPart, ground: Ground, say: Say) -> Report:
        match part:
            case ReplayPart.OUTAGE:
                return await replay_outage.prove(ground, say, chains, by)
            case ReplayPart.MILLION:
                return await replay_million.prove(ground, say, selected)
            case ReplayPart.CANCEL:
                return await replay_cancel.prove(ground, say, chains)

    async def all_of_them(ground: Ground, say: Say) -> Report:
        reports = []
        for part in ReplayPart:
            if part in parts:
                say(f"part {part}")
                reports.append(await part_of(part, ground, say))
        return Report(
            proof="replay",
            promises=[promise for one in reports for promise in one.promises],
            sheets=[sheet for one in reports for sheet in one.sheets],
            figures={one.proof: dict(one.figures) for one in reports},
        )

    return all_of_them
