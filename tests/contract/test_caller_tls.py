"""TLS to endpoints: whom we trust, who we are, and which connections are shared."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.callbacks import HttpCaller
from orchestrator.callbacks.egress import ClientCertificate, Egress, Route
from orchestrator.domain.delivery import Fault
from orchestrator.domain.errors import NotConfigured
from orchestrator.proof.certificates import Authority
from tests.contract.endpoint_lab import (
    LOCAL,
    LOOPBACK,
    Handler,
    answer,
    answering,
    endpoint,
    fault,
    to,
)

HOST = "127.0.0.1"


def trusting(authority: Authority, **certificates: Path) -> Egress:
    """Calls on loopback that trust an authority, some with a certificate of their own."""
    common = Route(allowance=LOOPBACK)
    routes = {
        key: Route(allowance=LOOPBACK, certificate=ClientCertificate(file=file))
        for key, file in certificates.items()
    }
    return Egress(common=common, routes=routes, ca_file=authority.ca_file)


async def test_a_trusted_certificate(authority: Authority) -> None:
    """An authority that we are told to trust is trusted."""
    async with (
        HttpCaller.open(trusting(authority)) as caller,
        endpoint(answering(204), authority.server(HOST)) as url,
    ):
        assert answer(await caller.post(to(url))).status == 204


async def test_an_unknown_certificate(authority: Authority) -> None:
    """A certificate of nobody we know is a fault of TLS."""
    async with (
        HttpCaller.open(LOCAL) as caller,
        endpoint(answering(204), authority.server(HOST)) as url,
    ):
        assert fault(await caller.post(to(url))) is Fault.TLS


async def test_another_hosts_certificate(authority: Authority) -> None:
    """A trusted certificate for another name is a fault of TLS."""
    async with (
        HttpCaller.open(trusting(authority)) as caller,
        endpoint(answering(204), authority.server("other.example")) as url,
    ):
        assert fault(await caller.post(to(url))) is Fault.TLS


async def test_tls_where_there_is_none() -> None:
    """An https URL of a server that speaks plain HTTP is a fault of TLS."""
    async with HttpCaller.open(LOCAL) as caller, endpoint(answering(204)) as url:
        reply = await caller.post(to(url.replace("http:", "https:")))
    assert fault(reply) is Fault.TLS


def telling(seen: list[tuple[str | None, str]]) -> Handler:
    """Notes who calls, by certificate, and over which connection."""

    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert")
        name = shown["subject"][0][0][1] if shown else None
        seen.append((name, str(request.transport.get_extra_info("peername"))))
        return web.Response(status=204)

    return handler


async def test_each_requestor_shows_its_own_certificate(authority: Authority) -> None:
    """Connections are kept for each certificate, and nobody gets another one's."""
    egress = trusting(authority, a=authority.give("anna"), b=authority.give("bert"))
    seen: list[tuple[str | None, str]] = []
    tls = authority.server(HOST, clients=ssl.CERT_OPTIONAL)
    async with HttpCaller.open(egress) as caller, endpoint(telling(seen), tls) as url:
        for requestor in ("a", "b", "c", "a", "b", "c"):
            reply = await caller.post(to(url, requestor=requestor))
            assert answer(reply).status == 204
    assert [name for name, _ in seen] == ["anna", "bert", None] * 2
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3


async def test_who_has_no_certificate_is_not_let_in(authority: Authority) -> None:
    """An endpoint that asks for one hears nothing from others, whoever came before."""
    egress = trusting(authority, a=authority.give("anna"))
    seen: list[tuple[str | None, str]] = []
    tls = authority.server(HOST, clients=ssl.CERT_REQUIRED)
    async with HttpCaller.open(egress) as caller, endpoint(telling(seen), tls) as url:
        assert answer(await caller.post(to(url, requestor="a"))).status == 204
        refused = fault(await caller.post(to(url, requestor="c")))
    assert refused in {Fault.TLS, Fault.DISCONNECTED}
    assert [name for name, _ in seen] == ["anna"]


async def test_requestors_of_equal_routes_share_connections() -> None:
    """Who may reach the same, as the same, needs no connections of its own."""
    egress = Egress(common=Route(allowance=LOOPBACK), routes={"a": LOCAL.common})
    seen: list[tuple[str | None, str]] = []
    async with HttpCaller.open(egress) as caller, endpoint(telling(seen)) as url:
        for requestor in ("a", "b", "anonymous"):
            await caller.post(to(url, requestor=requestor))
    assert len(seen) == 3
    assert len(set(seen)) == 1


async def test_the_key_may_have_a_file_of_its_own(
    authority: Authority, tmp_path: Path
) -> None:
    """Certificate and key are taken from two files as well."""
    whole = authority.give("anna").read_text()
    at = whole.index("-----BEGIN PRIVATE KEY")
    file, key_file = tmp_path / "certificate.pem", tmp_path / "key.pem"
    file.write_text(whole[:at])
    key_file.write_text(whole[at:])
    route = Route(
        allowance=LOOPBACK, certificate=ClientCertificate(file=file, key_file=key_file)
    )
    egress = Egress(common=route, ca_file=authority.ca_file)
    tls = authority.server(HOST, clients=ssl.CERT_REQUIRED)
    async with HttpCaller.open(egress) as caller, endpoint(answering(204), tls) as url:
        assert answer(await caller.post(to(url))).status == 204


async def refusal(egress: Egress) -> str:
    """Why this cannot be opened."""
    with pytest.raises(NotConfigured) as caught:
        async with HttpCaller.open(egress):
            pass
    return str(caught.value)


async def test_keys_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    """Each is named at start, and nobody is asked for a password on the terminal."""
    locked = authority.give("locked", password=b"secret")
    text = await refusal(trusting(authority, a=locked))
    assert text == (
        "client_certificate_file: locked.pem:"
        " not what it should hold, in PEM without a password"
    )
    text = await refusal(trusting(authority, a=tmp_path / "none.pem"))
    assert text == "client_certificate_file: none.pem: No such file or directory"
    empty = tmp_path / "empty.pem"
    empty.touch()
    text = await refusal(Egress(ca_file=empty))
    assert text.startswith("egress.ca_file: empty.pem: not what it should hold")
