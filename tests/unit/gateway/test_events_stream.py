"""Events by server-sent events: a requestor's own, complete and in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.gateway import faults
from orchestrator.gateway.events_stream import PAGE, EventsWatch, Whose
from orchestrator.gateway.events_stream_api import events_stream_routes
from orchestrator.ports import Recorded
from orchestrator.work import event_work
from schemas.events import (
    CallbackAnswered,
    CallbackAnsweredData,
    CallbackParked,
    CallbackParkedData,
    CallbackRetrying,
    CallbackRetryingData,
    ChainEnded,
    ChainEndedData,
    ChainReplayed,
    ChainReplayedData,
    EndpointChanged,
    EndpointChangedData,
    Event,
    Purpose,
    SessionStarted,
    dump_event,
    parse_event,
)
from schemas.messages import End
from tests.support.asgi import Answer, Stream, call, streamed
from tests.support.events import envelope, started
from tests.support.samples import CALLBACK, NOW, SECRET, result_of
from tests.support.workshop import Begun, Workshop

#: How long anything that has to come may take on a busy machine.
BOUND_S = 10.0

CREDENTIALS = {"Authorization": SECRET}


def failed(event_id: str, chain: str) -> Event:
    """The end of a chain."""
    return ChainEnded(
        type="chain.failed",
        **envelope(event_id, chain, step=2),
        data=ChainEndedData(steps=1, duration_s=1.0),
    )


def replayed(event_id: str, chain: str) -> Event:
    """A chain goes on."""
    return ChainReplayed(
        id=event_id,
        subject=chain,
        time=NOW,
        chainid=chain,
        step=2,
        generation=1,
        requestor="acme",
        data=ChainReplayedData(again="callback", ended="failed"),
    )


def of_an_endpoint(event_id: str) -> Event:
    """What only operators are told."""
    return EndpointChanged(
        type="endpoint.paused",
        id=event_id,
        subject="https://shop.example:443",
        time=NOW,
        data=EndpointChangedData(
            state="closed", paused=True, trips=0, attempts=0, failures=0
        ),
    )


@dataclass
class Listener:
    """Reads frames as an EventSource does."""

    stream: Stream
    last_id: str = ""

    async def events(self, count: int) -> list[Event]:
        """The next events; signs of life are passed over."""
        found: list[Event] = []
        while len(found) < count:
            part = await self.stream.part()
            assert part is not None, "the stream has ended"
            found += self._read(part)
        assert len(found) == count, "more than were asked for"
        return found

    async def rest(self) -> list[Event]:
        """All events up to the end of the stream."""
        found: list[Event] = []
        while (part := await self.stream.part()) is not None:
            found += self._read(part)
        return found

    async def begun(self) -> None:
        """Take the first frame, which leaves an id with the listener."""
        part = await self.stream.part()
        assert part is not None
        assert self._read(part) == []

    async def moved_to(self, event_id: str) -> None:
        """Wait for this id without an event."""
        while self.last_id != event_id:
            part = await self.stream.part()
            assert part is not None, "the stream has ended"
            assert self._read(part) == []

    def _read(self, part: bytes) -> list[Event]:
        found = []
        for frame in part.decode().removesuffix("\n\n").split("\n\n"):
            named = dict(
                line.split(": ", 1) for line in frame.split("\n") if line[0] > ":"
            )
            self.last_id = named.get("id", self.last_id)
            if "data" in named:
                event = parse_event(named["data"].encode())
                assert event.id == self.last_id
                found.append(event)
        return found


@asynccontextmanager
async def listening(
    app: FastAPI, path: str = "/events", last_id: str | None = None
) -> AsyncIterator[Listener]:
    """A stream that has begun."""
    headers = CREDENTIALS if last_id is None else CREDENTIALS | {"Last-Event-ID": last_id}
    async with streamed(app, path, headers) as stream:
        assert stream.status == 200
        listener = Listener(stream)
        await listener.begun()
        yield listener


def quick(
    workshop: Workshop,
    *,
    quiet_s: float = 15.0,
    each_max: int = 50,
    no_auth: bool = False,
) -> FastAPI:
    """Its streams alone, that look often."""
    desk = workshop.desk(no_auth=no_auth)
    watch = EventsWatch(desk, look_s=0.01, quiet_s=quiet_s, each_max=each_max)
    app = FastAPI()
    faults.install(app)
    app.include_router(events_stream_routes(desk, watch))
    return app


def ids(events: Sequence[Event]) -> list[str]:
    """Which they are."""
    return [event.id for event in events]


async def get(app: FastAPI, path: str, last_id: str = "") -> Answer:
    """An answer that is not a stream."""
    headers = CREDENTIALS | {"Last-Event-ID": last_id}
    return await call(app, "GET", path, headers=headers)


# --------------------------------------------------------------------- all events


async def test_what_happens_is_told_as_it_is_written(workshop: Workshop) -> None:
    """Nothing of before is told to who does not ask for it."""
    await workshop.store.append_events([started("a")])
    async with listening(quick(workshop)) as listener:
        written = await workshop.store.append_events([started("b"), started("c")])
        assert await listener.events(2) == written


async def test_the_answer_is_a_stream_that_nobody_keeps(workshop: Workshop) -> None:
    """Its type is that of server-sent events."""
    async with streamed(workshop.gateway, "/events", CREDENTIALS) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"


async def test_others_events_are_not_told(workshop: Workshop) -> None:
    """Neither those of other requestors nor those of endpoints."""
    async with listening(quick(workshop)) as listener:
        await workshop.store.append_events(
            [started("x", chain="C9", requestor="other"), of_an_endpoint("p")]
        )
        await workshop.store.append_events([started("a")])
        assert ids(await listener.events(1)) == ["a"]


async def test_who_comes_back_gets_what_it_has_missed(workshop: Workshop) -> None:
    """All of it, however much that is, and nothing twice."""
    many = [started(f"e{n}", chain=f"C{n % 7}") for n in range(3 * PAGE + 5)]
    written = await workshop.store.append_events(many)
    async with listening(quick(workshop), last_id="e9") as listener:
        assert await listener.events(len(written) - 10) == written[10:]
        more = await workshop.store.append_events([started("new")])
        assert await listener.events(1) == more


async def test_who_is_cut_off_before_the_first_event_misses_nothing(
    workshop: Workshop,
) -> None:
    """The stream begins with an id that leads back to the same place."""
    app = quick(workshop)
    await workshop.store.append_events([started("a")])
    async with listening(app) as listener:
        place = listener.last_id
    await workshop.store.append_events([started("b")])
    async with listening(app, last_id=place) as listener:
        assert ids(await listener.events(1)) == ["b"]
    assert place == "a"


async def test_who_has_no_events_yet_can_come_back_too(workshop: Workshop) -> None:
    """Before the first event there is a place as well."""
    app = quick(workshop)
    await workshop.store.append_events([started("x", chain="C9", requestor="other")])
    async with listening(app) as listener:
        place = listener.last_id
    await workshop.store.append_events([started("a")])
    async with listening(app, last_id=place) as listener:
        assert ids(await listener.events(1)) == ["a"]
    assert place == "start"


async def test_the_whole_history_can_be_asked_for(workshop: Workshop) -> None:
    """By the address as well, for who cannot set a header; the header goes before it."""
    app = quick(workshop)
    await workshop.store.append_events([started("a"), started("b")])
    async with listening(app, "/events?after=start") as listener:
        assert ids(await listener.events(2)) == ["a", "b"]
    async with listening(app, "/events?after=start", last_id="a") as listener:
        assert ids(await listener.events(1)) == ["b"]


@pytest.mark.parametrize(
    "types", ["type=chain.*,callback.failed", "type=chain.*&type=callback.failed"]
)
async def test_types_can_be_chosen(workshop: Workshop, types: str) -> None:
    """By patterns, also one by one; what is left out is not missed on the way back."""
    app = quick(workshop)
    await workshop.store.append_events([started("a"), failed("f", "C1"), started("b")])
    path = f"/events?{types}&after=start"
    async with listening(app, path) as listener:
        assert ids(await listener.events(1)) == ["f"]
        await workshop.store.append_events([started("c"), failed("g", "C2")])
        assert ids(await listener.events(1)) == ["g"]


async def test_the_place_moves_over_what_is_not_asked_for(workshop: Workshop) -> None:
    """Who waits for what is rare does not read everything again at each return."""
    app = quick(workshop)
    path = "/events?type=chain.*&after=start"
    async with listening(app, path) as listener:
        await workshop.store.append_events([started("a")])
        await listener.moved_to("a")
        await workshop.store.append_events([failed("f", "C1"), started("b")])
        assert ids(await listener.events(1)) == ["f"]
        assert listener.last_id == "b"
        await workshop.store.append_events([started("c"), failed("g", "C2")])
        assert ids(await listener.events(1)) == ["g"]
        assert listener.last_id == "g"


@pytest.mark.parametrize("named", ["x", "never", "a b", "ä", "a" * 201])
async def test_an_event_that_is_not_there_is_an_error(
    workshop: Workshop, named: str
) -> None:
    """Nobody knows what follows it, so what is left out would not be noticed."""
    await workshop.store.append_events([started("x", chain="C9", requestor="other")])
    answer = await call(
        quick(workshop),
        "GET",
        "/events",
        headers=CREDENTIALS | {"Last-Event-ID": named},
    )
    assert (answer.status, answer.headers["content-type"]) == (
        400,
        "application/problem+json",
    )
    assert "Last-Event-ID" in str(answer.fields["detail"])


@pytest.mark.parametrize(
    "types, said",
    [
        ("session.begun", "there is no event type session.begun"),
        ("endpoint.*", "there is no event type endpoint.*"),
        ("session", "an event type looks like"),
        ("", "an event type looks like"),
        (",".join(["*"] * 51), "more than 50"),
    ],
)
async def test_a_type_that_does_not_exist_is_an_error(
    workshop: Workshop, types: str, said: str
) -> None:
    """Nothing would ever be told."""
    answer = await get(quick(workshop), f"/events?type={types}")
    assert answer.status == 400
    assert said in str(answer.fields["detail"])


@pytest.mark.parametrize("path", ["/events", "/chains/C1/events"])
async def test_who_is_not_known_is_told_nothing(workshop: Workshop, path: str) -> None:
    """As at the rest of the chain API."""
    answer = await call(quick(workshop), "GET", path)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_requestor_has_a_number_of_places(workshop: Workshop) -> None:
    """Whoever is too much comes back later; a place that is left is free again."""
    app = quick(workshop, each_max=1)
    async with listening(app):
        answer = await get(app, "/events")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    async with listening(app):
        pass


async def test_a_silent_stream_shows_that_it_is_alive(workshop: Workshop) -> None:
    """Or a proxy would cut it."""
    async with listening(quick(workshop, quiet_s=0.01)) as listener:
        assert await listener.stream.part() == b":\n\n"


async def test_streams_end_with_the_server(workshop: Workshop) -> None:
    """None keeps the process from stopping (G9)."""
    desk = workshop.desk()
    app = FastAPI()
    app.include_router(events_stream_routes(desk))
    async with listening(app) as listener:
        desk.streams.close()
        assert await listener.rest() == []


@pytest.mark.parametrize("lost", ["recorded", "recorded_since"])
async def test_a_stream_outlives_the_database(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Nobody is cut off, and what was written meanwhile is told when it can be read."""
    monkeypatch.setattr("orchestrator.gateway.events_stream.AGAIN_S", 0.01)
    asked = asyncio.Event()

    async def away(*_: object, **__: object) -> None:
        asked.set()
        raise StoreUnavailable("the database is away")

    async with listening(quick(workshop)) as listener:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(workshop.store, lost, away)
            await workshop.store.append_events([started("a")])
            async with asyncio.timeout(BOUND_S):
                await asked.wait()
        assert ids(await listener.events(1)) == ["a"]


