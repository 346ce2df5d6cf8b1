"""Cancels sessions that were given up, until their backend has answered (G2).

Another session of the step was proved (rule H3): the row points to that one from now on,
so nothing but the message that is made here knows the first one. It goes out with the
transaction that gives the session up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from orchestrator.domain import lookup
from orchestrator.domain.chain import Step, View
from orchestrator.domain.errors import BackendRefused, BackendUnavailable
from orchestrator.ports import Backend, Clock, Message, Store, work_message
from orchestrator.rows import RowSecrets
from orchestrator.work import WorkMaker, put_off
from schemas.messages import CancelSecrets, CancelWork

_log = structlog.get_logger(__name__)

#: The pause before a backend that is away is asked again.
CANCEL_PAUSE: Final = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Canceller:
    """Makes cancellations, and carries them out."""

    store: Store
    rows: RowSecrets
    make: WorkMaker
    backend: Backend
    clock: Clock
    session_lifetime: timedelta

    def of(self, row: Step | None, view: View) -> list[Message]:
        """The cancellation of the session that this row pointed to, if it did."""
        token = self.rows.token(row) if row else None
        if row is None or token is None:
            return []
        until = lookup.lives_until(row, self.session_lifetime) + lookup.HANDLER_MAX
        work = self.make.cancel(row.slot, view.chain.requestor, token, until=until)
        return [work_message(work)]

    async def take(self, work: CancelWork) -> None:
        """Cancel the session; while its backend is away, put that off."""
        secrets = self.rows.sealer.open_model(
            CancelSecrets, work.sealed, bound_to=work.id
        )
        try:
            await self.backend.cancel(secrets.token)
        except BackendRefused as error:
            _log.warning("session.left_to_time_out", error=type(error).__name__)
        except BackendUnavailable as error:
            await self._later(work, type(error).__name__)
        else:
            _log.info("session.given_up")

    async def _later(self, work: CancelWork, error: str) -> None:
        now = self.clock()
        if now > work.until:
            _log.warning("session.left_to_time_out", error=error)
            return
        await self.store.put_waiting(put_off(work, CANCEL_PAUSE, now))
        _log.warning("session.cancelled_later", error=error)
