"""A vhost of one's own on a broker that was given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from orchestrator.broker.management import Management
from orchestrator.domain.errors import ManagementError
from orchestrator.local.rabbitmq import Broker


@dataclass(frozen=True)
class FakeManagement(Management):
    """Makes nothing, and remembers what it was to remove."""

    fault: BaseException | None = field(default=None, kw_only=True)
    removed: list[str] = field(default_factory=list)

    async def make_vhost(self, name: str, *, for_user: str) -> None:
        """Fail, if it is to."""
        del name, for_user
        if self.fault is not None:
            raise self.fault

    async def remove_vhost(self, name: str) -> None:
        """Note it."""
        self.removed.append(name)


@pytest.mark.parametrize(
    "fault,removed",
    [
        (None, ["mine"]),
        (asyncio.CancelledError(), ["mine"]),  # it may be there all the same
        (ManagementError("it is there already"), []),  # it is somebody else's
    ],
)
async def test_a_vhost_is_removed_by_whoever_made_it(
    fault: BaseException | None, removed: list[str]
) -> None:
    """Also when its making was cut short, but not when another one has it."""
    management = FakeManagement("http://mq.example", "me", "SECRET", fault=fault)
    broker = Broker("amqp://mq.example", "me", "SECRET", "3.10.8", management)

    async def use() -> None:
        async with broker.vhost("mine") as url:
            assert url == "amqp://mq.example/mine"

    if fault is None:
        await use()
    else:
        with pytest.raises(type(fault)):
            await use()
    assert management.removed == removed