# ----------------------------------------------------------------- one chain's events


async def a_chain(workshop: Workshop) -> tuple[str, list[Event]]:
    """A chain of the requestor's that runs, and its events."""
    begun = await workshop.begin()
    return begun.id, await workshop.store.append_events(
        [started(f"{begun.id}-{n}", chain=begun.id) for n in range(3)]
    )


async def ended(workshop: Workshop) -> Begun:
    """A chain of the requestor's that has ended, a while ago; its session has not."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.FAILED)
    workshop.clock.advance(60.0)
    return begun


async def told(workshop: Workshop, begun: Begun) -> list[Event]:
    """Its events."""
    return await workshop.store.append_events(
        [
            started(f"{begun.id}-a", chain=begun.id),
            failed(f"{begun.id}-b", begun.id),
            started(f"{begun.id}-c", chain=begun.id),
        ]
    )


async def session_over(workshop: Workshop, begun: Begun) -> None:
    """Its session has ended, too; that is said nowhere else."""
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    await workshop.store.drop_waiting(await workshop.waiting())


async def over(workshop: Workshop) -> tuple[str, list[Event]]:
    """A chain of the requestor's of which nothing is to come, and its events."""
    begun = await ended(workshop)
    await session_over(workshop, begun)
    return begun.id, await told(workshop, begun)


