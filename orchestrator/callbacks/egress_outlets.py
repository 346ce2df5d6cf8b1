"""The connections that callbacks leave by.

A connection is used again only for requestors of the same route: who may not dial an
address does not get there by somebody else's connection, nor under somebody else's
certificate.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from orchestrator.callbacks.egress import (
    Egress,
    GuardedResolver,
    Route,
    guarded_socket,
    tls_context,
)
from orchestrator.callbacks.egress_names import SystemResolver
from orchestrator.domain.egress import NOT_THROUGH_PROXY, Allowance, Forbidden, read_host
from orchestrator.domain.egress_ranges import Address

#: Servers hang up on idle connections, many after 5 s, and a POST sent just then is lost;
#: so we are the first to hang up.
KEEPALIVE_S: Final = 4.0

#: Until a name is looked up again, the addresses count that were found and checked.
LOOKUP_KEPT_S: Final = 10

#: How much of the time to connect a name's look-up may take.
LOOKUP_SHARE: Final = 0.8

#: What an IRMA server sends (reference irma.md §7.2); aiohttp would add more.
_IRMA_HEADERS: Final = {"User-Agent": "irmago", "Accept-Encoding": "gzip"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long connecting may take in all, and how long an endpoint may be silent."""

    connect_timeout_s: float
    read_timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Way:
    """One call's way: a session to make it with, and what it has to say there.

    Attributes:
        url: with an address in the name's place where a proxy must not look it up.
        server_hostname: whose certificate is expected, if the URL does not tell.
        headers: the `Host` that the URL does not tell.
    """

    session: aiohttp.ClientSession
    url: URL
    server_hostname: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Outlet:
    """The connections of one route."""

    def __init__(
        self,
        allowance: Allowance,
        resolver: GuardedResolver,
        guarded: aiohttp.ClientSession,
        vouched: aiohttp.ClientSession,
        *,
        lookup_timeout_s: float,
        proxied: bool,
    ) -> None:
        self._allowance = allowance
        self._resolver = resolver
        self._guarded = guarded
        self._vouched = vouched
        self._lookup_timeout_s = lookup_timeout_s
        self._proxied = proxied

    async def way(self, url: URL) -> Way:
        """The way to a URL.

        Raises:
            Forbidden: it may not be called.
            OSError: its name cannot be looked up.
        """
        self._allowance.check_url(url.scheme, url.port)
        host = read_host(url.raw_host or "")
        if isinstance(host, str) and self._allowance.names(host):
            return Way(session=self._vouched, url=url)
        if not self._proxied:
            return Way(session=self._guarded, url=url)
        return await self._proxied_way(url, host)

    async def _proxied_way(self, url: URL, host: Address | str) -> Way:
        """A proxy dials what we say, so it is told the address that was checked.

        Without TLS it would take the address for the name of the site as well.
        """
        if not isinstance(host, str):
            self._allowance.check_address(str(host))
            return Way(session=self._vouched, url=url)
        if url.scheme != "https":
            raise Forbidden(NOT_THROUGH_PROXY)
        async with asyncio.timeout(self._lookup_timeout_s):
            found = await self._resolver.resolve(host, url.port or 0, socket.AF_UNSPEC)
        return Way(
            session=self._vouched,
            url=url.with_host(found[0]["host"]),
            server_hostname=host,
            headers={"Host": url.host_port_subcomponent or ""},
        )


class Outlets:
    """All connections for callbacks; requestors of equal routes share them."""

    def __init__(self, common: Outlet, by_requestor: Mapping[str, Outlet]) -> None:
        self._common = common
        self._by_requestor = by_requestor

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        egress: Egress,
        limits: Limits,
        resolver: AbstractResolver | None = None,
    ) -> AsyncIterator[Outlets]:
        """Outlets whose connections, and resolver, are closed with the context.

        Raises:
            NotConfigured: a certificate or key cannot be used.
        """
        inner = resolver or SystemResolver(LOOKUP_SHARE * limits.connect_timeout_s)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(inner.close)
            outlets = {
                route: await _open(stack, route, egress, limits, inner)
                for route in dict.fromkeys((egress.common, *egress.routes.values()))
            }
            yield cls(
                outlets[egress.common],
                {key: outlets[route] for key, route in egress.routes.items()},
            )

    async def way(self, requestor: str, url: URL) -> Way:
        """As `Outlet.way`, for a requestor."""
        return await self._by_requestor.get(requestor, self._common).way(url)


async def _open(
    stack: AsyncExitStack,
    route: Route,
    egress: Egress,
    limits: Limits,
    inner: AbstractResolver,
) -> Outlet:
    """Open a route's connections: those that are checked, and those that need not be."""
    tls = await asyncio.to_thread(tls_context, route.certificate, egress.ca_file)
    resolver = GuardedResolver(inner, route.allowance)
    guarded = _session(
        aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_S,
            ssl=tls,
            resolver=resolver,
            ttl_dns_cache=LOOKUP_KEPT_S,
            socket_factory=guarded_socket(route.allowance),
        ),
        limits,
    )
    # What the operator named: hosts whose address does not matter, or the proxy itself.
    vouched = _session(
        aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEPALIVE_S, ssl=tls, resolver=inner
        ),
        limits,
        egress.proxy,
    )
    return Outlet(
        route.allowance,
        resolver,
        await stack.enter_async_context(guarded),
        await stack.enter_async_context(vouched),
        lookup_timeout_s=limits.connect_timeout_s,
        proxied=egress.proxy is not None,
    )


def _session(
    connector: aiohttp.TCPConnector, limits: Limits, proxy: URL | None = None
) -> aiohttp.ClientSession:
    """No cookies, no proxy of the environment, no header of aiohttp's own.

    How many calls run at once is the worker's decision, so connectors have no limit.
    """
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=limits.connect_timeout_s,
            sock_read=limits.read_timeout_s,
        ),
        headers=_IRMA_HEADERS,
        skip_auto_headers=("Accept",),
        auto_decompress=False,
        trust_env=False,
        proxy=proxy,
    )
