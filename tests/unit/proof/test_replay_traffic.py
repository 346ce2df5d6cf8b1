"""Traffic of a proof, as far as it counts what may reach the broker twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.errors import BrokerUnavailable
from orchestrator.proof import replay_traffic
from orchestrator.proof.replay_rows import Begun, Rows
from orchestrator.proof.replay_traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.ports import Message


@dataclass
class Chains:
    """Begins chains that nobody writes."""

    async def begin(self, urls: Sequence[str]) -> list[Begun]:
        """One for each URL."""
        return [Begun(chain_id=f"C{number}", messages=()) for number in range(len(urls))]


@dataclass
class Broker:
    """Has no time for so many; whether it was connected is said of each."""

    connected_at: list[bool] = field(default_factory=list)

    @property
    def connected(self) -> bool:
        """As it is before the next publish."""
        return self.connected_at[0] if self.connected_at else True

    async def publish(self, *_messages: Message) -> None:
        """Not confirmed, as often as was said."""
        if self.connected_at:
            self.connected_at.pop(0)
            raise BrokerUnavailable("no confirm")


@pytest.mark.parametrize(
    "connected_at, unconfirmed", [([], 0), ([True], 1), ([True, False, True, False], 2)]
)
async def test_only_what_was_sent_may_come_twice(
    connected_at: list[bool], unconfirmed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a connection nothing reaches the broker, however often it is tried."""
    monkeypatch.setattr(replay_traffic, "_PAUSE_S", 0.0)
    traffic = Traffic(
        rows=cast("Rows", Chains()),
        publisher=cast("BrokerPublisher", Broker(connected_at)),
        urls=["http://one/204"],
        rate=1_000.0,
    )
    await traffic.come(1)
    assert traffic.unconfirmed == unconfirmed
    assert list(traffic.sent) == ["C0"]
