"""Takes results in: broker first, the store as a net below it (DESIGN §3).

To take in a result, one of the two is enough. A message that the broker has not confirmed
within the budget becomes an outbox row as well; event ids make the double harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from orchestrator.background import Background
from orchestrator.domain.errors import (
    BrokerUnavailable,
    Refused,
    StoreUnavailable,
    Unroutable,
)
from orchestrator.gateway.faults import IrmaFault
from orchestrator.ports import Clock, Message, Publisher, Store, Waiting
from schemas.irma import ErrorKind

_log = structlog.get_logger(__name__)

#: A message may still be confirmed after it became a row; the clock waits for that.
RELAY_PAUSE: Final = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class ResultIntake:
    """Accepts messages that hold a result."""

    store: Store
    publisher: Publisher
    background: Background
    clock: Clock
    confirm_budget_s: float

    async def accept(self, messages: Sequence[Message]) -> bool:
        """Make sure these messages are kept; False when the broker is known to be away.

        True means that they are in the broker or may still get there at once, so that an
        answer can be hoped for.

        Raises:
            StoreUnavailable: neither broker nor store has taken them.
            IrmaFault: the broker will never take them, so no row may wait for it.
        """
        publishing = asyncio.ensure_future(self.publisher.publish(*messages))
        if await _confirmed(publishing, self.confirm_budget_s):
            return True
        slow = not publishing.done()
        _log.warning("intake.unconfirmed", slow=slow)
        try:
            await self._keep(messages)
        except StoreUnavailable:
            if not await _confirmed(publishing, None):  # a slow broker is not away
                raise
            return True
        if slow:
            self.background.spawn(self._confirmed_late(publishing, messages))
        return slow

    async def _keep(self, messages: Sequence[Message]) -> None:
        now = self.clock()
        rows = [
            Waiting(
                id=message.id,
                kind="outbox",
                due_at=now + RELAY_PAUSE,
                message=message,
                created_at=now,
            )
            for message in messages
        ]
        await self.store.put_waiting(*rows)

    async def _confirmed_late(
        self, publishing: asyncio.Future[None], messages: Sequence[Message]
    ) -> None:
        """The broker was slow, not away: the rows are not needed any more."""
        try:
            await publishing
            await self.store.drop_waiting([message.id for message in messages])
        except (BrokerUnavailable, StoreUnavailable, Unroutable) as error:
            _log.warning("intake.left_to_clock", error=type(error).__name__)


async def _confirmed(publishing: asyncio.Future[None], timeout_s: float | None) -> bool:
    """Whether the broker has confirmed by then."""
    await asyncio.wait({publishing}, timeout=timeout_s)
    if not publishing.done():
        return False
    fault = publishing.exception()
    if isinstance(fault, Refused):
        raise IrmaFault(ErrorKind.INVALID_REQUEST, f"body: {fault}")
    return fault is None
