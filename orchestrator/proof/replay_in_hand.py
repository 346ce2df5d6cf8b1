"""How many callbacks may come again under their ids: what could be in hand at the kills.

Ids are derived, so a defect that POSTs one callback over and over would look like
redeliveries; there are no more of these than the kills explain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from orchestrator.app.tools import DROP_PAUSE_S
from orchestrator.local.stack import Plan
from orchestrator.proof.replay_books import InHand, Kill, Victim
from schemas.messages import Lane
from workers import clock, replay


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How an installation handles callbacks.

    Attributes:
        prefetch: of a callback worker.
        live: how many callback workers the live lane has; `replays`: that of replays.
        pace: chains a second that are replayed.
    """

    prefetch: int
    live: int
    replays: int
    pace: float

    @classmethod
    def of(cls, plan: Plan, *, prefetch: int, pace: float) -> Handling:
        """By what was started."""
        replays = plan.lanes.count(Lane.REPLAY)
        return cls(prefetch=prefetch, live=plan.callbacks, replays=replays, pace=pace)


def of_replay_worker(pace: float) -> int:
    """Callbacks that a killed replay worker has published and may not have struck out.

    Those that it was about, and those whose rows it was gathering: the clock publishes
    them again.
    """
    return replay.AT_ONCE + ceil(pace * DROP_PAUSE_S)


def in_hand(killed: Iterable[Kill], handling: Handling, *, unconfirmed: int) -> InHand:
    """The most that these kills can bring a second time.

    With the broker goes what callback workers had in hand, and what others had published
    and it had not confirmed: the replay worker what it was about, the clock a beat.

    Args:
        killed: what was killed.
        handling: how callbacks are handled.
        unconfirmed: first callbacks that were published again for want of a confirm.
    """
    first, replayed = unconfirmed, 0
    for kill in killed:
        match kill.what:
            case Victim.WORKER:
                replayed += of_replay_worker(handling.pace)
            case Victim.BROKER:
                first += handling.prefetch * handling.live
                replayed += handling.prefetch * handling.replays
                replayed += replay.AT_ONCE + clock.MESSAGES
    return InHand(first=first, replayed=replayed)
