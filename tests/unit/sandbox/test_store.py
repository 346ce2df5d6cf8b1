"""How the pretend server keeps its sessions."""

from dataclasses import replace

import pytest

from orchestrator.sandbox import sessions
from orchestrator.sandbox.faults import LostUpdate
from orchestrator.sandbox.sessions import Session
from orchestrator.sandbox.store import SessionStore
from schemas.irma import Status, session_request_from


def session() -> Session:
    """A new session with the tokens token1 (requestor), token2 (client), token3."""
    tokens = iter(["token1", "token2", "token3"])
    request = session_request_from(
        {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[["irma-demo.RU.studentCard.studentID"]]],
        }
    )
    return sessions.new_session(request, "", 0.0, lambda: next(tokens))


def test_later_writer_loses() -> None:
    """Of two changes that began with the same session, the second is refused."""
    store = SessionStore()
    before = session()
    store.add(before)
    first, second = sessions.done(before, None), sessions.cancelled(before, 1.0)
    store.commit(before, first)
    with pytest.raises(LostUpdate):
        store.commit(before, second)
    assert store.by_client("token2") is first
    assert store.by_requestor("token1") is first


def test_forgotten_session_is_unknown() -> None:
    """A removed session is found by neither token."""
    store = SessionStore()
    begun = session()
    store.add(begun)
    store.remove(begun)
    assert store.by_client("token2") is None
    assert store.by_requestor("token1") is None
    assert store.all() == []


def test_changes_are_told_once_stored() -> None:
    """Who listens hears what is stored, not what is lost."""
    heard: list[Session] = []
    store = SessionStore([heard.append])
    before = session()
    store.add(before)
    after = replace(before, status=Status.CONNECTED)
    store.commit(before, after)
    with pytest.raises(LostUpdate):
        store.commit(before, replace(before, status=Status.CANCELLED))
    assert heard == [after]
