"""Which events a chain has, by the journals of those who took part in it.

Nothing here knows what the product has told or stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.proof.events_books import Played, Posted
from orchestrator.proof.events_scripts import ASKED_AGAIN, GIVEN_UP, GOES_ON, Said
from orchestrator.sandbox.wallet import StepStatus
from schemas.events import Purpose

#: Step and type of an event.
Kind = tuple[int, str]

#: Whether an attempt was kept back for a moment, nobody outside can tell.
LEFT_OPEN: Final = frozenset({"callback.parked"})


#: What there is of a step before its user has shared anything.
_BEFORE_SHARED: Final = frozenset(
    {"chain.started", "session.requested", "session.started"}
)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What there has to be of one chain.

    Attributes:
        events: how many of each kind there have to be.
        repeats: how many more there may be. A result may be POSTed once more after it was
            answered: whether that is told apart, the endpoint cannot see.
        over: whether the chain has come to its end, by these journals.
        blurred: nobody saw what came of it: `events` are those before, and all
            subscribers have to see the same.
    """

    chain_id: str
    requestor: str
    events: Counter[Kind]
    repeats: Counter[Kind] = field(default_factory=Counter)
    over: bool = True
    blurred: bool = False


def all_expected(
    played: Iterable[Played], posted: Mapping[str, Sequence[Posted]]
) -> dict[str, Expected]:
    """What there has to be of each chain, by its id."""
    return {one.chain_id: expected(one, posted.get(one.chain_id, ())) for one in played}


def expected(played: Played, posted: Sequence[Posted]) -> Expected:
    """What there has to be of this chain."""
    told = _Told(posted=posted)
    told.note(1, "chain.started")
    step, chained = 1, played.script.chained
    while step > 0:
        status = played.sessions[step - 1] if step <= len(played.sessions) else None
        said = told.session(step, status, chained=chained)
        chained = said is Said.NEXT
        step = step + 1 if said in GOES_ON else 0
    noted = told.callback(Purpose.NOTIFY, 1)
    step_cut = len(played.sessions)
    return Expected(
        chain_id=played.chain_id,
        requestor=played.requestor,
        events=_sure(told.events, step_cut) if played.cut_off else told.events,
        repeats=told.repeats,
        over=(told.over and (noted is not None or not played.script.notified))
        or played.cut_off,
        blurred=played.cut_off,
    )


def _sure(events: Counter[Kind], step_cut: int) -> Counter[Kind]:
    """What had happened before the app was cut off, whatever came of that."""
    return Counter(
        {
            (step, type_): count
            for (step, type_), count in events.items()
            if step < step_cut or (step == step_cut and type_ in _BEFORE_SHARED)
        }
    )


@dataclass(kw_only=True)
class _Told:
    """The events of one chain, as far as they follow."""

    posted: Sequence[Posted]
    events: Counter[Kind] = field(default_factory=Counter)
    repeats: Counter[Kind] = field(default_factory=Counter)
    over: bool = False

    def note(self, step: int, *types: str) -> None:
        """There has to be one event of each of these types."""
        self.events.update((step, type_) for type_ in types)

    def session(
        self, step: int, status: StepStatus | None, *, chained: bool
    ) -> Said | None:
        """One session, whose user has seen it end like that; what came of its result.

        Args:
            step: which one.
            status: None if no user has played it to its end.
            chained: whether its result goes to an endpoint.
        """
        self.note(step, "session.requested", "session.started")
        if status is StepStatus.CANCELLED:
            self.note(step, "session.cancelled", "chain.cancelled")
            self.over = True
        elif chained and status is not None:
            return self._chained(step, status)
        elif status is StepStatus.SUCCESS:
            self.note(step, "session.finished", "chain.completed")
            self.over = True
        return None

    def _chained(self, step: int, status: StepStatus) -> Said | None:
        """A session that was proved; its user's app is refused if the chain fails."""
        succeeded = status is StepStatus.SUCCESS
        self.note(step, "session.completed")
        self.note(step, "session.finished" if succeeded else "session.cancelled")
        last = self.callback(Purpose.NEXT, step)
        if last is Said.END:
            self.note(step, "chain.completed")
        elif last in GIVEN_UP:
            self.note(step, "chain.failed")
        self.over = last in GIVEN_UP | {Said.END}
        return last

    def callback(self, purpose: Purpose, step: int) -> Said | None:
        """The attempts of one callback; the answer that has settled it, if any has."""
        settled: Said | None = None
        for one in self.posted:
            if (one.purpose, one.step) != (purpose, step):
                continue
            kind = step, _answered(one.said)
            if settled is not None:
                self.repeats[kind] += 1
                continue
            self.events[kind] += 1
            if one.said not in ASKED_AGAIN:
                settled = one.said
        return settled


def _answered(said: Said) -> str:
    """How an answer is told."""
    if said in ASKED_AGAIN:
        return "callback.retrying"
    return "callback.failed" if said in GIVEN_UP else "callback.answered"