async def test_a_chain_is_told_from_its_beginning(workshop: Workshop) -> None:
    """Then as it goes on; no other chain's events are among them."""
    chain_id, written = await a_chain(workshop)
    async with listening(quick(workshop), f"/chains/{chain_id}/events") as listener:
        assert await listener.events(3) == written
        await workshop.store.append_events([started("elsewhere")])
        more = await workshop.store.append_events([started("m", chain=chain_id)])
        assert await listener.events(1) == more
        assert [event.sequence for event in [*written, *more]] == [1, 2, 3, 4]


async def test_a_chain_can_be_resumed_in_the_middle(workshop: Workshop) -> None:
    """What follows the event that is named, and nothing else."""
    chain_id, written = await a_chain(workshop)
    path = f"/chains/{chain_id}/events"
    async with listening(quick(workshop), path, written[0].id) as listener:
        assert await listener.events(2) == written[1:]


async def test_a_stream_ends_some_time_after_its_chain(workshop: Workshop) -> None:
    """With all that came after the end; who then comes back need not come again."""
    app = quick(workshop, quiet_s=0.05)
    chain_id, written = await over(workshop)
    path = f"/chains/{chain_id}/events"
    async with listening(app, path) as listener:
        assert await listener.rest() == written
    answer = await get(app, path, written[-1].id)
    assert (answer.status, answer.body) == (204, b"")


