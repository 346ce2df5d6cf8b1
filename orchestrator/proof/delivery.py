"""The proof of delivery: answers and faults, a hanging endpoint, lateness, outages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.proof import answers, due_rows, hanging, outage
from orchestrator.proof.ground import Ground, Proof
from orchestrator.proof.names import DeliveryPart
from orchestrator.proof.report import Report

_PARTS: Final[dict[DeliveryPart, Proof]] = {
    DeliveryPart.ANSWERS: answers.prove,
    DeliveryPart.HANGING: hanging.prove,
    DeliveryPart.LATENESS: due_rows.prove,
    DeliveryPart.OUTAGE: outage.prove,
}


def prove(parts: Sequence[DeliveryPart]) -> Proof:
    """These parts, one after the other, as one proof."""

    async def all_of_them(ground: Ground, say: Callable[[str], None]) -> Report:
        reports = []
        for part in DeliveryPart:
            if part in parts:
                say(f"part {part}")
                reports.append(await _PARTS[part](ground, say))
        return Report(
            proof="delivery",
            promises=[promise for one in reports for promise in one.promises],
            sheets=[sheet for one in reports for sheet in one.sheets],
            figures={one.proof: dict(one.figures) for one in reports},
        )

    return all_of_them
