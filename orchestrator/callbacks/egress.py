"""How callbacks leave: what may be dialled, as whom, and what keeps to it.

The very address that a socket connects to is checked, so it does not matter what a name
meant a moment before.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from orchestrator.domain.egress import Allowance, Forbidden
from orchestrator.domain.errors import NotConfigured


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """Who we are to endpoints that ask: PEM files; the key may be in the first."""

    file: Path
    key_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a requestor's callbacks may reach, and under which certificate."""

    allowance: Allowance = field(default_factory=Allowance)
    certificate: ClientCertificate | None = None


@dataclass(frozen=True, kw_only=True)
class Egress:
    """How callbacks leave.

    Attributes:
        common: the route of requestors without one of their own.
        routes: by requestor's key.
        proxy: the HTTP proxy that dials in our place; never the environment's.
        ca_file: whom to trust besides the system's authorities.
    """

    common: Route = field(default_factory=Route)
    routes: Mapping[str, Route] = field(default_factory=dict)
    proxy: URL | None = field(default=None, repr=False)
    ca_file: Path | None = None


class GuardedResolver(AbstractResolver):
    """Looks up names and keeps only addresses that may be dialled."""

    def __init__(self, inner: AbstractResolver, allowance: Allowance) -> None:
        self._inner = inner
        self._allowance = allowance

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """The addresses of a name, without the forbidden ones.

        Raises:
            Forbidden: no other ones are left.
        """
        admitted: list[ResolveResult] = []
        refusal: Forbidden | None = None
        for found in await self._inner.resolve(host, port, family):
            try:
                self._allowance.check_address(found["host"])
            except Forbidden as error:
                refusal = error
            else:
                admitted.append(found)
        if not admitted:
            raise refusal or socket.gaierror(socket.EAI_NONAME, "no address")
        return admitted

    async def close(self) -> None:
        """Close what looks up."""
        await self._inner.close()


def guarded_socket(allowance: Allowance) -> aiohttp.SocketFactoryType:
    """Makes sockets for addresses that may be dialled.

    Addresses that stand in the URL never pass a resolver; nothing passes by here.
    """

    def make(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, socket_address = address
        allowance.check_address(str(socket_address[0]))
        return socket.socket(family, kind, protocol)

    return make


def tls_context(
    certificate: ClientCertificate | None, ca_file: Path | None
) -> ssl.SSLContext:
    """Trusts the system's authorities and our own; shows our certificate when asked.

    Raises:
        NotConfigured: naming the file that cannot be used.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise _unusable("egress.ca_file", ca_file, error) from None
    if certificate is not None:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate.file, certificate.key_file, password="")
        except OSError as error:
            what = "client_certificate_file"
            raise _unusable(what, certificate.file, error) from None
    return context


def _unusable(setting: str, file: Path, error: OSError) -> NotConfigured:
    why = "not what it should hold, in PEM without a password"
    if not isinstance(error, ssl.SSLError):
        why = error.strerror or "it cannot be read"
    return NotConfigured(f"{setting}: {file.name}: {why}")
