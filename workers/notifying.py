"""Tells a requestor's own `callbackUrl` of a session's final state (irma.md §8).

Whoever makes the row final sends it with that transaction, so it goes out once.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.chain import Slot, Step, View
from orchestrator.ports import Message, work_message
from orchestrator.rows import RowSecrets
from orchestrator.work import WorkMaker
from schemas.events import Purpose
from schemas.irma import SessionResult, Status


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """Makes the delivery of a final result.

    With `slash` the URL gets a slash at its end as the IRMA server appends one, textually
    and even after a query (trap T7); without, it is taken verbatim.
    """

    rows: RowSecrets
    make: WorkMaker
    slash: bool = False

    def as_reported(self, slot: Slot, view: View, result: SessionResult) -> list[Message]:
        """The delivery of what the backend says; none without a `callbackUrl`."""
        row = view.step
        request = self.rows.request(row) if row else None
        if request is None or request.callback_url is None:
            return []
        callback = self.make.callback(
            slot,
            view.chain.requestor,
            result,
            purpose=Purpose.NOTIFY,
            url=self._url(request.callback_url),
            validity_s=request.validity,
            cause=slot.event_id("session.started"),
        )
        return [work_message(callback)]

    def as_taken_in(self, slot: Slot, view: View) -> list[Message]:
        """The delivery of what was proved, whatever the backend says by now.

        It came while the session was CONNECTED and had no next one yet (irma.md §7.2).
        """
        taken_in = self.rows.result(view.step) if view.step else None
        if taken_in is None:
            return []
        following = self._token(view.following)
        done = {"status": Status.DONE, "next_session": following}
        return self.as_reported(slot, view, taken_in.model_copy(update=done))

    def _url(self, url: str) -> str:
        return f"{url}/" if self.slash and not url.endswith("/") else url

    def _token(self, row: Step | None) -> str | None:
        return self.rows.token(row) if row else None
