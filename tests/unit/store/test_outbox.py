"""Messages that wait in the store to be relayed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.ports import RELAY_PAUSE, Message, Waiting, outbox_row

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("chain_id", ["C1", None])
def test_an_outbox_row_leaves_time_for_whoever_wrote_it(chain_id: str | None) -> None:
    """It is due after the pause, since the broker may still confirm the message."""
    message = Message(id="m1", routing_key="sessions", body=b"{}")

    assert outbox_row(message, chain_id, NOON) == Waiting(
        id="m1",
        kind="outbox",
        due_at=NOON + RELAY_PAUSE,
        message=message,
        chain_id=chain_id,
        created_at=NOON,
    )
    assert timedelta(seconds=2) == RELAY_PAUSE
