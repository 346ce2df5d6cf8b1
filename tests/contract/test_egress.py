"""Where callbacks may go, proved at the socket: what is refused is never dialled."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from orchestrator.callbacks import HttpCaller
from orchestrator.callbacks import egress_outlets as outlets
from orchestrator.callbacks.egress import Egress, Route
from orchestrator.domain.delivery import Fault, NoAnswer, Reply
from orchestrator.domain.egress import (
    NOT_PLAIN,
    NOT_PUBLIC,
    NOT_THAT_PORT,
    NOT_TLS,
    Allowance,
)
from tests.contract.endpoint_lab import (
    LOCAL,
    LOOPBACK,
    Names,
    answer,
    answering,
    endpoint,
    fault,
    raw,
    says,
    to,
)

#: Without TLS, for it is not what is tested here.
PUBLIC_ONLY = Egress(common=Route(allowance=Allowance(http=True)))

#: One address of loopback stands for the public ones, the others for forbidden ones.
SECOND = "127.0.0.2"
SECOND_ONLY = Egress(
    common=Route(allowance=Allowance(networks=(ip_network(SECOND),), http=True))
)


def rule(reply: Reply) -> str | None:
    """The rule that forbids a destination."""
    assert fault(reply) is Fault.FORBIDDEN
    assert isinstance(reply, NoAnswer)
    return reply.rule


def at(host: str, url: str, scheme: str = "http") -> str:
    """An endpoint's URL by another name."""
    return f"{scheme}://{host}:{URL(url).port}/"


@asynccontextmanager
async def untouched(address: str = "127.0.0.1") -> AsyncIterator[str]:
    """An endpoint that nobody may connect to."""
    async with AsyncExitStack() as stack:
        connected: list[str] = []

        async def talk(*_: object) -> None:
            connected.append("a connection")

        yield await stack.enter_async_context(raw(talk, address))
        await stack.aclose()
        assert connected == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:FFFF:7f00:1]",
     "127.0.0.\uff11", "①②⑦.0.0.1", "127。0。0。1", "localhost", "LOCALHOST",
     "ⓛocalhost"],
)  # fmt: skip
async def test_loopback_by_any_name(host: str) -> None:
    """What reaches this machine where it is allowed is not dialled where it is not."""
    async with endpoint(answering(204)) as url, HttpCaller.open(everywhere()) as caller:
        assert answer(await caller.post(to(at(host, url)))).status == 204
    async with untouched() as url, HttpCaller.open(PUBLIC_ONLY) as caller:
        assert rule(await caller.post(to(at(host, url)))) == NOT_PUBLIC


def everywhere() -> Egress:
    """Any address at all."""
    networks = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    return Egress(common=Route(allowance=Allowance(networks=networks, http=True)))


async def test_this_network_is_this_machine() -> None:
    """The kernel dials loopback for the unspecified address as well."""
    async with untouched() as url, HttpCaller.open(PUBLIC_ONLY) as caller:
        assert rule(await caller.post(to(at("0.0.0.0", url)))) == NOT_PUBLIC  # noqa: S104 - dialled, not bound
    async with untouched("::1") as url, HttpCaller.open(PUBLIC_ONLY) as caller:
        assert rule(await caller.post(to(at("[::]", url)))) == NOT_PUBLIC


@pytest.mark.parametrize(
    "host",
    ["127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1",
     "127.0.0.1.", "127.0.0.1..", "%31%32%37.0.0.1", "127.0.0.1%00.example", "0",
     "[::1%25lo]", "[::1%lo]"],
)  # fmt: skip
async def test_odd_spellings_are_not_dialled(host: str) -> None:
    """Not even where loopback is allowed: what they mean depends on the reader."""
    async with untouched() as url, HttpCaller.open(LOCAL) as caller:
        assert rule(await caller.post(to(at(host, url)))) == NOT_PLAIN


