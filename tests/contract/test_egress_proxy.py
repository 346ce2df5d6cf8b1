"""Callbacks through a proxy of the operator's: what is checked, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from orchestrator.callbacks import HttpCaller
from orchestrator.callbacks.egress import Egress, Route
from orchestrator.domain.delivery import Fault, NoAnswer, Reply
from orchestrator.domain.egress import (
    NOT_PLAIN,
    NOT_PUBLIC,
    NOT_THROUGH_PROXY,
    Allowance,
)
from orchestrator.proof.certificates import Authority
from tests.contract.endpoint_lab import Handler, Names, answer, endpoint, fault, raw, to

#: Stands for the public addresses.
PUBLIC = "127.0.0.2"
NETWORKS = (ip_network(PUBLIC),)


@dataclass
class Proxy:
    """A proxy that dials one endpoint, whatever it is told.

    Attributes:
        heads: the head of each request that it was sent.
        port: where everything goes.
        status: its answer to `CONNECT`.
    """

    heads: list[str] = field(default_factory=list)
    port: int = 0
    status: int = 200

    @property
    def targets(self) -> list[str]:
        """The request lines, without the version."""
        return [head.split("\r\n")[0].removesuffix(" HTTP/1.1") for head in self.heads]

    async def talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection: a tunnel, or one forwarded request."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        if self.status != 200:
            writer.write(f"HTTP/1.1 {self.status} No\r\n\r\n".encode())
            await writer.drain()
            return
        inner_reader, inner_writer = await asyncio.open_connection(PUBLIC, self.port)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            inner_writer.write(head)
        try:
            await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))
        finally:
            inner_writer.transport.abort()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on until the one side ends, then end the other."""
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.transport.abort()


@dataclass
class Bench:
    """A caller behind a proxy, and an endpoint behind that."""

    caller: HttpCaller
    proxy: Proxy
    url: str
    requests: list[tuple[str, str, str | None]]


def noting(requests: list[tuple[str, str, str | None]]) -> Handler:
    """Notes target, host, and whether the proxy's credentials came along."""

    async def handler(request: web.BaseRequest) -> web.Response:
        credentials = request.headers.get("Proxy-Authorization")
        requests.append((request.raw_path, request.headers["Host"], credentials))
        return web.Response(status=204)

    return handler


@asynccontextmanager
async def bench(
    names: Names,
    allowance: Allowance,
    authority: Authority | None = None,
    hosts: tuple[str, ...] = ("hook.example",),
) -> AsyncIterator[Bench]:
    """With an authority the endpoint has a certificate for these hosts."""
    proxy = Proxy()
    requests: list[tuple[str, str, str | None]] = []
    tls = authority.server(*hosts) if authority else None
    ca_file: Path | None = authority.ca_file if authority else None
    async with (
        endpoint(noting(requests), tls, PUBLIC) as url,
        raw(proxy.talk) as proxy_url,
    ):
        proxy.port = URL(url).port or 0
        egress = Egress(
            common=Route(allowance=allowance),
            proxy=URL(proxy_url).with_user("us").with_password("secret"),
            ca_file=ca_file,
        )
        async with HttpCaller.open(egress, resolver=names) as caller:
            yield Bench(caller, proxy, url, requests)


def rule(reply: Reply) -> str | None:
    """The rule that forbids a destination."""
    assert fault(reply) is Fault.FORBIDDEN
    assert isinstance(reply, NoAnswer)
    return reply.rule


async def test_the_proxy_is_told_the_address_that_was_checked(
    authority: Authority,
) -> None:
    """It cannot look the name up to something else; TLS and `Host` keep the name."""
    names = Names(hook_example=[["10.0.0.1", PUBLIC], ["127.0.0.1"]])
    async with bench(names, Allowance(networks=NETWORKS), authority) as at:
        port = at.proxy.port
        there = f"https://u:p@hook.example:{port}/a%2Fb/%7e?x=%3D"
        assert answer(await at.caller.post(to(there))).status == 204
    assert at.proxy.targets == [f"CONNECT {PUBLIC}:{port}"]
    assert at.requests == [("/a%2Fb/%7e?x=%3D", f"hook.example:{port}", None)]
    assert names.asked == ["hook.example"]


async def test_the_proxys_credentials_are_for_the_proxy(authority: Authority) -> None:
    """They come with `CONNECT`, and nothing of the callback does."""
    names = Names(hook_example=[[PUBLIC]])
    async with bench(names, Allowance(networks=NETWORKS), authority) as at:
        await at.caller.post(to(f"https://hook.example:{at.proxy.port}/MARKER"))
    assert "Proxy-Authorization: Basic dXM6c2VjcmV0" in at.proxy.heads[0]
    assert "MARKER" not in at.proxy.heads[0]
    assert "webhook-id" not in at.proxy.heads[0]
    assert [credentials for *_, credentials in at.requests] == [None]


