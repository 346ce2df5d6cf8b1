"""Looking up names: one that hangs takes one thread, and no callback of others waits."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from aiohttp import AddrInfoType
from aiohttp.abc import ResolveResult

from orchestrator.callbacks import egress_names
from orchestrator.callbacks.egress_names import NoRoom, SystemResolver, looking_up_for

#: Longer than anything here takes.
PATIENCE_S = 5.0

UNSPECIFIED = socket.AF_UNSPEC


class Servers:
    """The system's look-up, where names under `slow.example` hang until all may go.

    Attributes:
        slow: how names end that hang.
        asked: the names in the order in which they were asked for.
        asking: how many hang.
    """

    def __init__(self) -> None:
        self.slow: tuple[str, ...] = ("slow.example",)
        self.asked: list[str] = []
        self.asking = 0
        self._go = threading.Event()
        self._more = threading.Condition()

    def __call__(self, host: str, _: socket.AddressFamily) -> list[AddrInfoType]:
        """One address for every name but `unknown.example`."""
        with self._more:
            self.asked.append(host)
            self.asking += 1
            self._more.notify_all()
        try:
            if host.endswith(self.slow):
                assert self._go.wait(PATIENCE_S)
        finally:
            with self._more:
                self.asking -= 1
        if host == "unknown.example":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    async def until_asked(self, count: int) -> None:
        """Wait until so many look-ups have begun."""

        def wait() -> bool:
            with self._more:
                return self._more.wait_for(lambda: len(self.asked) >= count, PATIENCE_S)

        assert await asyncio.to_thread(wait)

    def go(self) -> None:
        """Answer everything."""
        self._go.set()


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Nothing hangs for longer than the test."""
    made = Servers()
    yield made
    made.go()


def asking(
    resolver: SystemResolver, *hosts: str, requestor: str = "acme"
) -> list[asyncio.Task[list[ResolveResult]]]:
    """Look-ups under way."""
    with looking_up_for(requestor):
        return [
            asyncio.create_task(resolver.resolve(host, 443, UNSPECIFIED))
            for host in hosts
        ]


async def test_what_is_found(servers: Servers) -> None:
    """Address, port and family, as connectors want them."""
    found = await SystemResolver(PATIENCE_S, servers).resolve("a.example", 443)
    assert found == [
        {
            "hostname": "a.example",
            "host": "192.0.2.1",
            "port": 443,
            "family": socket.AF_INET,
            "proto": 6,
            "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        }
    ]


async def test_this_machine_knows_itself() -> None:
    """Without anything else the system is asked."""
    found = await SystemResolver(PATIENCE_S).resolve("localhost", 80, UNSPECIFIED)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert {one["port"] for one in found} == {80}


async def test_what_the_system_refuses_is_told(servers: Servers) -> None:
    """An unknown name, and one that is none at all; both are asked for again."""
    resolver = SystemResolver(PATIENCE_S, servers)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="unknown"):
            await resolver.resolve("unknown.example")
    assert servers.asked == ["unknown.example"] * 2
    with pytest.raises(UnicodeError):
        await SystemResolver(PATIENCE_S).resolve(f"{'x' * 64}.example")


async def test_a_name_that_hangs_is_asked_for_once(servers: Servers) -> None:
    """All who want it wait for the one look-up, those who come later as well."""
    resolver = SystemResolver(PATIENCE_S, servers)
    waiting = asking(resolver, *["a.slow.example"] * 5)
    await servers.until_asked(1)
    waiting += asking(resolver, "a.slow.example")
    await resolver.resolve("other.example")
    servers.go()
    assert all(
        found[0]["host"] == "192.0.2.1" for found in await asyncio.gather(*waiting)
    )
    assert servers.asked == ["a.slow.example", "other.example"]


async def test_who_gives_up_leaves_the_look_up_to_others(servers: Servers) -> None:
    """One that is cancelled cancels nobody else's."""
    resolver = SystemResolver(PATIENCE_S, servers)
    gone, staying = asking(resolver, "a.slow.example", "a.slow.example")
    await servers.until_asked(1)
    gone.cancel()
    servers.go()
    assert (await staying)[0]["host"] == "192.0.2.1"


async def test_a_look_up_that_takes_too_long_is_told(servers: Servers) -> None:
    """As a temporary failure; its thread is not taken twice while it hangs."""
    resolver = SystemResolver(0.01, servers)
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="too long") as told:
            await resolver.resolve("a.slow.example")
        assert told.value.errno == socket.EAI_AGAIN
    assert servers.asked == ["a.slow.example"]


