"""Tells a requestor's own `callbackUrl` of a session's final state (irma.md §8).

Whoever makes the row final sends it with that transaction, so it goes out once. Which
session follows is told as our row has it: the backend may name one that it started in
vain. As long as the row does not know yet, what is told waits in a message of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from orchestrator.domain.chain import Slot, Step, View
from orchestrator.ports import Clock, Message, Publisher, Store, work_message
from orchestrator.rows import RowSecrets
from orchestrator.work import WorkMaker, put_off
from schemas.events import Purpose
from schemas.irma import SessionResult, SessionType, Status, session_result_from
from schemas.messages import CallbackSecrets, CallbackWork, NotifyWork

_log = structlog.get_logger(__name__)

#: How long a final state waits at most for the session that follows: what is stored has
#: decided after a minute (rule H1), then we start it ourselves.
FOLLOWING_WITHIN: Final = timedelta(minutes=2)

#: The pauses between looks: short at first, as most are known in a moment.
LOOK_PAUSE: Final = timedelta(milliseconds=250)
LOOK_PAUSE_MAX: Final = timedelta(seconds=10)


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
            self.with_next(result, view.following),
            purpose=Purpose.NOTIFY,
            url=self._url(request.callback_url),
            validity_s=request.validity,
            cause=slot.event_id("session.started"),
        )
        if result.status is Status.DONE and _pending(view.following):
            until = view.now + FOLLOWING_WITHIN
            return [work_message(self.make.notify(callback, until=until))]
        return [work_message(callback)]

    def as_taken_in(self, slot: Slot, view: View) -> list[Message]:
        """The delivery of what was proved, whatever the backend says by now.

        It came while the session was CONNECTED (irma.md §7.2).
        """
        taken_in = self.rows.result(view.step) if view.step else None
        if taken_in is None:
            return []
        done = taken_in.model_copy(update={"status": Status.DONE})
        return self.as_reported(slot, view, done)

    def as_ended(self, slot: Slot, view: View, status: Status) -> list[Message]:
        """The delivery of an end that nobody has a result of."""
        token = self.rows.token(view.step) if view.step else None
        if view.step is None or token is None:
            return []
        type_ = SessionType(view.step.session_type)
        result = SessionResult(token=token, status=status, type=type_)
        return self.as_reported(slot, view, result)

    def after(self, work: NotifyWork, following: Step | None) -> CallbackWork:
        """The delivery that has waited for the session that follows."""
        secrets = self.rows.sealer.open_model(
            CallbackSecrets, work.sealed, bound_to=work.id
        )
        slot = Slot(chain_id=work.chain_id, step=work.step, generation=work.generation)
        return self.make.callback(
            slot,
            work.requestor,
            self.with_next(session_result_from(secrets.result), following),
            purpose=Purpose.NOTIFY,
            url=secrets.url,
            validity_s=work.validity_s,
            cause=work.cause,
        )

    def with_next(self, result: SessionResult, following: Step | None) -> SessionResult:
        """The result with the token of the session that follows, as its row has it."""
        token = self.rows.token(following) if following else None
        return result.model_copy(update={"next_session": token})

    def _url(self, url: str) -> str:
        return f"{url}/" if self.slash and not url.endswith("/") else url


@dataclass(frozen=True, kw_only=True)
class NotifyingDesk:
    """Holds final states back until it is known which sessions follow."""

    store: Store
    publisher: Publisher
    notifier: Notifier
    clock: Clock

    async def take(self, slot: Slot, work: NotifyWork) -> None:
        """Pass the delivery on if that is known, or will not be; else look again."""
        now = self.clock()
        following = await self.store.step(slot.following)
        if not _pending(following) or now >= work.until:
            await self.publisher.publish(
                work_message(self.notifier.after(work, following))
            )
            _log.info("notification.passed_on", waits=work.waits)
            return
        waited = now - (work.until - FOLLOWING_WITHIN)
        pause = min(max(waited / 2, LOOK_PAUSE), LOOK_PAUSE_MAX)
        await self.store.put_waiting(put_off(work, pause, now))


def _pending(following: Step | None) -> bool:
    return following is not None and following.state.pending