async def test_who_has_not_had_the_end_is_told_it(workshop: Workshop) -> None:
    """That the chain has ended does not mean that everything was told."""
    app = quick(workshop, quiet_s=0.05)
    chain_id, written = await over(workshop)
    path = f"/chains/{chain_id}/events"
    async with listening(app, path, written[1].id) as listener:
        assert await listener.rest() == written[2:]
    async with listening(app, path + "?type=chain.*") as listener:
        assert await listener.rest() == [written[1]]


async def test_who_picks_types_also_hears_that_a_chain_is_over(
    workshop: Workshop,
) -> None:
    """The last event was not asked for; its id is left, so there is nothing to come."""
    app = quick(workshop, quiet_s=0.05)
    chain_id, written = await over(workshop)
    path = f"/chains/{chain_id}/events?type=chain.*"
    async with listening(app, path) as listener:
        assert await listener.rest() == [written[1]]
        last = listener.last_id
    answer = await get(app, path, last)
    assert (answer.status, last) == (204, written[-1].id)


async def test_who_comes_back_is_not_led_back_by_what_is_left_out(
    workshop: Workshop,
) -> None:
    """A chain is read from its beginning, its listener stays where it was."""
    chain_id, written = await a_chain(workshop)
    path = f"/chains/{chain_id}/events?type=chain.*"
    async with listening(quick(workshop), path, written[-1].id) as listener:
        assert await listener.stream.part() == b":\n\n"
        assert listener.last_id == written[-1].id


async def test_an_end_that_is_not_written_yet_is_waited_for(workshop: Workshop) -> None:
    """The history may lag behind the chain's row."""
    app = quick(workshop, quiet_s=0.05)
    begun = await ended(workshop)
    await session_over(workshop, begun)
    await workshop.store.append_events([started("a", chain=begun.id)])
    path = f"/chains/{begun.id}/events"
    async with listening(app, path, "a") as listener:
        assert await listener.stream.part() == b":\n\n"
        end = await workshop.store.append_events([failed("f", begun.id)])
        assert await listener.rest() == end


async def test_a_replay_goes_on_after_the_end(workshop: Workshop) -> None:
    """A stream that was about to end does not."""
    app = quick(workshop, quiet_s=0.05)
    chain_id, written = await over(workshop)
    again = await workshop.store.append_events([replayed("r", chain_id)])
    async with listening(app, f"/chains/{chain_id}/events") as listener:
        assert await listener.events(4) == [*written, *again]
        assert await listener.stream.part() == b":\n\n"


