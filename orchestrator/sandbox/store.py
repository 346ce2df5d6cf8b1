"""Where sessions are kept: in memory, found by either token (reference irma.md §4.3)."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from orchestrator.sandbox.faults import LostUpdate
from orchestrator.sandbox.sessions import Session

#: Told of every change, once it is stored.
Listener: TypeAlias = Callable[[Session], None]


class SessionStore:
    """The sessions, by both their tokens; the later of two writers loses."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self.listeners: list[Listener] = list(listeners)
        self._by_client: dict[str, Session] = {}
        self._client_tokens: dict[str, str] = {}

    def add(self, session: Session) -> None:
        """Take in a new session."""
        self._by_client[session.client_token] = session
        self._client_tokens[session.requestor_token] = session.client_token

    def by_client(self, token: str) -> Session | None:
        """The session an app or a browser means."""
        return self._by_client.get(token)

    def by_requestor(self, token: str) -> Session | None:
        """The session a requestor means."""
        return self._by_client.get(self._client_tokens.get(token, ""))

    def commit(self, before: Session, after: Session) -> None:
        """Publish a change, unless the session changed since it was read."""
        if self._by_client.get(before.client_token) is not before:
            raise LostUpdate
        self._by_client[before.client_token] = after
        for tell in self.listeners:
            tell(after)

    def remove(self, session: Session) -> None:
        """Forget a session."""
        del self._by_client[session.client_token]
        del self._client_tokens[session.requestor_token]

    def all(self) -> list[Session]:
        """Every session there is, safe against changes meanwhile."""
        return list(self._by_client.values())
