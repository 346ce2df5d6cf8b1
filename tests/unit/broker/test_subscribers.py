"""Subscribers that confirm late hold nobody, lose nothing and fill no memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from unittest.mock import Mock, create_autospec

import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import DeliveryError
from aiormq import Channel
from aiormq.exceptions import ChannelClosed
from pamqp.commands import Basic
from pamqp.frame import unmarshal
from pamqp.header import ContentHeader
from structlog.testing import capture_logs

from orchestrator.broker import subscribers
from orchestrator.broker.subscribers import Telling, Trouble
from orchestrator.domain.errors import BrokerUnavailable
from orchestrator.ports import Message

#: How long anything that has to come may take on a busy machine.
BOUND_S = 10.0


class FakeBroker:
    """The far end of a channel that comes back by itself.

    Attributes:
        reads: set while the socket takes more.
        confirms: whether it confirms what it reads, at once; else the test answers.
        told: the ids of what it has read, over all connections.
    """

    def __init__(self) -> None:
        self.confirms = self.connected = True
        self.reads = asyncio.Event()
        self.reads.set()
        self.told: list[str] = []
        self._news = asyncio.Event()
        self.raw = self._opened()
        self.channel: Mock = create_autospec(AbstractChannel, instance=True)
        self.channel.get_underlay_channel.side_effect = self._underlay

    def cut(self) -> None:
        """Lose the connection; nothing is confirmed any more."""
        self.connected = False
        for confirm in self.raw.confirmations.values():
            if not confirm.done():
                confirm.set_exception(ChannelClosed(None, None))

    def mend(self) -> None:
        """Have a connection again."""
        self.connected = True
        self.raw = self._opened()

    def answer(self, *, nack: Sequence[int] = (), leave: Sequence[int] = ()) -> None:
        """Confirm all that was read, except for these of it."""
        waiting = [one for one in self.raw.confirmations.values() if not one.done()]
        for place, confirm in enumerate(waiting):
            if place in leave:
                continue
            if place in nack:
                confirm.set_exception(DeliveryError(None, Basic.Nack()))
            else:
                confirm.set_result(Basic.Ack())

    async def read(self) -> None:
        """Take pieces from the socket as the connection's writer does."""
        while True:
            raw = self.raw
            piece = await raw.write_queue.get()
            self.told += _ids(piece.payload)
            self._news.set()
            await self.reads.wait()
            piece.drain()
            if self.confirms:
                self.answer()

    async def heard(self, *ids: str) -> None:
        """Wait until exactly these were told."""
        async with asyncio.timeout(BOUND_S):
            while len(self.told) < len(ids):
                self._news.clear()
                await self._news.wait()
        assert self.told == list(ids)

    def _opened(self) -> Mock:
        raw: Mock = create_autospec(Channel, instance=True)
        raw.number = 1
        raw.delivery_tag = 0
        raw.confirmations = {}
        raw.max_content_size = 1_000
        raw.lock = asyncio.Lock()
        raw.write_queue = (
            self.raw.write_queue if hasattr(self, "raw") else asyncio.Queue()
        )
        raw.create_future = asyncio.get_running_loop().create_future
        return raw

    async def _underlay(self) -> Mock:
        return self.raw


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    """A broker that reads and confirms."""
    broker = FakeBroker()
    reading = asyncio.create_task(broker.read())
    yield broker
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


@pytest.fixture
def trouble() -> Trouble:
    """What is counted."""
    return Trouble()


@pytest.fixture
async def telling(
    broker: FakeBroker, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Telling]:
    """Tells on that channel, and waits for nothing long."""
    for name in ("SUBSCRIBERS_S", "BRIEFLY_S", "READ_S", "AGAIN_S"):
        monkeypatch.setattr(subscribers, name, 0.01)
    telling = Telling(broker.channel, lambda: broker.connected, trouble)
    yield telling
    await telling.close()


async def test_what_is_confirmed_in_time_is_not_kept(
    broker: FakeBroker, telling: Telling, trouble: Trouble
) -> None:
    """Nothing of it is told again after a lost connection."""
    await telling.tell(events("a", "b"))
    broker.cut()
    broker.mend()
    await telling.tell(events("c"))
    await broker.heard("a", "b", "c")
    assert (trouble.late, trouble.refused) == (0, 0)