async def test_a_tunnel_is_used_again(authority: Authority) -> None:
    """Calls that follow each other share it."""
    names = Names(hook_example=[[PUBLIC]])
    async with bench(names, Allowance(networks=NETWORKS), authority) as at:
        for _ in range(3):
            there = f"https://hook.example:{at.proxy.port}/"
            assert answer(await at.caller.post(to(there))).status == 204
    assert len(at.proxy.heads) == 1
    assert len(at.requests) == 3


async def test_a_tunnel_leads_to_one_name(authority: Authority) -> None:
    """Two names of one address have a tunnel each, and a certificate each."""
    names = Names(hook_example=[[PUBLIC]], other_example=[[PUBLIC]])
    async with bench(names, Allowance(networks=NETWORKS), authority) as at:
        port = at.proxy.port
        reply = await at.caller.post(to(f"https://hook.example:{port}/"))
        assert answer(reply).status == 204
        reply = await at.caller.post(to(f"https://other.example:{port}/"))
        assert fault(reply) is Fault.TLS
    assert len(at.proxy.heads) == 2
    assert len(at.requests) == 1


@pytest.mark.parametrize(
    "host,rule_broken",
    [
        ("evil.example", NOT_PUBLIC),
        ("127.0.0.1", NOT_PUBLIC),
        ("[::ffff:127.0.0.1]", NOT_PUBLIC),
        ("[64:ff9b::127.0.0.1]", NOT_PUBLIC),
        ("0x7f.1", NOT_PLAIN),
        ("127.1", NOT_PLAIN),
        ("%31%32%37.0.0.1", NOT_PLAIN),
    ],
)
async def test_the_proxy_is_not_asked_for_what_is_forbidden(
    host: str, rule_broken: str
) -> None:
    """Names and addresses are checked as without one, before it hears of them."""
    names = Names(evil_example=[["127.0.0.1"]])
    allowance = Allowance(networks=NETWORKS, hosts=("other.example",), http=True)
    async with bench(names, allowance) as at:
        for scheme in ("https", "http"):
            reply = await at.caller.post(to(f"{scheme}://{host}/"))
            if scheme == "http" and host == "evil.example":
                assert rule(reply) == NOT_THROUGH_PROXY
            else:
                assert rule(reply) == rule_broken
    assert at.proxy.heads == []


async def test_an_allowed_name_is_the_proxys_to_look_up(authority: Authority) -> None:
    """We need not know it; it may be one that only the proxy can look up."""
    async with bench(Names(), Allowance(hosts=("hook.example",)), authority) as at:
        port = at.proxy.port
        reply = await at.caller.post(to(f"https://hook.example:{port}/"))
        assert answer(reply).status == 204
    assert at.proxy.targets == [f"CONNECT hook.example:{port}"]


async def test_a_proxy_that_checks_names_itself() -> None:
    """With `*` it is told all names; addresses in the URL stay ours to check."""
    async with bench(Names(), Allowance(hosts=("*",), http=True)) as at:
        there = f"http://hook.example:{at.proxy.port}/x"
        assert answer(await at.caller.post(to(there))).status == 204
        for host, broken in (("127.0.0.1", NOT_PUBLIC), ("2130706433", NOT_PLAIN)):
            assert rule(await at.caller.post(to(f"http://{host}/"))) == broken
    assert at.proxy.targets == [f"POST {there}"]


async def test_a_literal_address_goes_through(authority: Authority) -> None:
    """An address that is allowed is the proxy's to dial as it stands."""
    async with bench(
        Names(), Allowance(networks=NETWORKS), authority, hosts=(PUBLIC,)
    ) as at:
        assert answer(await at.caller.post(to(at.url))).status == 204
    assert at.proxy.targets == [f"CONNECT {PUBLIC}:{at.proxy.port}"]


async def test_a_proxy_that_refuses_or_is_away(authority: Authority) -> None:
    """Either may pass, so the callback is tried again."""
    names = Names(hook_example=[[PUBLIC]])
    async with bench(names, Allowance(networks=NETWORKS), authority) as at:
        at.proxy.status = 403
        there = to(f"https://hook.example:{at.proxy.port}/")
        assert fault(await at.caller.post(there)) is Fault.CONNECT
    gone = Egress(
        common=Route(allowance=Allowance(networks=NETWORKS)),
        proxy=URL(f"http://127.0.0.1:{at.proxy.port}"),
    )
    async with HttpCaller.open(gone, resolver=names) as caller:
        assert fault(await caller.post(there)) is Fault.CONNECT


async def test_an_unknown_name_may_come_back() -> None:
    """What cannot be looked up for the proxy is a fault of connecting, as without."""
    async with bench(Names(), Allowance(networks=NETWORKS)) as at:
        reply = await at.caller.post(to("https://nobody.example/"))
        assert fault(reply) is Fault.CONNECT
    assert at.proxy.heads == []
