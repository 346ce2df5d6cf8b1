"""Which events somebody wants to be told of, by patterns such as `session.*`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.domain.errors import NotConfigured
from schemas.contract import EVENT_TYPES
from schemas.events import EndpointChanged

#: As many patterns as there could be any use for.
PATTERNS_MAX: Final = 50

#: What happens in chains; what happens to endpoints is for operators.
CHAIN_TYPES: Final = tuple(
    name for name, model in EVENT_TYPES.items() if model is not EndpointChanged
)

_PATTERN: Final = re.compile(r"\*|([a-z]+|\*)\.([a-z]+|\*)")


def read_type_pattern(text: str, known: Iterable[str] = CHAIN_TYPES) -> str:
    """A pattern that some type of event matches: `session.*`, `chain.failed`, `*`.

    Raises:
        NotConfigured: none does, or it is no pattern at all; what there is is told.
    """
    if _PATTERN.fullmatch(text) is None:
        raise NotConfigured(
            "an event type looks like session.*, *.failed or chain.failed"
        )
    if not any(matches(text, name) for name in known):
        raise NotConfigured(f"there is no event type {text}: {', '.join(known)}")
    return text


def matches(pattern: str, event_type: str) -> bool:
    """Whether a type is one of those that a pattern stands for."""
    if pattern == "*":
        return True
    group, _, name = pattern.partition(".")
    its_group, _, its_name = event_type.partition(".")
    return group in {"*", its_group} and name in {"*", its_name}


@dataclass(frozen=True)
class Wanted:
    """The types that somebody asked for; without any pattern, all of them."""

    patterns: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str | None) -> Wanted:
        """Patterns with commas between them.

        Raises:
            NotConfigured: one of them stands for nothing, or there are too many.
        """
        names = [] if text is None else [part.strip() for part in text.split(",")]
        if len(names) > PATTERNS_MAX:
            raise NotConfigured(f"more than {PATTERNS_MAX} event types")
        return cls(tuple(read_type_pattern(name) for name in names))

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return not self.patterns or "*" in self.patterns

    def takes(self, event_type: str) -> bool:
        """Whether an event of this type is wanted."""
        return self.all or any(matches(one, event_type) for one in self.patterns)


@dataclass(frozen=True, kw_only=True)
class EventUrl:
    """Where a requestor wants its events POSTed, and which; the URL's path is secret."""

    url: str = field(repr=False)
    wanted: Wanted = field(default_factory=Wanted)


#: By the key of the requestor.
EventUrls = Mapping[str, EventUrl]