async def test_ipv6() -> None:
    """Loopback's other address: forbidden, and dialled where it is allowed."""
    async with untouched("::1") as url, HttpCaller.open(PUBLIC_ONLY) as caller:
        assert rule(await caller.post(to(url))) == NOT_PUBLIC
    async with (
        endpoint(answering(204), address="::1") as url,
        HttpCaller.open(LOCAL) as caller,
    ):
        assert answer(await caller.post(to(url))).status == 204


async def test_the_address_that_was_checked_is_dialled() -> None:
    """A name is looked up once for a call; what it would mean next does not matter."""
    names = Names(hook_example=[[SECOND], ["127.0.0.1"]])
    async with (
        endpoint(answering(204), address=SECOND) as url,
        HttpCaller.open(SECOND_ONLY, resolver=names) as caller,
    ):
        assert answer(await caller.post(to(at("hook.example", url)))).status == 204
    assert names.asked == ["hook.example"]


async def test_a_name_that_changes_is_checked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that was fine leads nowhere as soon as it means a forbidden address."""
    monkeypatch.setattr(outlets, "LOOKUP_KEPT_S", 0)
    names = Names(hook_example=[[SECOND], ["127.0.0.1"]])
    hangs_up = says(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    async with (
        raw(hangs_up, SECOND) as url,
        HttpCaller.open(SECOND_ONLY, resolver=names) as caller,
    ):
        there = at("hook.example", url)
        assert answer(await caller.post(to(there))).status == 204
        assert rule(await caller.post(to(there))) == NOT_PUBLIC
        assert rule(await caller.post(to(there))) == NOT_PUBLIC
    assert len(names.asked) == 3


async def test_of_many_addresses_only_the_allowed_are_dialled() -> None:
    """A forbidden address beside a public one is left out, wherever it stands."""
    names = Names(
        hook_example=[["127.0.0.1", "10.0.0.1", "fe80::1%lo", SECOND, "::1"]],
        evil_example=[["127.0.0.1", "::1", "10.0.0.1", "fe80::1%lo"]],
    )
    async with (
        endpoint(answering(204), address=SECOND) as url,
        HttpCaller.open(SECOND_ONLY, resolver=names) as caller,
    ):
        assert answer(await caller.post(to(at("hook.example", url)))).status == 204
        assert rule(await caller.post(to(at("evil.example", url)))) == NOT_PUBLIC


async def test_a_name_without_addresses_is_unknown() -> None:
    """An empty answer is no reason to give up for good."""
    names = Names(hook_example=[[]])
    async with HttpCaller.open(LOCAL, resolver=names) as caller:
        reply = await caller.post(to("http://hook.example/"))
        assert fault(reply) is Fault.CONNECT


async def test_names_that_may_lead_anywhere() -> None:
    """An exact name and a suffix are let through, whatever lies behind; no neighbour."""
    allowance = Allowance(hosts=("hook.example", "*.inner.example"), http=True)
    names = Names(
        hook_example=[["127.0.0.1"]],
        a_inner_example=[["127.0.0.1"]],
        inner_example=[["127.0.0.1"]],
        evilinner_example=[["127.0.0.1"]],
    )
    async with (
        endpoint(answering(204)) as url,
        HttpCaller.open(
            Egress(common=Route(allowance=allowance)), resolver=names
        ) as caller,
    ):
        for host in ("hook.example", "a.inner.example"):
            assert answer(await caller.post(to(at(host, url)))).status == 204
        for host in ("inner.example", "evilinner.example", "127.0.0.1"):
            assert rule(await caller.post(to(at(host, url)))) == NOT_PUBLIC


async def test_nobody_uses_anothers_allowance() -> None:
    """Not its rules, and not the connection that it has left open."""
    own = Route(allowance=LOOPBACK)
    egress = Egress(common=PUBLIC_ONLY.common, routes={"acme": own})
    names = Names(hook_example=[["127.0.0.1"]])
    async with (
        endpoint(answering(204)) as url,
        HttpCaller.open(egress, resolver=names) as caller,
    ):
        for there in (url, at("hook.example", url)):
            for requestor, status in (("acme", 204), ("globex", None), ("acme", 204)):
                reply = await caller.post(to(there, requestor=requestor))
                if status is None:
                    assert rule(reply) == NOT_PUBLIC
                else:
                    assert answer(reply).status == status


async def test_without_tls_only_where_allowed() -> None:
    """Http is refused before anything is looked up or dialled."""
    only = Route(allowance=Allowance(networks=LOOPBACK.networks))
    names = Names(hook_example=[["127.0.0.1"]])
    async with (
        untouched() as url,
        HttpCaller.open(Egress(common=only), resolver=names) as caller,
    ):
        assert rule(await caller.post(to(url))) == NOT_TLS
        assert rule(await caller.post(to(at("hook.example", url)))) == NOT_TLS
    assert names.asked == []


async def test_ports_may_be_limited() -> None:
    """With a list of ports, others are not dialled."""
    allowance = Allowance(
        networks=LOOPBACK.networks, http=True, ports=frozenset({80, 443})
    )
    async with (
        untouched() as url,
        HttpCaller.open(Egress(common=Route(allowance=allowance))) as caller,
    ):
        assert rule(await caller.post(to(url))) == NOT_THAT_PORT


async def test_the_environments_proxy_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the settings say how callbacks leave."""
    async with untouched() as proxy, endpoint(answering(204)) as url:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        async with HttpCaller.open(LOCAL) as caller:
            assert answer(await caller.post(to(url))).status == 204


