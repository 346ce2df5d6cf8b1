"""What operators do with what waits: look, hurry, cancel (DESIGN §5, §7).

Shared by the command line and HTTP. Each row is changed in a transaction of its own
portion, and only while nobody holds it; a row that a clock is just publishing stays the
clock's. Cancelling takes a callback or a deadline out together with putting the end of
its chain into the outbox, so that an accepted result never comes to nothing (G1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from orchestrator.domain import happenings
from orchestrator.domain.errors import NotDone, SealBroken, SealKeyUnknown
from orchestrator.domain.operating import (
    CANCELLED,
    Tally,
    WaitingKind,
    check_named,
    uncancellable,
)
from orchestrator.ports import (
    Clock,
    Message,
    Store,
    Waiting,
    WaitingFilter,
    WaitingRow,
    event_message,
    work_message,
)
from orchestrator.work import WorkMaker, slot_of
from schemas.events import Purpose
from schemas.irma import session_result_from
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    EndWork,
    EventWork,
    MessageInvalid,
    NotifyWork,
    TriedWork,
    parse_work,
)

_log = structlog.get_logger(__name__)

#: Rows looked at or changed at a time, with their messages.
PORTION: Final = 100

HELD: Final = "just being published by a clock"
GONE: Final = "published or taken out meanwhile"
DUE: Final = "due already"
UNREADABLE: Final = "its message cannot be read"
UNOPENABLE: Final = "its secrets cannot be opened with the keys at hand"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row as lists show it; `attempt` is the number of a callback's next try."""

    row: WaitingRow
    attempt: int | None