def retrying(event_id: str, chain: str, purpose: Purpose = Purpose.NOTIFY) -> Event:
    """A callback was not answered."""
    return CallbackRetrying(
        **envelope(event_id, chain),
        data=CallbackRetryingData(
            endpoint="https://shop.example:443",
            purpose=purpose,
            attempt=1,
            clock="background",
            delay_ms=5000,
            next_at=NOW,
        ),
    )


def parked(event_id: str, chain: str) -> Event:
    """A notification is kept back."""
    return CallbackParked(
        **envelope(event_id, chain),
        data=CallbackParkedData(
            endpoint="https://shop.example:443",
            purpose=Purpose.NOTIFY,
            attempt=1,
            kept="open",
        ),
    )


def noted(event_id: str, chain: str) -> Event:
    """A notification was answered."""
    return CallbackAnswered(
        **envelope(event_id, chain),
        data=CallbackAnsweredData(
            endpoint="https://shop.example:443",
            purpose=Purpose.NOTIFY,
            attempt=2,
            status=200,
            duration_ms=7,
            answer="noted",
        ),
    )


async def still_told(app: FastAPI, chain_id: str, last_id: str) -> bool:
    """Whether who has had all of a chain gets a stream that goes on."""
    async with streamed(
        app, f"/chains/{chain_id}/events", CREDENTIALS | {"Last-Event-ID": last_id}
    ) as stream:
        if stream.status == 204:
            return False
        parts = [await stream.part() for _ in range(3)]
        return parts[1:] == [b":\n\n", b":\n\n"]


async def test_a_notification_that_waits_keeps_a_chain_open(workshop: Workshop) -> None:
    """What becomes of it is told, however late; then it is over."""
    app = quick(workshop, quiet_s=0.01)
    chain_id, written = await over(workshop)
    slot = Slot(chain_id=chain_id, step=1)
    work = workshop.callback(slot, "T", purpose=Purpose.NOTIFY)
    row = workshop.make.again(work, 60.0, NOW)
    await workshop.store.put_waiting(row)
    last_id = written[-1].id
    assert await still_told(app, chain_id, last_id)
    async with listening(app, f"/chains/{chain_id}/events", last_id) as listener:
        for _ in range(2):
            assert await listener.stream.part() == b":\n\n"
        await workshop.store.drop_waiting([row.id])
        more = await workshop.store.append_events([noted("n", chain_id)])
        assert await listener.events(1) == more
        workshop.clock.advance(31.0)
        assert await listener.rest() == []
    assert not await still_told(app, chain_id, "n")


async def test_what_has_waited_until_now_may_be_told_soon(workshop: Workshop) -> None:
    """It has just left its row, for a worker: the stream goes on for a while."""
    app = quick(workshop, quiet_s=0.01)
    chain_id, written = await over(workshop)
    slot = Slot(chain_id=chain_id, step=1)
    work = workshop.callback(slot, "T", purpose=Purpose.NOTIFY)
    row = workshop.make.again(work, 60.0, NOW)
    await workshop.store.put_waiting(row)
    path = f"/chains/{chain_id}/events"
    async with listening(app, path, written[-1].id) as listener:
        assert await listener.stream.part() == b":\n\n"
        assert await listener.stream.part() == b":\n\n"
        await workshop.store.drop_waiting([row.id])
        for _ in range(3):
            assert await listener.stream.part() == b":\n\n"
        workshop.clock.advance(31.0)
        assert await listener.rest() == []


async def test_a_session_that_has_not_ended_keeps_its_chain_open(
    workshop: Workshop,
) -> None:
    """Its end is found by a later look-up, and told."""
    app = quick(workshop, quiet_s=0.01)
    begun = await ended(workshop)
    await workshop.store.drop_waiting(await workshop.waiting())
    written = await told(workshop, begun)
    assert await still_told(app, begun.id, written[-1].id)
    await session_over(workshop, begun)
    assert not await still_told(app, begun.id, written[-1].id)


