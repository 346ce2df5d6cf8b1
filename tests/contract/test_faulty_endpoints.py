"""The endpoints of the proofs fail as they say, and count every connection."""

from __future__ import annotations

import pytest

from orchestrator.callbacks import HttpCaller
from orchestrator.callbacks.egress import Egress, Route
from orchestrator.domain.delivery import Fault, NoAnswer, Reply
from orchestrator.proof import talks
from orchestrator.proof.certificates import EXPIRED, Authority
from orchestrator.proof.faulty import Talk, faulty_endpoint
from tests.contract.endpoint_lab import LOCAL, LOOPBACK, answer, fault, to

TIMEOUT_S = 0.3


async def asked(talk: Talk) -> tuple[Reply, bytes]:
    """The reply to one POST, and what of its body the endpoint has read."""
    async with faulty_endpoint(talk) as endpoint, HttpCaller.open(LOCAL) as caller:
        reply = await caller.post(to(f"{endpoint.url}/path", timeout_s=TIMEOUT_S))
        (visit,) = endpoint.journal
        assert visit.path in {"/path", ""}
        return reply, visit.body


@pytest.mark.parametrize(
    "talk,expected",
    [
        (talks.resets_read, Fault.DISCONNECTED),
        (talks.says(), Fault.DISCONNECTED),
        (talks.cut_off(200), Fault.DISCONNECTED),
        (talks.garbage(), Fault.DISCONNECTED),
        (talks.header_flood(), Fault.DISCONNECTED),
        (talks.bomb(), Fault.TOO_LONG),
        (talks.endless(200), Fault.TOO_LONG),
        (talks.drips(200), Fault.TIMEOUT),
        (talks.hangs, Fault.TIMEOUT),
    ],
)
async def test_an_endpoint_that_reads_and_fails(talk: Talk, expected: Fault) -> None:
    """It has read the whole request before."""
    reply, body = await asked(talk)
    assert fault(reply) is expected
    assert body == b'{"token":"x"}'


@pytest.mark.parametrize(
    "talk,expected",
    [(talks.resets_unread, Fault.DISCONNECTED), (talks.silent, Fault.TIMEOUT)],
)
async def test_an_endpoint_that_reads_nothing(talk: Talk, expected: Fault) -> None:
    """It counts the connection all the same."""
    reply, body = await asked(talk)
    assert fault(reply) is expected
    assert body == b""


async def test_an_endpoint_that_answers() -> None:
    """With status, headers and body, each connection by its own part of the script."""
    script = talks.answers(503, headers={"Retry-After": "7"}), talks.answers(200, b"x")
    async with faulty_endpoint(*script) as endpoint, HttpCaller.open(LOCAL) as caller:
        replies = [answer(await caller.post(to(endpoint.url))) for _ in range(3)]
        await endpoint.until(3)
    assert [(reply.status, reply.body) for reply in replies] == [
        (503, b""),
        (200, b"x"),
        (200, b"x"),
    ]
    assert replies[0].retry_after_s == 7


async def test_an_endpoint_that_refuses_until_it_listens() -> None:
    """What it refuses it cannot count."""
    async with (
        faulty_endpoint(talks.answers(204), listening=False) as endpoint,
        HttpCaller.open(LOCAL) as caller,
    ):
        refused = await caller.post(to(endpoint.url))
        endpoint.listen()
        assert answer(await caller.post(to(endpoint.url))).status == 204
        assert len(endpoint.journal) == 1
    assert isinstance(refused, NoAnswer)
    assert refused.fault is Fault.CONNECT


async def test_an_endpoint_by_tls(authority: Authority) -> None:
    """A handshake that fails is counted, too, and nothing is read by it."""
    script = (
        talks.secured(
            authority.server("127.0.0.1", validity=EXPIRED), talks.answers(204)
        ),
        talks.no_tls,
        talks.secured(authority.server("127.0.0.1"), talks.answers(204)),
    )
    egress = Egress(common=Route(allowance=LOOPBACK), ca_file=authority.ca_file)
    async with (
        faulty_endpoint(*script, scheme="https") as endpoint,
        HttpCaller.open(egress) as caller,
    ):
        assert fault(await caller.post(to(endpoint.url))) is Fault.TLS
        assert fault(await caller.post(to(endpoint.url))) is Fault.TLS
        assert answer(await caller.post(to(endpoint.url))).status == 204
        assert [bool(visit.body) for visit in endpoint.journal] == [False, False, True]