async def test_a_redirect_into_the_forbidden_is_only_told() -> None:
    """What a public endpoint points to is not called."""
    async with untouched() as inner:
        location = {"Location": f"{inner}/MARKER"}

        async def handler(_request: web.BaseRequest) -> web.Response:
            return web.Response(status=307, headers=location)

        async with (
            endpoint(handler, address=SECOND) as url,
            HttpCaller.open(SECOND_ONLY) as caller,
        ):
            reply = answer(await caller.post(to(url)))
        assert (reply.status, reply.location_origin) == (307, inner)


async def test_the_operator_is_told_what_was_refused() -> None:
    """The log names requestor, address and range; the reply's rule only the settings."""
    names = Names(hook_example=[["10.1.2.3"]])
    with capture_logs() as logs:
        async with HttpCaller.open(Egress(), resolver=names) as caller:
            reply = await caller.post(to("https://hook.example/MARKER"))
    assert rule(reply) == NOT_PUBLIC
    assert logs == [
        {
            "event": "egress.refused",
            "log_level": "warning",
            "requestor": "acme",
            "rule": NOT_PUBLIC,
            "address": "10.1.2.3: 10.0.0.0/8, private use",
        }
    ]


async def test_names_that_hang_hold_up_no_other_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More of them than there are threads: another requestor's connections are made."""
    go, hanging = threading.Event(), list[asyncio.Task[Reply]]()
    ask: Callable[..., object] = socket.getaddrinfo

    def getaddrinfo(host: str, *args: object, **options: object) -> object:
        if host.endswith(".example"):
            go.wait(30)
        return ask("localhost", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with (
        endpoint(answering(204)) as url,
        HttpCaller.open(LOCAL, connect_timeout_s=2.0) as caller,
    ):
        try:
            for n in range(64):
                there = to(at(f"n{n}.slow{n}.example", url), requestor="globex")
                call = caller.post(there)
                hanging.append(asyncio.create_task(call))
            await asyncio.sleep(0)
            healthy = await caller.post(to(at("healthy.test", url)))
            assert answer(healthy).status == 204
            told = {fault(await one) for one in hanging}
        finally:
            go.set()
    assert told == {Fault.CONNECT, Fault.NO_ROOM}
