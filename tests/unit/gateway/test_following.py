"""One poller per session for all who listen (irma.md §1.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from orchestrator.gateway.faults import Overloaded
from orchestrator.gateway.following import Following, Listener
from schemas.irma import Status

#: Between two looks in these tests.
POLL_S = 0.001
BOUND_S = 5.0
OPEN = b"event: open\n\n"


def data(status: str) -> bytes:
    """The frame of a status."""
    return f'data: "{status}"\n\n'.encode()


class Session:
    """A session that changes as it is looked at."""

    def __init__(self, *statuses: Status | None) -> None:
        self._statuses = list(statuses)
        self.looks = 0

    async def look(self) -> Status | None:
        """The next status; the last one stays."""
        status = self._statuses[min(self.looks, len(self._statuses) - 1)]
        self.looks += 1
        return status


async def never() -> Status | None:
    """Must not be asked."""
    raise AssertionError("there is a poller already")


def following(open_s: float = 60.0, listeners_max: int = 10) -> Following:
    """Nobody follows anything yet; `event: open` comes late enough not to be seen."""
    return Following(poll_s=POLL_S, open_s=open_s, listeners_max=listeners_max)


async def rest(frames: AsyncGenerator[bytes, None]) -> Sequence[bytes]:
    """All frames up to the end."""
    async with asyncio.timeout(BOUND_S), aclosing(frames):
        return [frame async for frame in frames]


async def first(frames: AsyncGenerator[bytes, None]) -> bytes:
    """The next frame."""
    async with asyncio.timeout(BOUND_S):
        return await anext(frames)


@pytest.mark.trap("T37")
async def test_only_changes_are_told() -> None:
    """Neither where the session stands at first nor what stays as it is."""
    session = Session(
        Status.INITIALIZED,
        Status.INITIALIZED,
        Status.CONNECTED,
        Status.CONNECTED,
        Status.DONE,
    )
    frames = following().frames("s", Status.INITIALIZED, session.look)
    assert await rest(frames) == [data("CONNECTED"), data("DONE")]
    assert session.looks == 5


@pytest.mark.parametrize("final", [Status.DONE, Status.CANCELLED, Status.TIMEOUT])
async def test_the_final_status_is_the_last(final: Status) -> None:
    """A timeout is pushed like the others; then the stream ends and nobody polls."""
    followed = following()
    session = Session(final)
    assert await rest(followed.frames("s", Status.PAIRING, session.look)) == [data(final)]
    assert (followed.listeners, session.looks) == (0, 1)


async def test_what_is_not_known_just_now_is_waited_out() -> None:
    """A backend that is away, or that forgot what will time out."""
    session = Session(None, None, Status.TIMEOUT)
    frames = following().frames("s", Status.CONNECTED, session.look)
    assert await rest(frames) == [data("TIMEOUT")]


async def test_all_who_listen_share_one_poller() -> None:
    """Each look is for everybody; the poller of the first asks for all."""
    followed = following()
    session = Session(Status.INITIALIZED, Status.CONNECTED, Status.DONE)
    one = asyncio.ensure_future(
        rest(followed.frames("s", Status.INITIALIZED, session.look))
    )
    two = asyncio.ensure_future(rest(followed.frames("s", Status.INITIALIZED, never)))
    assert await one == await two == [data("CONNECTED"), data("DONE")]
    assert session.looks == 3


async def test_sessions_are_followed_apart() -> None:
    """Each has its own poller."""
    followed = following()
    one, two = Session(Status.DONE), Session(Status.CANCELLED)
    frames = [
        followed.frames(key, Status.CONNECTED, session.look)
        for key, session in {"one": one, "two": two}.items()
    ]
    both = await asyncio.gather(*map(rest, frames))
    assert both == [[data("DONE")], [data("CANCELLED")]]


async def test_a_change_between_look_and_listening_is_told() -> None:
    """Whoever joins a poller with an older look hears of what that has seen since."""
    followed = following()
    session = Session(Status.CONNECTED)
    early = followed.frames("s", Status.INITIALIZED, session.look)
    assert await first(early) == data("CONNECTED")
    late = followed.frames("s", Status.INITIALIZED, never)
    assert await first(late) == data("CONNECTED")
    await early.aclose()
    await late.aclose()


async def test_the_poller_stops_with_the_last_listener() -> None:
    """Nobody is asked for nobody."""
    followed = following()
    session = Session(Status.CONNECTED)
    one = followed.frames("s", Status.INITIALIZED, session.look)
    two = followed.frames("s", Status.INITIALIZED, never)
    assert await first(one) == await first(two) == data("CONNECTED")
    poller = followed._sessions["s"].poller
    assert poller is not None
    await one.aclose()
    assert (followed.listeners, poller.cancelling()) == (1, 0)
    await two.aclose()
    async with asyncio.timeout(BOUND_S):
        await asyncio.wait({poller})
    assert poller.cancelled()
    assert followed.listeners == 0


async def test_everybody_hears_that_somebody_came() -> None:
    """`event: open` without data goes to all listeners of the session, each time."""
    followed = following(open_s=0.0)
    session = Session(Status.INITIALIZED)
    one = followed.frames("s", Status.INITIALIZED, session.look)
    assert await first(one) == OPEN
    two = followed.frames("s", Status.INITIALIZED, never)
    assert await first(two) == await first(one) == OPEN
    await one.aclose()
    await two.aclose()


async def test_only_so_many_may_listen_in_one_process() -> None:
    """Each costs calls to the backend; the others are told so (G8)."""
    followed = following(listeners_max=1)
    place = followed.admit("s")
    with pytest.raises(Overloaded):
        followed.admit("other")
    place.free()
    place.free()
    followed.admit("other")
    with pytest.raises(Overloaded):
        followed.admit("s")


async def test_one_session_keeps_nobody_else_out() -> None:
    """Who knows one token takes only so many places."""
    followed = Following(listeners_max=3, each_max=2)
    for _ in range(2):
        followed.admit("s")
    with pytest.raises(Overloaded):
        followed.admit("s")
    followed.admit("other")


async def test_who_does_not_read_piles_nothing_up() -> None:
    """What may get lost gets lost; a status does not."""
    listener = Listener(Status.INITIALIZED)
    for _ in range(100):
        listener.tell(None)
    listener.tell(Status.DONE)
    frames = await rest(listener.frames())
    assert len(frames) < 20
    assert frames[-1] == data("DONE")


async def test_a_poller_that_fails_leaves_nobody_waiting() -> None:
    """A defect stands in the log by its type; the streams end, who listens comes back."""
    followed = following()

    async def broken() -> Status | None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        assert await rest(followed.frames("s", Status.INITIALIZED, broken)) == []
    assert [(line["event"], line["error"]) for line in logs] == [
        ("following.failed", "ZeroDivisionError")
    ]
    assert followed.listeners == 0
