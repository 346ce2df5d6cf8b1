"""Live callbacks have a lane of their own: a backlog elsewhere is not in their way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.local.stack import Plan
from orchestrator.proof.lab import lab_at_work
from tests.support.backlog import OTHERS, SLOW_S, Lanes

pytestmark = pytest.mark.e2e

#: Far more in each of the other lanes than their workers get done meanwhile.
BACKLOG = 2_500


@pytest.fixture
async def lanes(vhost_url: str, tmp_path: Path) -> AsyncIterator[Lanes]:
    """One callback worker in each lane."""
    plan = Plan(lanes=OTHERS, endpoint=False)
    async with lab_at_work(tmp_path, vhost_url, plan) as lab, Lanes.of(lab) as running:
        yield running


async def test_a_backlog_in_another_lane_does_not_slow_live_callbacks(
    lanes: Lanes,
) -> None:
    """While the others are at work, and have far more to do, live ones come at once.

    Any that had to wait for one of the others would take as long as that one does.
    """
    await lanes.fill(BACKLOG)
    beside_s = await lanes.latency_s(rounds=1)
    assert min(await lanes.depths()) > BACKLOG / 2
    assert beside_s < SLOW_S / 10