async def test_one_requestor_does_not_take_all_threads(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many domains it makes up; it waits for room, and others do not."""
    monkeypatch.setattr(egress_names, "LOOKUPS_OF_REQUESTOR_MAX", 3)
    resolver = SystemResolver(PATIENCE_S, servers)
    hosts = [f"a.n{number}.slow.example" for number in range(10)]
    waiting = asking(resolver, *hosts, requestor="globex")
    await servers.until_asked(3)
    (mine,) = asking(resolver, "fast.test", requestor="acme")
    await mine
    assert servers.asking == 3
    servers.go()
    await asyncio.gather(*waiting)
    assert sorted(servers.asked) == sorted([*hosts, "fast.test"])


async def test_who_has_no_room_is_told_so(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its time to connect is over: nothing is wrong with the name it wanted."""
    monkeypatch.setattr(egress_names, "LOOKUPS_OF_REQUESTOR_MAX", 1)
    resolver = SystemResolver(0.2, servers)
    hanging = asking(resolver, "a.slow.example")
    await servers.until_asked(1)
    (kept,) = asking(resolver, "fast.test")
    done, _ = await asyncio.wait([kept, *hanging], return_when=asyncio.FIRST_COMPLETED)
    assert done == {kept}
    with pytest.raises(NoRoom, match="no look-up is free"):
        await kept
    with pytest.raises(socket.gaierror, match="too long"):
        await hanging[0]
    assert servers.asked == ["a.slow.example"]


async def test_whoever_waits_joins_a_look_up_that_has_room(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has it done for the same name, so no room is needed."""
    monkeypatch.setattr(egress_names, "LOOKUPS_OF_REQUESTOR_MAX", 1)
    resolver = SystemResolver(PATIENCE_S, servers)
    waiting = asking(resolver, "a.slow.example", requestor="globex")
    waiting += asking(resolver, "b.slow.example", requestor="acme")
    await servers.until_asked(2)
    waiting += asking(resolver, "b.slow.example", requestor="globex")
    servers.go()
    await asyncio.gather(*waiting)
    assert servers.asked == ["a.slow.example", "b.slow.example"]


@pytest.mark.parametrize(
    "first,second,together",
    [
        ("a.shop.co.uk", "b.shop.co.uk", True),
        ("a.shop.co.uk", "a.bank.co.uk", False),
        ("a.one.svc.cluster.local", "b.two.svc.cluster.local", False),
        ("A.shop.example.", "b.SHOP.example", True),
        ("shop.example", "bank.example", False),
        ("localhost", "otherhost", False),
    ],
)
async def test_whose_names_are_bounded_together(
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    second: str,
    together: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Neighbours: those behind the same domain; a bare domain has none."""
    monkeypatch.setattr(egress_names, "LOOKUPS_OF_DOMAIN_MAX", 1)
    monkeypatch.setattr(servers, "slow", (first,))
    resolver = SystemResolver(0.2, servers)
    hanging = asking(resolver, first)
    await servers.until_asked(1)
    (found,) = await asyncio.gather(*asking(resolver, second), return_exceptions=True)
    assert isinstance(found, NoRoom) is together
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_one_domain_does_not_take_all_threads(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many names it makes up; the rest come as soon as there is room."""
    monkeypatch.setattr(egress_names, "LOOKUPS_OF_DOMAIN_MAX", 3)
    resolver = SystemResolver(PATIENCE_S, servers)
    hosts = [f"n{number}.slow.example" for number in range(10)]
    waiting = asking(resolver, *hosts)
    await servers.until_asked(3)
    await resolver.resolve("fast.test")
    assert servers.asking == 3
    servers.go()
    await asyncio.gather(*waiting)
    assert sorted(servers.asked) == sorted([*hosts, "fast.test"])


async def test_threads_are_bounded(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of them taken there is no room, but for who has none under way."""
    monkeypatch.setattr(egress_names, "LOOKUPS_MAX", 2)
    waiting = asking(SystemResolver(PATIENCE_S, servers), "a.example")
    await asyncio.gather(*waiting)
    resolver = SystemResolver(0.2, servers)
    hanging = asking(resolver, "a.slow.example", "b.slow.example", "c.slow.example")
    told = await asyncio.gather(*hanging, return_exceptions=True)
    assert [type(one) for one in told] == [socket.gaierror, socket.gaierror, NoRoom]
    assert (servers.asking, "c.slow.example" in servers.asked) == (2, False)
    others = asking(resolver, "fast.test", requestor="globex")
    assert (await asyncio.gather(*others))[0][0]["host"] == "192.0.2.1"


async def test_closing_waits_for_nobody(servers: Servers) -> None:
    """A look-up that hangs keeps no process from ending, and nothing is complained of."""
    resolver = SystemResolver(PATIENCE_S, servers)
    (waiting,) = asking(resolver, "a.slow.example")
    await servers.until_asked(1)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    threads = [one for one in threading.enumerate() if one.name == "look-up"]
    assert all(thread.daemon for thread in threads)
    servers.go()
    for thread in threads:
        await asyncio.to_thread(thread.join, PATIENCE_S)