@pytest.mark.parametrize("untold", [retrying, parked])
async def test_a_notification_on_its_way_keeps_a_chain_open(
    workshop: Workshop, untold: Callable[[str, str], Event]
) -> None:
    """Its row is gone while it is POSTed; nothing of it was told yet."""
    app = quick(workshop, quiet_s=0.01)
    chain_id, _ = await over(workshop)
    await workshop.store.append_events([untold("r", chain_id)])
    assert await still_told(app, chain_id, "r")
    await workshop.store.append_events([noted("n", chain_id)])
    assert not await still_told(app, chain_id, "n")


async def test_a_chain_that_runs_again_is_not_over(workshop: Workshop) -> None:
    """Its row says so before the history tells that it was replayed."""
    app = quick(workshop, quiet_s=0.01)
    begun = await workshop.begin()
    workshop.clock.advance(60.0)
    await session_over(workshop, begun)
    assert (await workshop.chain(begun.id)).ended_at is None
    await told(workshop, begun)
    async with listening(app, f"/chains/{begun.id}/events") as listener:
        await listener.events(3)
        for _ in range(2):
            assert await listener.stream.part() == b":\n\n"


async def test_what_is_deleted_is_told_no_more(workshop: Workshop) -> None:
    """A chain that was erased owes nobody a notification."""
    app = quick(workshop, quiet_s=0.01)
    chain_id, _ = await over(workshop)
    await workshop.store.append_events([retrying("r", chain_id)])
    workshop.clock.advance(60.0)
    await workshop.store.purge(lambda _: workshop.clock(), limit=9)
    assert not await still_told(app, chain_id, "r")


async def test_a_callback_for_the_next_session_ends_with_its_chain(
    workshop: Workshop,
) -> None:
    """Nobody hears of it again once the chain has ended otherwise."""
    app = quick(workshop, quiet_s=0.01)
    chain_id, _ = await over(workshop)
    await workshop.store.append_events([retrying("r", chain_id, Purpose.NEXT)])
    assert not await still_told(app, chain_id, "r")


async def test_an_event_for_a_url_keeps_no_chain_open(workshop: Workshop) -> None:
    """No event tells how events are delivered, and that may take days."""
    app = quick(workshop, quiet_s=0.01)
    chain_id, written = await over(workshop)
    for one in written:
        assert isinstance(one, (SessionStarted, ChainEnded))
        work = event_work(one, dump_event(one), CALLBACK)
        await workshop.store.put_waiting(workshop.make.again(work, 60.0, NOW))
    assert len(await workshop.waiting()) == len(written)
    assert not await still_told(app, chain_id, written[-1].id)


