"""Callbacks without chains, for what happens between a queue and an endpoint.

Each is the delivery of a final result to a requestor's own `callbackUrl`: its answer is
noted, and nothing follows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orchestrator.app.tools import make_sealer
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.chain import Slot
from orchestrator.local.endpoint import FULLNAME
from orchestrator.local.stack import Stack
from orchestrator.ports import work_message
from orchestrator.settings import load_settings
from orchestrator.work import WorkMaker
from schemas.events import Purpose
from schemas.irma import SessionResult, session_result_from
from schemas.messages import CallbackWork, Lane


@dataclass
class Callbacks:
    """Makes callbacks, each of a chain of its own that nobody knows, and publishes them.

    Attributes:
        made: how many there were.
    """

    make: WorkMaker
    publisher: BrokerPublisher
    made: int = field(default=0)

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack) -> AsyncIterator[Callbacks]:
        """For the workers of an installation."""
        settings = load_settings(stack.config_file, {})
        make = WorkMaker(sealer=make_sealer(settings))
        async with BrokerPublisher.open(stack.broker_url, "callbacks") as publisher:
            yield cls(make, publisher)

    def next(self, url: str, *, lane: Lane = Lane.LIVE) -> CallbackWork:
        """The next one."""
        self.made += 1
        work = self.make.callback(
            Slot(chain_id=f"CB{self.made:06}", step=1),
            "demo",
            result_of(f"Token{self.made:015}"),
            purpose=Purpose.NOTIFY,
            url=url,
            validity_s=120,
        )
        return work.model_copy(update={"lane": lane})

    async def publish(self, *works: CallbackWork) -> list[str]:
        """Publish them in this order; their ids."""
        await self.publisher.publish(*map(work_message, works), timeout_s=60.0)
        return [work.id for work in works]


def result_of(token: str) -> SessionResult:
    """What comes out of a disclosure of one attribute."""
    attribute = {"rawvalue": "J", "value": None, "id": FULLNAME, "status": "PRESENT"}
    return session_result_from(
        {
            "token": token,
            "status": "DONE",
            "type": "disclosing",
            "proofStatus": "VALID",
            "disclosed": [[attribute]],
        }
    )
