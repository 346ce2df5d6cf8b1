"""Every requestor's subscribers, one of each kind; those to be cut off are wired."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from orchestrator.local.stack import Stack
from orchestrator.local.wire import Wire
from orchestrator.proof.events_granted import Member
from orchestrator.proof.events_subscribers import Following, Subscriber, Way, Wired
from orchestrator.proof.events_ways import (
    Receiver,
    Tail,
    queue_of_its_own,
    server_sent,
    stream_of_its_own,
)

#: Follows for a subscriber, at a URL, until it is cancelled.
_Follow = Callable[[Subscriber, str], Coroutine[None, None, None]]

#: Of these one is spared.
_OF_A_KIND: Final = 3


@asynccontextmanager
async def receiving(
    members: Sequence[Member],
) -> AsyncIterator[tuple[list[Following], dict[str, str]]]:
    """Servers for events, at work, and the URL that each requestor has configured."""
    followings, urls = list[Following](), dict[str, str]()
    async with AsyncExitStack() as contexts:
        for n, member in enumerate(members):
            subscriber = Subscriber(way=Way.URL, requestor=member.key)
            subscriber.subscribed.set()
            receiver = Receiver(subscriber, member.secret)
            own = await contexts.enter_async_context(receiver.at_work())
            wired = _wired(own, Way.URL, n)
            urls[member.key], line = await contexts.enter_async_context(wired)
            followings.append(
                Following(subscriber=subscriber, line=line, at_work=_is_asked)
            )
        yield followings, urls


async def _is_asked() -> None:
    """Nothing: a server follows by being asked."""


@asynccontextmanager
async def subscribing(
    stack: Stack, members: Sequence[Member], amqp_urls: Mapping[str, str]
) -> AsyncIterator[list[Following]]:
    """All the others, not at work yet."""
    async with AsyncExitStack() as contexts:
        followings = []
        for n, member in enumerate(members):
            url = amqp_urls[member.key]
            by_token = partial(server_sent, token=member.token)
            wired = (
                _followed(member, n, Way.QUEUE, url, queue_of_its_own),
                _followed(member, n, Way.STREAM, url, stream_of_its_own),
                _followed(member, n, Way.SSE, stack.gateway_url, by_token),
            )
            followings += [await contexts.enter_async_context(one) for one in wired]
            followings.append(_tail(member, n, stack))
        yield followings


@asynccontextmanager
async def _followed(
    member: Member, n: int, way: Way, url: str, follow: _Follow
) -> AsyncIterator[Following]:
    """One that follows by a connection."""
    subscriber = Subscriber(way=way, requestor=member.key)
    async with _wired(url, way, n) as (near, line):
        work = partial(follow, subscriber, near)
        yield Following(subscriber=subscriber, line=line, at_work=work)


def _tail(member: Member, n: int, stack: Stack) -> Following:
    """A process needs no wire: it is killed."""
    tail = Tail(Subscriber(way=Way.TAIL, requestor=member.key), stack)
    line = tail if _is_cut_off(Way.TAIL, n) else None
    return Following(subscriber=tail.subscriber, line=line, at_work=tail.follow)


@asynccontextmanager
async def _wired(url: str, way: Way, n: int) -> AsyncIterator[tuple[str, Wired | None]]:
    """The same server, by a wire where that is to be cut."""
    if not _is_cut_off(way, n):
        yield url, None
        return
    async with Wire.open(url) as wire:
        yield wire.url, Wired(wire)


def _is_cut_off(way: Way, n: int) -> bool:
    """Whether that of the n-th requestor is; of each kind another one is spared."""
    return list(Way).index(way) % _OF_A_KIND != n