async def test_what_waits_is_looked_through_page_by_page(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notification that waits behind many events for a URL counts as well."""
    monkeypatch.setattr("orchestrator.gateway.events_end._ROWS", 1)
    app = quick(workshop, quiet_s=0.01)
    chain_id, written = await over(workshop)
    (first, *_) = written
    assert isinstance(first, SessionStarted)
    event = event_work(first, dump_event(first), CALLBACK)
    slot = Slot(chain_id=chain_id, step=1)
    work = workshop.callback(slot, "T", purpose=Purpose.NOTIFY)
    await workshop.store.put_waiting(
        workshop.make.again(event, 5.0, NOW), workshop.make.again(work, 60.0, NOW)
    )
    assert await still_told(app, chain_id, written[-1].id)


async def test_who_comes_back_at_once_is_not_sent_away(workshop: Workshop) -> None:
    """The first attempt at a notification may be under way: nothing tells of it yet."""
    app = quick(workshop, quiet_s=0.01)
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.FAILED)
    await session_over(workshop, begun)
    written = await told(workshop, begun)
    assert await still_told(app, begun.id, written[-1].id)
    workshop.clock.advance(29.0)
    assert await still_told(app, begun.id, written[-1].id)
    workshop.clock.advance(2.0)
    assert not await still_told(app, begun.id, written[-1].id)


async def test_a_stream_does_not_end_while_nobody_can_say_what_waits(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away when it would: the stream goes on, and ends later."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database is away")

    chain_id, written = await over(workshop)
    app = quick(workshop, quiet_s=0.01)
    async with listening(app, f"/chains/{chain_id}/events") as listener:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(workshop.store, "waiting_rows", away)
            assert await listener.events(3) == written
            assert await listener.stream.part() == b":\n\n"
        assert await listener.rest() == []


async def test_a_chain_of_somebody_else_does_not_exist(workshop: Workshop) -> None:
    """Nor does one that never was."""
    chain_id, _ = await a_chain(workshop)
    app = quick(workshop, no_auth=True)
    for path in (f"/chains/{chain_id}/events", "/chains/C404/events"):
        answer = await get(app, path)
        assert (answer.status, answer.headers["content-type"]) == (
            404,
            "application/problem+json",
        )


async def test_an_event_of_another_chain_is_no_place_in_this_one(
    workshop: Workshop,
) -> None:
    """Its number would say nothing of what was told of this one."""
    chain_id, _ = await a_chain(workshop)
    await workshop.store.append_events([started("elsewhere")])
    answer = await get(quick(workshop), f"/chains/{chain_id}/events", "elsewhere")
    assert answer.status == 400


# -------------------------------------------------------- cut off at any moment


@dataclass(frozen=True)
class Written:
    """So many events happen, of ours and of somebody else."""

    ours: int
    others: int


@dataclass(frozen=True)
class Listened:
    """Listens until so many pages have come, then is cut off."""

    pages: int


STORIES = st.lists(
    st.builds(Written, st.integers(0, 2 * PAGE), st.integers(0, 3))
    | st.builds(Listened, st.integers(0, 3)),
    max_size=12,
)


class History:
    """The part of a store that is listened to, in memory."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Recorded]] = []
        self.reads = 0

    def write(self, count: int, requestor: str) -> None:
        """Add events; numbers have gaps."""
        for _ in range(count):
            number = 2 * len(self.rows) + 3
            body = json.dumps({"type": "session.started"})
            row = Recorded(number=number, id=f"e{number}", body=body)
            self.rows.append((requestor, row))

    async def recorded(
        self, requestor: str, *, chain_id: str | None, after: int, limit: int
    ) -> list[Recorded]:
        """A page."""
        assert chain_id is None
        self.reads += 1
        found = [r for owner, r in self.rows if owner == requestor and r.number > after]
        return found[:limit]

    async def recorded_since(self, number: int | None) -> tuple[int, set[str]]:
        """What is new."""
        last = self.rows[-1][1].number if self.rows else 0
        behind = {
            owner for owner, r in self.rows if number is not None and r.number > number
        }
        return last, behind


class HistoryDesk:
    """A desk with nothing but that."""

    def __init__(self) -> None:
        self.store = History()


async def listen(watch: EventsWatch, after: int, pages: int) -> list[Recorded]:
    """What comes until the connection is cut, a page or a sign of life at a time."""
    found: list[Recorded] = []
    async with (
        asyncio.timeout(BOUND_S),
        aclosing(watch.pages(Whose(requestor="acme"), after)) as coming,
    ):
        for _ in range(pages):
            found += await anext(coming)
    return found


async def test_a_slow_reader_has_one_page_in_memory() -> None:
    """The next one is read when the client has taken the one before (G8)."""
    desk = HistoryDesk()
    desk.store.write(10 * PAGE, "acme")
    watch = EventsWatch(desk, look_s=0.001)  # type: ignore[arg-type] # a part
    async with aclosing(watch.pages(Whose(requestor="acme"), 0)) as coming:
        for count in range(1, 4):
            assert len(await anext(coming)) == PAGE
            await asyncio.sleep(0)
            assert desk.store.reads == count


@given(story=STORIES)
@settings(max_examples=60)
async def test_cut_off_at_any_moment_nothing_is_missing_or_twice(
    story: list[Written | Listened],
) -> None:
    """What was had over all connections is what happened, in its order."""
    desk = HistoryDesk()
    watch = EventsWatch(desk, look_s=0.0005, quiet_s=0.001)  # type: ignore[arg-type] # a part
    had: list[Recorded] = []
    for part in [*story, Listened(3)]:
        if isinstance(part, Written):
            desk.store.write(part.ours, "acme")
            desk.store.write(part.others, "other")
        else:
            after = had[-1].number if had else 0
            had += await listen(watch, after, part.pages)
    after = had[-1].number if had else 0
    ours = [row for owner, row in desk.store.rows if owner == "acme"]
    while len(had) < len(ours):
        had += await listen(watch, had[-1].number if had else 0, 1)
    assert had == ours
    assert watch.listeners == 0
