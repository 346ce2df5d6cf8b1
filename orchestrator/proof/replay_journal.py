"""What endpoints note of callbacks, and what that says of each chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Posted(NamedTuple):
    """One POST, as its endpoint saw it.

    Attributes:
        at_s: when it was whole, by the machine's monotonic clock.
        endpoint: its number.
        status: what was answered.
    """

    at_s: float
    endpoint: int
    status: int
    webhook_id: str

    @property
    def chain_id(self) -> str:
        """The chain that the callback is of: ids are derived (`Slot.event_id`)."""
        return self.webhook_id.split("-")[0]

    @property
    def generation(self) -> int:
        """Its generation."""
        return int(self.webhook_id.split("-")[2])


def line_of(posted: Posted) -> bytes:
    """A POST as a line of the journal."""
    at_s, endpoint, status, webhook_id = posted
    return f"{at_s:.6f} {endpoint} {status} {webhook_id}\n".encode()


def posted_in(journal: bytes) -> list[Posted]:
    """The whole lines of a journal."""
    lines = journal.decode().split("\n")[:-1]
    return [_posted(line) for line in lines]


def _posted(line: str) -> Posted:
    at_s, endpoint, status, webhook_id = line.split(" ")
    return Posted(float(at_s), int(endpoint), int(status), webhook_id)


def redelivered(posts: Iterable[Posted]) -> int:
    """POSTs that came before under the same id: allowed, and their answer counts once."""
    times = Counter(post.webhook_id for post in posts)
    return sum(count - 1 for count in times.values())


def ids_of(posts: Iterable[Posted]) -> dict[tuple[str, int], set[str]]:
    """The callbacks of each chain and generation, by id."""
    ids: dict[tuple[str, int], set[str]] = {}
    for post in posts:
        ids.setdefault((post.chain_id, post.generation), set()).add(post.webhook_id)
    return ids