async def test_late_ones_whose_connection_was_lost_are_told_again_before_newer_ones(
    broker: FakeBroker, telling: Telling, trouble: Trouble
) -> None:
    """They were marked as published, so nobody else would tell them."""
    broker.confirms = False
    await telling.tell(events("a", "b"))
    await telling.tell(events("c"))
    assert trouble.late == 3
    broker.cut()
    with pytest.raises(BrokerUnavailable, match="down"):
        await telling.tell(events("d"))

    broker.confirms = True
    broker.told.clear()
    broker.mend()
    await telling.tell(events("d"))
    await broker.heard("a", "b", "c", "d")


async def test_late_ones_are_told_again_also_when_nothing_new_happens(
    broker: FakeBroker, telling: Telling
) -> None:
    """Subscribers do not wait for the next event to have the last one."""
    broker.confirms = False
    await telling.tell(events("a"))
    broker.cut()
    broker.told.clear()
    broker.mend()
    await broker.heard("a")


async def test_what_was_not_late_yet_when_the_connection_went_is_the_callers(
    broker: FakeBroker, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, as it is not marked as published; nobody tells it beside them."""
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", BOUND_S)
    broker.confirms = False
    asked = asyncio.create_task(telling.tell(events("a")))
    await broker.heard("a")
    broker.cut()
    with pytest.raises(BrokerUnavailable, match="lost"):
        await asked
    broker.mend()
    broker.confirms = True
    await telling.tell(events("b"))
    assert broker.told == ["a", "b"]


async def test_while_some_are_late_the_next_ones_are_hardly_waited_for(
    broker: FakeBroker, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One integrator's costly binding does not slow everybody's events every time."""
    broker.confirms = False
    await telling.tell(events("a"))
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", 2 * BOUND_S)
    async with asyncio.timeout(BOUND_S):
        await telling.tell(events("b"))

    broker.answer()
    asked = asyncio.create_task(telling.tell(events("c")))
    done, _ = await asyncio.wait([asked], timeout=0.1)
    assert not done, "all were confirmed, so the next ones have their time again"
    broker.answer()
    await asked


async def test_however_many_are_late_the_next_ones_are_hardly_waited_for(
    broker: FakeBroker, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that never confirms costs everybody its patience once, not ever again."""
    monkeypatch.setattr(subscribers, "LATE_MAX", 2)
    broker.confirms = False
    await telling.tell(events("a", "b", "c"))
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", 2 * BOUND_S)
    async with asyncio.timeout(BOUND_S):
        await telling.tell(events("d"))
    broker.answer()


async def test_others_have_their_time_while_one_requestors_are_late(
    broker: FakeBroker,
    telling: Telling,
    trouble: Trouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What they confirm within it is not lost with the process."""
    broker.confirms = False
    await telling.tell(events("a"))
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", 2 * BOUND_S)
    both = [*events("b"), *events("c", key="globex")]
    asked = asyncio.create_task(telling.tell(both))
    await broker.heard("a", "b", "c")
    done, _ = await asyncio.wait([asked], timeout=0.1)
    assert not done, "globex has nothing late"

    broker.answer(leave=[0, 1])
    async with asyncio.timeout(BOUND_S):
        await asked
    assert trouble.late == 2
    broker.answer()


@pytest.mark.parametrize(
    "globex, acme, kept",
    [("x", "abcd", "xbcd"), ("wxyz", "a", "xyza"), ("wxyz", "abc", "yzbc")],
)
async def test_whoever_has_most_late_ones_makes_room(
    broker: FakeBroker,
    telling: Telling,
    monkeypatch: pytest.MonkeyPatch,
    *,
    globex: str,
    acme: str,
    kept: str,
) -> None:
    """One requestor's do not push out another's, not even older ones."""
    monkeypatch.setattr(subscribers, "LATE_MAX", 4)
    broker.confirms = False
    await telling.tell(events(*globex, key="globex"))
    await telling.tell(events(*acme))
    broker.cut()
    broker.told.clear()
    broker.mend()
    await broker.heard(*kept)


async def test_what_was_let_go_holds_nobody_at_the_end(
    broker: FakeBroker, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its confirm may never come; only what is kept has its time once more."""
    monkeypatch.setattr(subscribers, "LATE_MAX", 1)
    broker.confirms = False
    await telling.tell(events("a"))
    await telling.tell(events("b"))
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", 2 * BOUND_S)
    broker.raw.confirmations[2].set_result(Basic.Ack())
    async with asyncio.timeout(BOUND_S):
        await telling.close()


async def test_only_so_many_late_ones_are_kept(
    broker: FakeBroker,
    telling: Telling,
    trouble: Trouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded; the oldest are let go, counted (G8)."""
    monkeypatch.setattr(subscribers, "LATE_MAX", 3)
    broker.confirms = False
    for name in "abcde":
        await telling.tell(events(name))
    assert (trouble.late, trouble.let_go) == (5, 2)
    broker.cut()
    broker.told.clear()
    broker.mend()
    await broker.heard("c", "d", "e")


async def test_nothing_is_added_to_what_the_broker_does_not_read(
    broker: FakeBroker, telling: Telling
) -> None:
    """More pieces would pile up in memory: each of them is an error instead (G8)."""
    broker.reads.clear()
    broker.confirms = False
    await telling.tell(events("a"))
    for _ in range(3):
        with pytest.raises(BrokerUnavailable, match="read nothing"):
            await telling.tell(events("b"))
    assert broker.raw.write_queue.empty()

    broker.reads.set()
    await telling.tell(events("b"))
    await broker.heard("a", "b")


async def test_a_refusal_is_counted_and_not_repeated(
    broker: FakeBroker, telling: Telling, trouble: Trouble
) -> None:
    """Also one that comes late."""
    broker.confirms = False
    await telling.tell(events("a", "b"))
    broker.answer(nack=[1])
    broker.cut()
    broker.mend()
    broker.confirms = True
    await telling.tell(events("c"))
    await broker.heard("a", "b", "c")
    assert (trouble.late, trouble.refused) == (2, 1)


async def test_at_the_end_late_ones_have_their_time_once_more(
    broker: FakeBroker, telling: Telling, trouble: Trouble
) -> None:
    """What is left then is counted as let go."""
    broker.confirms = False
    await telling.tell(events("a"))
    await telling.close()
    assert trouble.let_go == 1


async def test_what_was_confirmed_late_is_not_let_go_at_the_end(
    broker: FakeBroker, telling: Telling, trouble: Trouble
) -> None:
    """Only what has no answer counts, whichever of the late ones that is."""
    broker.confirms = False
    await telling.tell(events("a", "b", "c"))
    broker.answer(leave=[1])
    await telling.close()
    assert trouble.let_go == 1


async def test_nothing_to_tell_is_nothing_to_wait_for(telling: Telling) -> None:
    """No connection is asked."""
    await telling.tell([])


async def test_trouble_is_logged_with_whose_it_is_and_how_much() -> None:
    """One line for a batch, at once; what follows soon after is one line together."""
    trouble = Trouble()
    with capture_logs() as lines:
        trouble.be_late([*events("a", "b"), *events("c", key="shop")])
        trouble.refuse(*events("d", key="shop"))
        await asyncio.sleep(0.01)
        assert lines == [
            {
                "event": "subscribers.trouble",
                "log_level": "warning",
                "late": 3,
                "refused": 1,
                "requestors": ["acme", "shop"],
            }
        ]
        trouble.be_late(events("e"))
        trouble.be_late(events("f"))
        await asyncio.sleep(0.01)
        assert len(lines) == 1
        trouble.say()
        trouble.say()
    assert [line.get("late") for line in lines] == [3, 2]


def events(*ids: str, key: str = "acme") -> list[Message]:
    """Events of a requestor's."""
    return [
        Message(
            id=one,
            exchange="chain.events",
            routing_key=f"chain.started.{key}",
            body=b"{}",
        )
        for one in ids
    ]


def _ids(payload: bytes) -> list[str]:
    found = []
    while payload:
        length, _, frame = unmarshal(payload)
        if isinstance(frame, ContentHeader):
            found.append(str(frame.properties.message_id))
        payload = payload[length:]
    return found
