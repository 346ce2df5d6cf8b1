"""Takes results in: broker first, the store as a net below it (DESIGN §3).

To take in a result, one of the two is enough. A message that the broker has not confirmed
within the budget becomes an outbox row as well; event ids make the double harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from orchestrator.background import Background
from orchestrator.domain.errors import (
    Refused,
    StoreUnavailable,
    Unavailable,
    Unroutable,
)
from orchestrator.gateway.faults import IrmaFault
from orchestrator.ports import Clock, Message, Publisher, Store, outbox_row
from schemas.irma import ErrorKind

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ResultIntake:
    """Accepts messages that hold a result."""

    store: Store
    publisher: Publisher
    background: Background
    clock: Clock
    confirm_budget_s: float

    async def accept(
        self, chain_id: str, messages: Sequence[Message], *, within_s: float
    ) -> bool:
        """Make sure these messages are kept; False when the broker is known to be away.

        True means that they are in the broker or may still get there at once, so that an
        answer can be hoped for.

        Raises:
            StoreUnavailable: neither broker nor store has taken them in this time.
            IrmaFault: the broker will never take them, so no row may wait for it.
        """
        publishing = asyncio.ensure_future(self.publisher.publish(*messages))
        if await _succeeded({publishing}, self.confirm_budget_s):
            return True
        _log.warning("intake.unconfirmed", slow=not publishing.done())
        keeping = asyncio.ensure_future(self._keep(chain_id, messages))
        left_s = max(within_s - self.confirm_budget_s, 0.0)
        kept = await _succeeded({publishing, keeping}, left_s)
        self.background.spawn(self._tidy(publishing, keeping, messages))
        if not kept:
            raise StoreUnavailable("neither broker nor database took the result in time")
        return not publishing.done() or publishing.exception() is None

    async def _keep(self, chain_id: str, messages: Sequence[Message]) -> None:
        now = self.clock()
        await self.store.put_waiting(
            *(outbox_row(message, chain_id, now) for message in messages)
        )

    async def _tidy(
        self,
        publishing: asyncio.Future[None],
        keeping: asyncio.Future[None],
        messages: Sequence[Message],
    ) -> None:
        """If the broker was slow and not away, the rows are not needed any more."""
        try:
            await publishing
            await keeping
            await self.store.drop_waiting([message.id for message in messages])
        except (Unavailable, Unroutable, Refused) as error:
            _log.warning("intake.left_to_clock", error=type(error).__name__)
            await asyncio.wait({keeping})
            if keeping.exception() is not None:
                _log.warning("intake.not_kept")


async def _succeeded(tries: set[asyncio.Future[None]], timeout_s: float) -> bool:
    """Whether one of these has succeeded by then; a refusal for good is raised."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    pending = tries
    while pending:
        done, pending = await asyncio.wait(
            pending,
            timeout=max(ends - loop.time(), 0.0),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not done:
            return False
        for fault in [one.exception() for one in done]:
            if fault is None:
                return True
            if isinstance(fault, Refused):
                raise IrmaFault(ErrorKind.INVALID_REQUEST, f"body: {fault}")
    return False
