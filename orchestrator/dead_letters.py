"""What operators do with dead letters: look, requeue, discard (DESIGN §5, §7).

Shared by the command line and HTTP. Each operation is one pass over `dead`; a letter is
settled there only after its fresh copy was confirmed where it came from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from pydantic import JsonValue

from orchestrator.domain.dead import (
    DeadFilter,
    DeadLetter,
    Owner,
    is_letter_id,
    remembered,
)
from orchestrator.domain.errors import NotDone, Refused, Unroutable
from orchestrator.domain.operating import Tally, check_named
from orchestrator.ports import (
    HISTORY_QUEUES,
    LANES,
    DeadLetters,
    HeldLetter,
    Message,
    Publisher,
    Queues,
)
from orchestrator.telemetry.redaction import scrubbed
from schemas.events import EventInvalid, dump_event, parse_event
from schemas.messages import MessageInvalid, parse_work

_log = structlog.get_logger(__name__)

#: Where letters come from, and so where they may go: never to somebody else's queue, as
#: anybody can write a header.
ORIGINS: Final = frozenset({*LANES.values(), Queues.SESSIONS, *HISTORY_QUEUES})

#: What nobody but the message's own worker reads, and where a gateway has waited.
_CLOSED: Final = frozenset({"sealed", "reply"})

#: In place of a queue's name.
UNKNOWN: Final = "?"

UNKNOWN_ORIGIN: Final = "it does not say from which of our queues it came"
NO_QUEUE: Final = "the queue that it came from does not exist"


def _unseen(_count: int) -> None:
    """Nobody wants to know how far it is."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A letter as it is shown; `open_part` only where its body can be decoded."""

    letter: DeadLetter
    open_part: Mapping[str, JsonValue] | None

    @property
    def owner(self) -> Owner:
        """Whose it is, as far as it says so."""
        part = self.open_part or {}
        chain_id = part.get("chain_id", part.get("chainid"))
        requestor = part.get("requestor")
        return Owner(
            requestor=requestor if isinstance(requestor, str) else None,
            chain_id=chain_id if isinstance(chain_id, str) else None,
        )


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The oldest letters that are meant, and how many are meant, by queue."""

    letters: Sequence[Shown]
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DeadDesk:
    """Operations on one pass over `dead`, each of which goes to its end.

    Attributes:
        dead: the pass; there is one operation in each.
        publisher: what requeues.
        seen: is told how many letters were looked at.
    """

    dead: DeadLetters
    publisher: Publisher
    seen: Callable[[int], None] = field(default=_unseen)

    async def listed(self, which: DeadFilter, *, limit: int) -> Listing:
        """The oldest letters that are meant, and how many there are in all."""
        listed: list[Shown] = []
        counts: Counter[str] = Counter()
        async for found in self._meant(which):
            listed += [_shown(held) for held in found[: limit - len(listed)]]
            counts.update(held.letter.queue or UNKNOWN for held in found)
        return Listing(letters=listed, counts=counts)

    async def show(self, letter_id: str) -> Shown:
        """One letter.

        Raises:
            NotDone: it is not there.
        """
        (held,) = await self._named([letter_id])
        return _shown(held)

    async def requeue(self, which: DeadFilter | Sequence[str]) -> Tally:
        """Publish letters to the queues they came from, then remove them.

        Raises:
            NotDone: one that is named is not there; nothing was changed.
            BrokerUnavailable: those that were not settled are still there. One may have
                been requeued as well, which its worker recognizes.
        """
        tally = Tally()
        async for held in self._meant(which):
            await self._requeue(held, tally)
        _log.warning("dead.pass_requeued", count=tally.done.total())
        return tally

    async def discard(self, which: DeadFilter | Sequence[str]) -> Tally:
        """Remove letters for good.

        Raises:
            NotDone: as `requeue`.
            BrokerUnavailable: some of them may be there still.
        """
        tally = Tally()
        async for held in self._meant(which):
            await self.dead.settle(held)
            for one in held:
                self._did("dead.discarded", one, tally)
        _log.warning("dead.pass_discarded", count=tally.done.total())
        return tally

    async def _requeue(self, held: Sequence[HeldLetter], tally: Tally) -> None:
        known = [one for one in held if one.letter.queue in ORIGINS]
        unknown = [one.letter.id for one in held if one.letter.queue not in ORIGINS]
        if unknown:
            tally.leave(UNKNOWN_ORIGIN, unknown)
        for batch in _without_twins(known):
            try:
                await self._send(batch, tally)
            except (Refused, Unroutable):
                for one in batch:
                    await self._send_alone(one, tally)

    async def _send(self, batch: Sequence[HeldLetter], tally: Tally) -> None:
        await self.publisher.publish(*map(_fresh, batch))
        await self.dead.settle(batch)
        for one in batch:
            self._did("dead.requeued", one, tally)

    async def _send_alone(self, one: HeldLetter, tally: Tally) -> None:
        """One of a batch was not taken: find out which, and leave it where it is."""
        try:
            await self._send([one], tally)
        except Unroutable:
            tally.leave(NO_QUEUE, [one.letter.id])
        except Refused as error:
            tally.leave(str(error), [one.letter.id])

    def _did(self, what: str, held: HeldLetter, tally: Tally) -> None:
        letter = held.letter
        tally.done[letter.queue or UNKNOWN] += 1
        chain_id = _shown(held).owner.chain_id
        _log.info(what, letter=letter.id, queue=letter.queue, chain_id=chain_id)

    async def _meant(
        self, which: DeadFilter | Sequence[str]
    ) -> AsyncIterator[Sequence[HeldLetter]]:
        """The letters that are meant; those that are named only when all are there."""
        if not isinstance(which, DeadFilter):
            yield await self._named(which)
            return
        async for page in self._pages():
            yield [held for held in page if _meant(which, held)]

    async def _named(self, ids: Sequence[str]) -> list[HeldLetter]:
        """Named letters; of several that look the same, the oldest."""
        named = check_named(ids, what="dead letters")
        if odd := [name for name in named if not is_letter_id(name)]:
            msg = f"nothing was changed: {odd[0]} is no id of a dead letter; see"
            raise NotDone(f"{msg} `chainctl dead list`")
        found: dict[str, HeldLetter] = {}
        async for page in self._pages():
            for held in page:
                if held.letter.id in named:
                    found.setdefault(held.letter.id, held)
        if missing := [name for name in named if name not in found]:
            what = ", ".join(missing)
            hands = " or it is in another operator's hands" if self.dead.others else ""
            msg = f"nothing was changed: no such letter is in '{Queues.DEAD}'{hands}"
            raise NotDone(f"{msg}: {what}")
        return [found[name] for name in named]

    async def _pages(self) -> AsyncIterator[Sequence[HeldLetter]]:
        count = 0
        async for page in self.dead.pages():
            count += len(page)
            self.seen(count)
            yield page


def _meant(which: DeadFilter, held: HeldLetter) -> bool:
    """Bodies are read only for what nothing else tells."""
    letter = held.letter
    if which.requestor is None and which.chain_ids is None:
        return which.takes(letter)
    return which.takes(letter, _shown(held).owner)


def _shown(held: HeldLetter) -> Shown:
    return Shown(letter=held.letter, open_part=open_part(held.body))


def open_part(body: bytes) -> dict[str, JsonValue] | None:
    """What a body says openly; None where it is neither work nor an event.

    Only what our own schemas have read is told: anything else may hold a secret anywhere.
    """
    try:
        work = parse_work(body)
    except MessageInvalid:
        return _open_event(body)
    return _scrubbed(
        work.model_dump(mode="json", exclude=set(_CLOSED), exclude_none=True)
    )


def _open_event(body: bytes) -> dict[str, JsonValue] | None:
    try:
        event = parse_event(body)
    except EventInvalid:
        return None
    return _scrubbed(json.loads(dump_event(event)))


def _scrubbed(part: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Without what looks like a secret: reasons repeat what endpoints wrote."""
    return {name: _told(value) for name, value in part.items()}


def _told(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return scrubbed(value)
        case dict():
            return _scrubbed(value)
        case list():
            return [_told(item) for item in value]
        case _:
            return value


def _fresh(held: HeldLetter) -> Message:
    """The message as it was, with our own headers only (reference delivery.md §21).

    Of the history's parts it goes to that where its chain's events are now.
    """
    queue = held.letter.queue or ""
    return Message(
        id=held.letter.message_id,
        routing_key=Queues.HISTORY if queue in HISTORY_QUEUES else queue,
        body=held.body,
        content_type=held.letter.content_type or "application/octet-stream",
        correlation_id=held.correlation_id,
        headers=remembered(held.letter),
    )


def _without_twins(held: Sequence[HeldLetter]) -> list[list[HeldLetter]]:
    """In batches in which each message id is there once: returns are matched by it."""
    batches: list[dict[str, HeldLetter]] = []
    for one in held:
        key = one.letter.message_id
        free = next((batch for batch in batches if key not in batch), None)
        if free is None:
            batches.append(free := {})
        free[key] = one
    return [list(batch.values()) for batch in batches]
