"""Operators hurry and cancel what waits, and no accepted result comes to nothing (G1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator.domain import happenings
from orchestrator.domain.chain import Chain, ChainState, Slot
from orchestrator.domain.errors import NotDone
from orchestrator.domain.operating import CANCELLED, NAMED_MAX, Tally
from orchestrator.ports import (
    PARKED,
    RETRY,
    Message,
    Queues,
    Waiting,
    WaitingFilter,
    outbox_row,
)
from orchestrator.sealing import Sealer
from orchestrator.waiting_rooms import (
    DUE,
    GONE,
    HELD,
    PORTION,
    UNOPENABLE,
    UNREADABLE,
    WaitingRooms,
)
from orchestrator.work import DEADLINE, WorkMaker, event_work, put_off, start_message
from schemas.events import CallbackFailed, ChainEnded, Purpose, dump_event, parse_event
from schemas.messages import CallbackSecrets, CallbackWork, EndWork, parse_work
from tests.support.samples import LIFETIME, NOW, TARGET, disclosure, result_of
from tests.support.workshop import Begun, Workshop
from workers.clock import LEASE

ALL = WaitingFilter()
TOLD = "https://shop.example/told"
SHOP = "https://shop.example:443"


@pytest.fixture
def rooms(workshop: Workshop) -> WaitingRooms:
    """What operators work with."""
    return WaitingRooms(store=workshop.store, make=workshop.make, clock=workshop.clock)


def waits(
    workshop: Workshop, begun: Begun, kind: str, purpose: Purpose = Purpose.NEXT
) -> Waiting:
    """A row of this kind, of a callback of the chain's first step."""
    work = workshop.callback(begun.slot, begun.token, purpose=purpose)
    if kind == PARKED:
        return workshop.make.parked(work, NOW)
    if kind == DEADLINE:
        secrets = secrets_of(workshop, work)
        until = NOW + timedelta(hours=1)
        return workshop.make.deadline(work, secrets, until=until, cause="c", now=NOW)
    return workshop.make.again(work, 60.0, NOW)


def secrets_of(workshop: Workshop, work: CallbackWork) -> CallbackSecrets:
    """What a callback has sealed."""
    return workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)


def retries(workshop: Workshop, count: int) -> list[Waiting]:
    """Retries of as many chains, due one after the other."""
    return [
        workshop.make.again(
            workshop.callback(Slot(chain_id=f"C{number}", step=1), "T"),
            60.0 + number,
            NOW,
        )
        for number in range(count)
    ]


async def taken(workshop: Workshop) -> list[str]:
    """A clock takes what is due, and holds it."""
    now = workshop.clock()
    rows = await workshop.store.take_due_waiting(
        now, owner="clock", lease=LEASE, limit=999
    )
    return [row.id for row in rows]


async def outbox(workshop: Workshop) -> list[Message]:
    """What waits to be relayed, in order."""
    rows = await workshop.store.waiting(limit=99)
    return [row.message for row in rows if row.kind == "outbox"]


async def go_on(workshop: Workshop) -> None:
    """The clock relays the outbox and the session worker handles what was in it."""
    workshop.clock.advance(3.0)
    await workshop.beat()
    await workshop.work_off(EndWork)


@pytest.mark.parametrize("kind", [RETRY, PARKED, DEADLINE])
async def test_a_chain_whose_callback_is_cancelled_fails(
    workshop: Workshop, rooms: WaitingRooms, kind: str
) -> None:
    """The row goes and the chain's end comes in one transaction; the reason says who."""
    begun = await workshop.begin(disclosure(TARGET))
    row = waits(workshop, begun, kind)
    await workshop.store.put_waiting(row)

    tally = await rooms.cancel(WaitingFilter(ids=[row.id]))

    assert (dict(tally.done), tally.lines()) == ({kind: 1}, [])
    assert row.id not in await workshop.waiting()
    await go_on(workshop)
    chain = await workshop.chain(begun.id)
    assert (chain.state, chain.reason) == (ChainState.FAILED, CANCELLED)
    ended = [e for e in workshop.publisher.events if isinstance(e, ChainEnded)]
    assert [event.data.reason for event in ended] == [CANCELLED]


