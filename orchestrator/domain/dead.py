"""What is known of a message in `dead`: from its burial by us, or the broker's own note.

We bury what cannot be handled as a copy with headers that say why (DESIGN §5). The broker
moves what was rejected or delivered too often, and says so in `x-death`. A copy of ours
has no `x-*`, so only one of the two is ever there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

#: The headers by which we bury, and by which a requeued message remembers.
REASON: Final = "reason"
QUEUE: Final = "queue"
FIRST_DIED_AT: Final = "first-died-at"
DIED_AT: Final = "died-at"
DELIVERIES: Final = "deliveries"
REQUEUED: Final = "requeued"

#: What is said of one death only; a requeued message does not take it along.
_OF_ONE_DEATH: Final = frozenset({REASON, QUEUE, DIED_AT, DELIVERIES})

#: One more than this still fits into any header.
_COUNT_MAX: Final = 1_000_000_000

_HASH_CHARS: Final = 12
_ID: Final = re.compile(rf"(?P<message>[^~]*)~[0-9a-f]{{{_HASH_CHARS}}}")

#: Foreign message ids are not in ids of letters as they are.
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class Death:
    """One entry of `x-death`: how often and why a queue gave the message up."""

    queue: str
    reason: str
    count: int
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What lists show of a message in `dead`.

    Attributes:
        id: stable while the message lies there and looks the same after a repeat.
        message_id: as its sender gave it; one message may die more than once.
        queue: where it came from, if that is known.
        reason: why it is here, in our words or the broker's.
        first_died_at: the first time, however often it was requeued since.
        died_at: the last time.
        deliveries: to workers, before it was given up.
        requeued: how often operators have sent it back.
        deaths: the broker's own history.
        headers: ours, never `x-*`.
        body_bytes: the length of its body.
        body_sha256: the hash of its body.
    """

    id: str
    message_id: str
    queue: str | None
    reason: str | None
    first_died_at: datetime | None
    died_at: datetime | None
    deliveries: int | None
    requeued: int
    deaths: tuple[Death, ...]
    headers: Mapping[str, str | int]
    content_type: str | None
    body_bytes: int
    body_sha256: str


def dead_letter(
    message_id: str,
    body: bytes,
    headers: Mapping[str, str | int],
    deaths: Sequence[Death],
    content_type: str | None = None,
) -> DeadLetter:
    """Read a message that lies in `dead`."""
    digest = hashlib.sha256(body).hexdigest()
    last = deaths[0] if deaths else None
    died_at = last.at if last else _time(headers.get(DIED_AT))
    times = [death.at for death in deaths if death.at is not None]
    queue, reason = (
        (last.queue, last.reason)
        if last
        else (_text(headers.get(QUEUE)), _text(headers.get(REASON)))
    )
    return DeadLetter(
        id=letter_id(message_id, digest),
        message_id=message_id,
        queue=queue,
        reason=reason,
        first_died_at=_time(headers.get(FIRST_DIED_AT)) or min(times, default=died_at),
        died_at=died_at,
        deliveries=_number(headers.get(DELIVERIES)),
        requeued=_number(headers.get(REQUEUED)) or 0,
        deaths=tuple(deaths),
        headers=headers,
        content_type=content_type,
        body_bytes=len(body),
        body_sha256=digest,
    )


def letter_id(message_id: str, digest: str) -> str:
    """Message id and the start of the body's hash; either alone tells too little."""
    plain = message_id if _PLAIN_ID.fullmatch(message_id) else ""
    return f"{plain}~{digest[:_HASH_CHARS]}"


def is_letter_id(text: str) -> bool:
    """Whether this could name a letter."""
    found = _ID.fullmatch(text)
    return found is not None and (
        not found["message"] or _PLAIN_ID.fullmatch(found["message"]) is not None
    )


def remembered(letter: DeadLetter) -> dict[str, str | int]:
    """The headers of a requeued message: its own, when it first died, how often."""
    own = {
        name: value for name, value in letter.headers.items() if name not in _OF_ONE_DEATH
    }
    if letter.first_died_at is not None:
        own[FIRST_DIED_AT] = told_time(letter.first_died_at)
    return own | {REQUEUED: letter.requeued + 1}


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose a letter is, as far as its body says so."""

    requestor: str | None = None
    chain_id: str | None = None


#: Its body cannot be decoded, or it is nobody's.
NOBODY: Final = Owner()


@dataclass(frozen=True, kw_only=True)
class DeadFilter:
    """Which letters are meant; what is None does not matter.

    Attributes:
        queue: where they came from.
        reason: words in their reason, in any case.
        requestor: whose chains, by its key.
        chain_ids: which chains.
        since: the last time they died, at the earliest.
        until: the same, and before then.
    """

    queue: str | None = None
    reason: str | None = None
    requestor: str | None = None
    chain_ids: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether every letter is meant."""
        return self == DeadFilter()

    def takes(self, letter: DeadLetter, owner: Owner = NOBODY) -> bool:
        """Whether this letter is meant."""
        if self.queue is not None and letter.queue != self.queue:
            return False
        if self.reason is not None and (
            self.reason.lower() not in (letter.reason or "").lower()
        ):
            return False
        if self.requestor is not None and owner.requestor != self.requestor:
            return False
        if self.chain_ids is not None and owner.chain_id not in self.chain_ids:
            return False
        return self._within(letter.died_at)

    def _within(self, died_at: datetime | None) -> bool:
        """Of what does not tell its time nobody knows."""
        if self.since is None and self.until is None:
            return True
        if died_at is None or (self.since is not None and died_at < self.since):
            return False
        return self.until is None or died_at < self.until


def told_time(time: datetime) -> str:
    """A time as headers have it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _time(value: str | int | None) -> datetime | None:
    """A header's time; what is none, has no zone, or is none in UTC tells nothing."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time.astimezone(UTC) if time is not None and time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _text(value: str | int | None) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: str | int | None) -> int | None:
    """A header's count; anybody can write one that is none."""
    return value if isinstance(value, int) and 0 <= value <= _COUNT_MAX else None
