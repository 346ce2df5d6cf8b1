"""Which dead letters an operator means by the options of `chainctl dead`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.cli.replay_asked import Asked as OfChains
from orchestrator.cli.replay_asked import by_option
from orchestrator.domain.dead import DeadFilter
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import utc_now


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of the letters that are meant."""

    ids: Sequence[str] = ()
    every: bool = False
    queue: str | None = None
    reason: str | None = None
    chains: OfChains = field(default_factory=OfChains)

    def some(self, requestors: Mapping[str, str]) -> DeadFilter | Sequence[str]:
        """Letters to be changed: named, filtered, or expressly all.

        Raises:
            NotConfigured: more than one of these is said, or none, or one is wrong.
        """
        which = self.filter(requestors)
        if [bool(self.ids), not which.is_open, self.every].count(True) != 1:
            raise NotConfigured(
                "say which letters: their ids, or a filter as --queue or --requestor,"
                " or --all"
            )
        return self.ids or which

    def filter(self, requestors: Mapping[str, str]) -> DeadFilter:
        """The filter alone.

        Raises:
            NotConfigured: naming the option that is wrong.
        """
        with by_option():
            which = self.chains.selection().filter(requestors, utc_now())
        return DeadFilter(
            queue=self.queue,
            reason=self.reason,
            requestor=which.requestor,
            chain_ids=None if which.chain_ids is None else frozenset(which.chain_ids),
            since=which.since,
            until=which.until,
        )

    def words(self) -> str:
        """The filter in words."""
        chains = self.chains
        words = [
            "every letter",
            f"from queue {self.queue}" if self.queue else "",
            f"with '{self.reason}' in its reason" if self.reason else "",
            f"of {chains.requestor}" if chains.requestor else "",
            "of these chains" if chains.chains or chains.chains_file else "",
            f"since {chains.since}" if chains.since else "",
            f"until {chains.until}" if chains.until else "",
        ]
        return " ".join(filter(None, words))