async def test_the_event_tells_that_nobody_was_asked(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """It goes before the end that it causes, and has neither status nor fault."""
    begun = await workshop.begin(disclosure(TARGET))
    await workshop.store.put_waiting(waits(workshop, begun, RETRY))
    await rooms.cancel(WaitingFilter(chain_id=begun.id))

    event_message, end_message = await outbox(workshop)
    failed, end = parse_event(event_message.body), parse_work(end_message.body)
    assert isinstance(failed, CallbackFailed)
    assert (failed.data.reason, failed.data.attempt) == (CANCELLED, 2)
    assert (failed.data.status, failed.data.fault) == (None, None)
    assert isinstance(end, EndWork)
    assert (end.cause, end.reason) == (failed.id, CANCELLED)
    assert "MARKER" not in f"{event_message}{end_message}"


@pytest.mark.parametrize("kind", [RETRY, PARKED])
async def test_a_notification_that_is_cancelled_leaves_its_chain_alone(
    workshop: Workshop, rooms: WaitingRooms, kind: str
) -> None:
    """It is dropped, with its event."""
    begun = await workshop.begin(disclosure(TARGET))
    await workshop.store.put_waiting(waits(workshop, begun, kind, Purpose.NOTIFY))
    assert (await rooms.cancel(ALL)).done[kind] == 1
    (message,) = await outbox(workshop)
    failed = parse_event(message.body)
    assert isinstance(failed, CallbackFailed)
    assert (failed.data.purpose, failed.data.reason) == (Purpose.NOTIFY, CANCELLED)
    await go_on(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


async def test_a_notification_that_waits_for_what_follows_is_dropped_too(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """The callback that it would have become is told as failed."""
    callback = workshop.make.callback(
        Slot(chain_id="C1", step=1),
        "acme",
        result_of("T"),
        purpose=Purpose.NOTIFY,
        url=TOLD,
        validity_s=1,
    )
    work = workshop.make.notify(callback, until=NOW + LIFETIME)
    await workshop.store.put_waiting(put_off(work, timedelta(seconds=9), NOW))
    assert (await rooms.cancel(ALL)).done["notify"] == 1
    (message,) = await outbox(workshop)
    failed = parse_event(message.body)
    assert isinstance(failed, CallbackFailed)
    assert failed.data.endpoint == SHOP


async def keep_three(workshop: Workshop) -> list[Waiting]:
    """A row of each kind that has to come to its end."""
    slot = Slot(chain_id="C1", step=1)
    cancel = workshop.make.cancel(slot, "acme", "T", until=NOW + LIFETIME)
    intake = workshop.make.intake(slot, "acme", result_of("T"), "poll")
    pause = timedelta(seconds=9)
    rows = [
        outbox_row(start_message(slot, "acme"), "C1", NOW),
        put_off(cancel, pause, NOW),
        put_off(intake, pause, NOW),
    ]
    await workshop.store.put_waiting(*rows)
    return rows


async def test_what_has_to_come_to_its_end_cannot_be_cancelled(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """By id it is refused with the reason, and nothing else is changed either."""
    kept = await keep_three(workshop)
    retry = retries(workshop, 1)
    await workshop.store.put_waiting(*retry)
    before = await workshop.store.waiting(limit=9)
    for row in kept:
        with pytest.raises(NotDone, match=rf"nothing was changed: .*\({row.kind}\) "):
            await rooms.cancel(WaitingFilter(ids=[retry[0].id, row.id]))
    assert await workshop.store.waiting(limit=9) == before


async def test_an_event_for_a_url_is_dropped_without_a_word(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """It stays in the history; what is said of it would have to be told as well."""
    event = happenings.chain_started(
        Chain(
            id="C1",
            requestor="acme",
            backend="irma",
            state=ChainState.RUNNING,
            generation=0,
            created_at=NOW,
        ),
        Slot(chain_id="C1", step=1),
    )
    work = event_work(event, dump_event(event), TOLD)
    await workshop.store.put_waiting(workshop.make.again(work, 60.0, NOW))
    endpoint = f"events+{SHOP}"
    which = WaitingFilter(endpoint=endpoint)
    (page,) = [page async for page in rooms.listed(which, limit=9)]
    assert [one.attempt for one in page] == [2]
    tally = await rooms.cancel(WaitingFilter(endpoint=endpoint))
    assert dict(tally.done) == {RETRY: 1}
    assert await workshop.store.waiting(limit=9) == []


async def test_by_a_filter_the_others_are_cancelled(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """What stays is counted with the reason why."""
    await keep_three(workshop)
    await workshop.store.put_waiting(*retries(workshop, 2))
    tally = await rooms.cancel(ALL)
    assert dict(tally.done) == {"retry": 2}
    assert [line.split(":")[0] for line in tally.lines()] == [
        "1 left",
        "1 left",
        "1 left",
    ]
    assert await rooms.counts(WaitingFilter(kinds=["cancel", "intake"])) == {
        "cancel": 1,
        "intake": 1,
    }


async def test_many_are_cancelled_in_portions(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """Each once, although what takes their places waits among them."""
    rows = retries(workshop, 2 * PORTION + 3)
    await workshop.store.put_waiting(*rows)
    tally = await rooms.cancel(WaitingFilter(kinds=[RETRY]))
    assert dict(tally.done) == {RETRY: len(rows)}
    assert await rooms.counts(ALL) == {"outbox": 2 * len(rows)}


async def test_what_a_clock_holds_is_the_clocks(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """It is told, the others are done."""
    first, second = retries(workshop, 2)
    await workshop.store.put_waiting(first, second)
    workshop.clock.advance(60.0)
    assert await taken(workshop) == [first.id]

    tally = await rooms.hurry(WaitingFilter(ids=[first.id, second.id]))
    assert (dict(tally.done), tally.left) == ({RETRY: 1}, {HELD: [first.id]})
    tally = await rooms.cancel(WaitingFilter(ids=[first.id, second.id]))
    assert (dict(tally.done), tally.left) == ({RETRY: 1}, {HELD: [first.id]})
    assert first.id in await workshop.waiting()


async def test_a_row_that_goes_meanwhile_is_told(
    workshop: Workshop, rooms: WaitingRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the act a clock has published it: nothing is put for it."""
    (row,) = retries(workshop, 1)
    await workshop.store.put_waiting(row)
    swap = workshop.store.swap_waiting

    async def late(swaps: Mapping[str, Sequence[Message]], now: datetime) -> set[str]:
        await workshop.store.drop_waiting([row.id])
        return await swap(swaps, now)

    monkeypatch.setattr(workshop.store, "swap_waiting", late)
    tally = await rooms.cancel(WaitingFilter(ids=[row.id]))
    assert (tally.done.total(), tally.left) == (0, {GONE: [row.id]})
    assert await workshop.waiting() == []


@pytest.mark.parametrize("odd", ["never", "", "\x1b[31m"])
async def test_bad_ids_change_nothing(
    workshop: Workshop, rooms: WaitingRooms, odd: str
) -> None:
    """One that is not there keeps the others from being changed as well (G11)."""
    (row,) = retries(workshop, 1)
    await workshop.store.put_waiting(row)
    which = WaitingFilter(ids=[row.id, odd])
    for operation in (rooms.hurry, rooms.cancel):
        with pytest.raises(NotDone) as caught:
            await operation(which)
        assert "\x1b" not in str(caught.value)
    assert await workshop.store.waiting(limit=9) == [row]


async def test_too_many_ids_are_refused(rooms: WaitingRooms) -> None:
    """A filter is for many; each id is asked for by itself."""
    ids = [str(number) for number in range(NAMED_MAX + 1)]
    with pytest.raises(NotDone, match="at most 1000 waiting rows can be named"):
        await rooms.cancel(WaitingFilter(ids=ids))


async def test_what_cannot_be_read_or_opened_stays(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """A row of another key, or no message at all, is told and the others are done."""
    good, broken = retries(workshop, 2)
    broken = replace(broken, message=replace(broken.message, body=b"{}"))
    other = WorkMaker(sealer=Sealer(b"\x07" * 32, "old", b"\x08" * 32))
    work = other.callback(
        Slot(chain_id="C9", step=1),
        "acme",
        result_of("T"),
        purpose=Purpose.NEXT,
        url=TARGET,
        validity_s=1,
    )
    sealed = other.again(work, 5.0, NOW)
    await workshop.store.put_waiting(good, broken, sealed)

    tally = await rooms.cancel(ALL)
    assert dict(tally.done) == {RETRY: 1}
    assert tally.left == {UNREADABLE: [broken.id], UNOPENABLE: [sealed.id]}
    assert {broken.id, sealed.id} <= set(await workshop.waiting())


async def test_hurried_rows_go_out_with_the_next_beat(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """All of them, in portions; the clock publishes their messages as they were."""
    rows = retries(workshop, PORTION + 3)
    await workshop.store.put_waiting(*rows)
    tally = await rooms.hurry(WaitingFilter(endpoint=SHOP))
    assert (dict(tally.done), tally.lines()) == ({RETRY: len(rows)}, [])
    while await workshop.clock_worker().publish_due():
        pass
    assert workshop.publisher.messages == [row.message for row in rows]


async def test_parked_ones_are_published_once(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """The oldest first, whatever their endpoint; then a worker may park them again."""
    rows = [
        workshop.make.parked(
            workshop.callback(Slot(chain_id=f"C{n}", step=1), "T"),
            NOW - timedelta(seconds=n),
        )
        for n in range(3)
    ]
    await workshop.store.park(rows, busy_until={})
    tally = await rooms.hurry(WaitingFilter(kinds=[PARKED]))
    assert dict(tally.done) == {PARKED: 3}
    await workshop.clock_worker().publish_due()
    assert workshop.publisher.messages == [row.message for row in reversed(rows)]
    work = parse_work(workshop.publisher.messages[0].body)
    assert isinstance(work, CallbackWork)
    await workshop.store.park([workshop.make.parked(work, NOW)], busy_until={})
    assert await rooms.counts(ALL) == {PARKED: 1}


async def test_what_is_parked_again_meanwhile_is_not_hurried_again(
    workshop: Workshop, rooms: WaitingRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that are quick at parking do not keep the operator's command going."""
    work = workshop.callback(Slot(chain_id="C", step=1), "T")
    await workshop.store.park([workshop.make.parked(work, NOW)], busy_until={})
    hurry, calls = workshop.store.hurry_waiting, 0

    async def hurry_and_park_again(
        which: WaitingFilter, now: datetime, *, limit: int
    ) -> dict[str, str]:
        nonlocal calls
        calls += 1
        assert calls < 9, "it never ends"
        done = await hurry(which, now, limit=limit)
        await workshop.clock_worker().publish_due()
        out = parse_work(workshop.publisher.messages[-1].body)
        assert isinstance(out, CallbackWork)
        await workshop.store.park([workshop.make.parked(out, NOW)], busy_until={})
        return done

    monkeypatch.setattr(workshop.store, "hurry_waiting", hurry_and_park_again)
    tally = await rooms.hurry(WaitingFilter(kinds=[PARKED]))
    assert (dict(tally.done), tally.lines()) == ({PARKED: 1}, [])
    assert await rooms.counts(ALL) == {PARKED: 1}


async def test_a_deadline_is_hurried_only_when_it_is_named(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """To hurry it ends its chain, which who hurries a chain's retries does not want."""
    begun = await workshop.begin(disclosure(TARGET))
    row = waits(workshop, begun, DEADLINE)
    await workshop.store.put_waiting(row)
    assert (await rooms.hurry(WaitingFilter(chain_id=begun.id))).done.total() == 0
    assert (await rooms.hurry(WaitingFilter(ids=[row.id]))).done[DEADLINE] == 1
    workshop.publisher.calls.clear()
    await workshop.beat()
    assert workshop.publisher.messages == [row.message]


async def test_what_is_due_already_is_said_so(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """By id with the id, by filter with the count."""
    rows = retries(workshop, 2)
    await workshop.store.put_waiting(*rows)
    workshop.clock.advance(60.0)
    tally = await rooms.hurry(WaitingFilter(ids=[rows[0].id]))
    assert tally.left == {DUE: [rows[0].id]}
    tally = await rooms.hurry(ALL)
    assert dict(tally.done) == {RETRY: 1}
    assert tally.lines() == [f"1 left: {DUE} or {HELD}"]


async def test_rows_are_listed_with_their_attempts(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """Page by page, never more than was asked for; what is no callback has none."""
    await keep_three(workshop)
    await workshop.store.put_waiting(*retries(workshop, PORTION + 5))
    pages = [list(page) async for page in rooms.listed(ALL, limit=PORTION + 2)]
    assert [len(page) for page in pages] == [PORTION, 2]
    listed = [listed for page in pages for listed in page]
    assert [one.attempt for one in listed[:4]] == [None, None, None, 2]
    assert listed[0].row.waiting.message.routing_key == Queues.SESSIONS


async def test_an_event_of_the_outbox_is_listed_too(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """Its message is no work."""
    begun = await workshop.begin(disclosure(TARGET))
    await workshop.store.put_waiting(waits(workshop, begun, RETRY, Purpose.NOTIFY))
    await rooms.cancel(ALL)
    (page,) = [page async for page in rooms.listed(ALL, limit=9)]
    assert [one.attempt for one in page] == [None]


async def test_the_callback_and_its_cancellation_may_both_be_on_their_way(
    workshop: Workshop, rooms: WaitingRooms
) -> None:
    """A clock that died after it had published: whatever comes first counts, once."""
    begun = await workshop.begin(disclosure(TARGET))
    row = waits(workshop, begun, RETRY)
    await workshop.store.put_waiting(row)
    workshop.clock.advance(60.0)
    assert await taken(workshop) == [row.id]
    await workshop.publisher.publish(row.message)
    workshop.clock.advance(LEASE.total_seconds())

    assert (await rooms.cancel(ALL)).done[RETRY] == 1
    work = parse_work(row.message.body)
    assert isinstance(work, CallbackWork)
    await workshop.carry_on(work, disclosure(TARGET))
    await go_on(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING
    assert len(await workshop.store.steps(begun.id)) == 2


def test_a_tally_names_some_and_counts_the_rest() -> None:
    """However many are left."""
    tally = Tally()
    tally.leave("why", [f"id{number}" for number in range(8)])
    tally.leave("why", [f"id{number}" for number in range(8, 25)], unnamed=100)
    names = ", ".join(f"id{number}" for number in range(10))
    assert tally.lines() == [f"125 left: why: {names} and 115 more"]


async def test_an_unheard_of_kind_stays(workshop: Workshop, rooms: WaitingRooms) -> None:
    """Who adds a kind of row has to say what its cancellation means."""
    (row,) = retries(workshop, 1)
    await workshop.store.put_waiting(replace(row, kind="new"))
    with pytest.raises(NotDone, match=r"\(new\) is of a kind that nobody may cancel"):
        await rooms.cancel(WaitingFilter(ids=[row.id]))
