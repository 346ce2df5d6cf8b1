"""A store that also knows what each session was before: for the fault *stale read*."""

from collections.abc import Iterable

from orchestrator.sandbox.sessions import Session
from orchestrator.sandbox.store import Listener, SessionStore


class RememberingStore(SessionStore):
    """The sessions, and what each was before its last change."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        super().__init__(listeners)
        self._before: dict[str, Session] = {}

    def before(self, session: Session) -> Session | None:
        """The state before the last change, if there was one."""
        return self._before.get(session.client_token)

    def commit(self, before: Session, after: Session) -> None:
        """Publish a change; what was there is remembered."""
        super().commit(before, after)
        self._before[before.client_token] = before

    def remove(self, session: Session) -> None:
        """Forget a session and its past."""
        super().remove(session)
        self._before.pop(session.client_token, None)
