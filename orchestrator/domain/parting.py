"""The history in parts: all events of a chain belong to one (DESIGN §5).

So each part can be written by a worker of its own, and a chain's events keep their order.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

#: How many there may be; what they share is the database.
PARTS_MAX: Final = 32


def part_of(event_id: str, parts: int) -> int:
    """The part of an event: by its chain, with which its id begins (`Slot.event_id`).

    Every process has to come to the same, also in years, so it is no `hash`. Events of
    endpoints are all in one part.
    """
    subject, _, _ = event_id.partition("-")
    return crc32(subject.encode(errors="replace")) % parts
