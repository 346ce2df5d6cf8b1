"""Applies rulings: the store decides by a pure rule, then what belongs to it goes out.

Two ways, by rule H10. `by_outbox` is for transitions that no message drives (HTTP,
clock): their events and work are rows of the same transaction, relayed right after it.
`by_message` is for those that a message drives: the caller publishes the events, and does
so again with the same ids when the message comes again. What the rows will not tell a
second time is a row of the same transaction there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from orchestrator.background import Background
from orchestrator.domain.chain import Chain, Slot, View
from orchestrator.domain.errors import Refused, Unavailable, Unroutable
from orchestrator.domain.failing import failure_of
from orchestrator.domain.ruling import Ruling
from orchestrator.dropping import Dropper
from orchestrator.ports import Changes, Message, Publisher, Store, event_message
from orchestrator.work import ends_with_generation

T = TypeVar("T")

Rule = Callable[[View], Ruling[T]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rulings:
    """Store and publisher, put together for one purpose.

    Attributes:
        drop_pause_s: how long relayed rows are gathered before they are deleted.
    """

    store: Store
    publisher: Publisher
    background: Background
    drop_pause_s: float = 0.0
    _dropper: Dropper = field(init=False)

    def __post_init__(self) -> None:
        """Take on who deletes what was relayed."""
        dropper = Dropper(store=self.store, pause_s=self.drop_pause_s)
        object.__setattr__(self, "_dropper", dropper)

    async def by_message(
        self,
        slot: Slot,
        rule: Rule[T],
        work: Callable[[T, View], Sequence[Message]] = lambda _, __: (),
    ) -> tuple[T, list[Message]]:
        """Apply a rule; the events come back for the caller to publish.

        The work that its outcome asks for goes out as with `by_outbox`.
        """

        def decided(view: View) -> tuple[tuple[Ruling[T], tuple[Message, ...]], Changes]:
            ruling = rule(view)
            owed = tuple(work(ruling.outcome, view))
            changes = Changes(
                steps=ruling.steps,
                chain=ruling.chain,
                outbox=owed,
                failure=failure_of(view, ruling),
            )
            return (ruling, owed), changes

        ruling, owed = await self.store.decide(slot, decided)
        if owed:
            self.background.spawn(self.relay(owed))
        return ruling.outcome, [event_message(event) for event in ruling.events]

    async def by_outbox(
        self,
        slot: Slot,
        rule: Rule[T],
        work: Callable[[T, View], Sequence[Message]] = lambda _, __: (),
    ) -> T:
        """Apply a rule; its events, and the work its outcome asks for, go out with it.

        `work` sees the view the rule saw. All of it is published beside the caller, who
        does not wait for it.
        """

        def decided(view: View) -> tuple[tuple[T, tuple[Message, ...]], Changes]:
            ruling = rule(view)
            messages = (*map(event_message, ruling.events), *work(ruling.outcome, view))
            changes = Changes(
                steps=ruling.steps,
                chain=ruling.chain,
                outbox=messages,
                forget=ends_with_generation if _closes(view, ruling.chain) else None,
                failure=failure_of(view, ruling),
            )
            return (ruling.outcome, messages), changes

        outcome, messages = await self.store.decide(slot, decided)
        if messages:
            self.background.spawn(self.relay(messages))
        return outcome

    async def relay(self, messages: Sequence[Message]) -> None:
        """Publish rows of the outbox and drop them; what fails is left to the clock."""
        try:
            await self.publisher.publish(*messages)
            await self._dropper.drop(message.id for message in messages)
        except (Unavailable, Unroutable, Refused) as error:
            _log.warning("outbox.left", count=len(messages), why=type(error).__name__)


def _closes(view: View, after: Chain | None) -> bool:
    """Whether the chain's generation is closed by what was decided (rule H9)."""
    return after is not None and after.generation != view.chain.generation
