"""An IRMA server as the hand-over's model needs it: what it stores, and when.

Sessions change only when a handler of the server ends; until then it works on a copy, and
of two writers the later one loses (reference irma.md §4, §7, §8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.chain import Slot
from orchestrator.domain.lookup import Lookup

#: `max_session_lifetime` and `session_result_lifetime`.
LIFETIME: Final = timedelta(minutes=15)
KEPT: Final = timedelta(minutes=5)

#: How long a handler waits for the bridge, all its attempts together, and works in all.
ASKS_FOR: Final = timedelta(seconds=20)
WORKS_FOR: Final = timedelta(seconds=45)

FINAL: Final = frozenset({"DONE", "CANCELLED", "TIMEOUT"})


@dataclass
class Session:
    """A stored session; `reachable` once somebody was given its pointer."""

    token: str
    slot: Slot
    chained: bool
    timeout: timedelta
    active_at: datetime
    status: str = "INITIALIZED"
    next_token: str | None = None
    version: int = 0
    reachable: bool = False
    lost: bool = False
    kept: timedelta = KEPT

    def timed_out(self, now: datetime) -> bool:
        """Whether it is TIMEOUT when looked at: that is never stored."""
        if self.status in FINAL:
            return False
        return now - self.active_at > self.limit

    @property
    def limit(self) -> timedelta:
        """How long nobody has to be heard of."""
        return (self.status == "INITIALIZED" and self.timeout) or LIFETIME

    def forgotten(self, now: datetime) -> bool:
        """Whether it was purged, or lost in a restart."""
        over = self.status in FINAL or self.timed_out(now)
        return self.lost or (over and now - self.active_at > self.kept)

    def alive(self, now: datetime) -> bool:
        """Whether a user who has its pointer could still use it."""
        return not (self.lost or self.status in FINAL or self.timed_out(now))

    def stored(self, now: datetime) -> Lookup:
        """What a look-up finds."""
        if self.forgotten(now):
            return Lookup(status=None)
        if self.timed_out(now):
            return Lookup(status="TIMEOUT")
        return Lookup(status=self.status, next_token=self.next_token)


@dataclass
class Handler:
    """The server at work on a copy of a session, between the proofs and its store."""

    token: str
    version: int
    begun_at: datetime
    #: The bridge POST that it waits for, until it has an answer.
    bridge: int | None
    next_token: str | None = None


@dataclass
class IrmaServer:
    """All sessions, by their requestor tokens, and the handlers at work."""

    sessions: dict[str, Session] = field(default_factory=dict)
    handlers: list[Handler] = field(default_factory=list)

    def start(
        self, slot: Slot, now: datetime, *, chained: bool, timeout_s: int
    ) -> Session:
        """A new session, which nobody has been told of."""
        session = Session(
            token=f"t{len(self.sessions) + 1}",
            slot=slot,
            chained=chained,
            timeout=timedelta(seconds=timeout_s),
            active_at=now,
        )
        self.sessions[session.token] = session
        return session

    def alive(self, now: datetime) -> list[Session]:
        """The sessions that users can use."""
        return [s for s in self.sessions.values() if s.reachable and s.alive(now)]

    def at_work(self, token: str) -> bool:
        """Whether a handler has a copy of this session."""
        return any(handler.token == token for handler in self.handlers)

    def connect(self, session: Session, now: datetime) -> None:
        """The app comes for the request: from now on it has the whole lifetime."""
        if session.status == "INITIALIZED":
            session.status = "CONNECTED"
            session.active_at = now
            session.version += 1

    def cancel(self, session: Session, now: datetime) -> None:
        """A DELETE that is stored."""
        session.status = "CANCELLED"
        session.active_at = now
        session.version += 1

    def store(self, handler: Handler) -> bool:
        """The handler ends: DONE with its next session, unless another wrote before."""
        self.handlers.remove(handler)
        session = self.sessions[handler.token]
        if session.version != handler.version or session.lost:
            return False
        session.status = "DONE"
        session.active_at = handler.begun_at
        session.version += 1
        session.next_token = handler.next_token
        if handler.next_token is not None:
            self.sessions[handler.next_token].reachable = True
        return True

    def restart(self) -> None:
        """Everything is forgotten, and nobody is at work."""
        self.handlers.clear()
        for session in self.sessions.values():
            session.lost = True

    def age(self, now: datetime) -> None:
        """Handlers that are over time give up without storing anything."""
        self.handlers = [
            handler
            for handler in self.handlers
            if now - handler.begun_at
            <= (WORKS_FOR if handler.bridge is None else ASKS_FOR)
        ]