@dataclass(frozen=True, kw_only=True)
class WaitingRooms:
    """The waiting rows, for operators."""

    store: Store
    make: WorkMaker
    clock: Clock

    async def listed(
        self, which: WaitingFilter, *, limit: int
    ) -> AsyncIterator[Sequence[Listed]]:
        """The rows that are meant, by due time, portion by portion."""
        async for page in self._pages(which, limit):
            yield [Listed(row=row, attempt=_attempt(row.waiting)) for row in page]

    async def counts(self, which: WaitingFilter) -> dict[str, int]:
        """How many rows are meant, by kind, whatever a list would show."""
        return await self.store.count_waiting(which)

    async def hurry(self, which: WaitingFilter) -> Tally:
        """Make rows due now, the oldest first; parked ones are published once.

        A deadline that is hurried ends its chain, so that has to be named: by its id or
        by its kind.

        Raises:
            NotDone: an id is not there; nothing was changed.
        """
        named = None if which.ids is None else await self._known(which.ids)
        if named is None and which.kinds is None:
            kinds = set(await self.counts(which)) - {WaitingKind.DEADLINE}
            which = replace(which, kinds=sorted(kinds))
        before = sum((await self.counts(which)).values())
        tally, now = Tally(), self.clock()
        hurried: list[str] = []
        # No more than there were: workers that park again are not hurried again.
        while room := min(PORTION, max(before - tally.done.total(), 0)):
            done = await self.store.hurry_waiting(which, now, limit=room)
            if not done:
                break
            tally.done.update(done.values())
            hurried += done if named is not None else ()
        if named is not None:
            left_ids = [name for name in named if name not in hurried]
            await self._leave(tally, left_ids, still=DUE)
        elif left := max(before - tally.done.total(), 0):
            tally.leave(f"{DUE} or {HELD}", unnamed=left)
        _log.warning("waiting.hurried", count=tally.done.total(), **tally.done)
        return tally

    async def cancel(self, which: WaitingFilter) -> Tally:
        """Take rows out: callbacks are given up, their chains end as failed.

        Raises:
            NotDone: an id is not there, or its row cannot be cancelled; nothing was
                changed.
        """
        tally = Tally()
        if which.ids is None:
            which = replace(which, kinds=await self._cancellable(which, tally))
            portions = [which]
        else:
            known = await self._known(which.ids)
            _refuse_uncancellable(known)
            portions = [replace(which, ids=ids) for ids in _portions(list(known))]
        for portion in portions:
            async for page in self._pages(portion):
                await self._cancel(page, tally)
        _log.warning("waiting.cancelled", count=tally.done.total(), **tally.done)
        return tally

    async def _cancel(self, page: Sequence[WaitingRow], tally: Tally) -> None:
        """Seal what takes the rows' places, then put it there in one transaction."""
        now = self.clock()
        swaps: dict[str, Sequence[Message]] = {}
        rows = [row.waiting for row in page]
        for row in rows:
            try:
                swaps[row.id] = self._instead(row, now)
            except MessageInvalid:
                tally.leave(UNREADABLE, [row.id])
            except (SealBroken, SealKeyUnknown):
                tally.leave(UNOPENABLE, [row.id])
        done = await self.store.swap_waiting(swaps, now)
        for row in rows:
            if row.id in done:
                tally.done[row.kind] += 1
                _log.info("waiting.row_cancelled", row=row.id, kind=row.kind)
        left = [name for name in swaps if name not in done]
        await self._leave(tally, left, still=HELD)

    def _instead(self, row: Waiting, now: datetime) -> list[Message]:
        """What takes the place of a row that is cancelled: events first."""
        match parse_work(row.message.body):
            case CallbackWork() as work:
                return self._given_up(work, now)
            case EndWork() as work:
                return [work_message(self._failed(work))]
            case EventWork():
                return []  # it is in the history; nothing is told of what was not told
            case NotifyWork() as work:
                return self._given_up(self._notification(work), now)
            case _:
                raise MessageInvalid("kind: is never cancelled")

    def _given_up(self, work: CallbackWork, now: datetime) -> list[Message]:
        """As after a reply that is final: only a failed `nextSession` ends the chain."""
        failed = happenings.callback_failed(work, None, CANCELLED, now)
        if work.purpose is Purpose.NOTIFY:
            return [event_message(failed)]
        secrets = self._secrets(work)
        ending = self.make.ending(
            work, secrets, end=End.FAILED, cause=failed.id, reason=CANCELLED
        )
        return [event_message(failed), work_message(ending)]

    def _failed(self, work: EndWork) -> EndWork:
        """The end that a deadline would bring, now and as a failure."""
        ending_id = f"{work.id}-cancelled"
        sealed = self.make.sealer.seal_model(self._secrets(work), bound_to=ending_id)
        return work.model_copy(
            update={
                "id": ending_id,
                "end": End.FAILED,
                "reason": CANCELLED,
                "sealed": sealed,
            }
        )

    def _notification(self, work: NotifyWork) -> CallbackWork:
        """The callback that this notification would have become."""
        secrets = self._secrets(work)
        return self.make.callback(
            slot_of(work),
            work.requestor,
            session_result_from(secrets.result),
            purpose=Purpose.NOTIFY,
            url=secrets.url,
            validity_s=work.validity_s,
            cause=work.cause,
        )

    def _secrets(self, work: CallbackWork | EndWork | NotifyWork) -> CallbackSecrets:
        return self.make.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)

    async def _cancellable(self, which: WaitingFilter, tally: Tally) -> list[str]:
        """The kinds that are meant, without those that stay."""
        counts = await self.counts(which)
        for kind, count in counts.items():
            if why := uncancellable(kind):
                tally.leave(f"{kind}: {why}", unnamed=count)
        return [kind for kind in counts if uncancellable(kind) is None]

    async def _known(self, ids: Sequence[str]) -> dict[str, str]:
        """The kinds of named rows, all of which have to be there."""
        named = check_named(ids, what="waiting rows")
        kinds: dict[str, str] = {}
        for some in _portions(named):
            async for page in self._pages(WaitingFilter(ids=some)):
                kinds |= {row.waiting.id: row.waiting.kind for row in page}
        if missing := [name for name in named if name not in kinds]:
            what = ", ".join(missing)
            msg = f"nothing was changed: no such row waits (any more): {what}"
            raise NotDone(msg)
        return {name: kinds[name] for name in named}

    async def _leave(self, tally: Tally, ids: Sequence[str], *, still: str) -> None:
        """Say of rows that were not changed why: mostly, somebody was quicker."""
        for some in _portions(ids):
            there: dict[str, str] = {}
            async for page in self._pages(WaitingFilter(ids=some)):
                there |= {row.waiting.id: HELD if row.held else still for row in page}
            for name in some:
                tally.leave(there.get(name, GONE), [name])

    async def _pages(
        self, which: WaitingFilter, limit: int | None = None
    ) -> AsyncIterator[list[WaitingRow]]:
        """Rows by due time; what changes meanwhile is seen or not."""
        after: WaitingRow | None = None
        while limit is None or limit > 0:
            size = PORTION if limit is None else min(PORTION, limit)
            now = self.clock()
            page = await self.store.waiting_rows(which, now, after=after, limit=size)
            if page:
                yield page
            if len(page) < size:
                return
            after = page[-1]
            limit = None if limit is None else limit - size


def _refuse_uncancellable(known: Mapping[str, str]) -> None:
    refused = [
        f"{name} ({kind}) {why}"
        for name, kind in known.items()
        if (why := uncancellable(kind))
    ]
    if refused:
        raise NotDone(f"nothing was changed: {'; '.join(refused)}")


def _portions(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + PORTION] for start in range(0, len(ids), PORTION))


def _attempt(row: Waiting) -> int | None:
    try:
        work = parse_work(row.message.body)
    except MessageInvalid:
        return None  # an event of the outbox
    return work.attempt if isinstance(work, TriedWork) else None
