"""The pretend IRMA server to an app that repeats itself, is slow or comes elsewhere."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from orchestrator.proof.endpoints import Received
from tests.contract.app_lab import APP, DISCLOSURE, ISSUANCE, PROOFS, lab
from tests.contract.sandbox_lab import BOUND_S, RECORDED_NOW, Json

REFUSED = "NEXT_SESSION"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = RECORDED_NOW

    def __call__(self) -> float:
        """The time."""
        return self.now


async def counted(number: int, _: Received) -> web.StreamResponse:
    """An endpoint that asks for more, each time in other words."""
    return web.json_response({**DISCLOSURE, "labels": {"0": {"en": str(number)}}})


async def test_repeated_proofs() -> None:
    """The same proofs once more get the same answer as text; nothing is posted again."""
    async with lab(counted) as here:
        u = (await here.connected(chained=True))["sessionPtr"]["u"]
        first = await here.ask("POST", f"{u}/proofs", json=PROOFS)
        async with here.http.post(f"{u}/proofs", json=PROOFS, headers=APP) as response:
            again = (response.status, await response.json(content_type="text/plain"))
            content_type = response.headers["Content-Type"]
        unauthorized = await here.ask("POST", f"{u}/proofs", json=PROOFS, headers={})
    assert first[0] == 200
    assert again == first == unauthorized
    assert content_type == "text/plain; charset=utf-8"


async def test_repeated_failure() -> None:
    """Errors are repeated as well, without another POST."""
    posts: list[Received] = []

    async def refuses(_: int, received: Received) -> web.StreamResponse:
        posts.append(received)
        return web.Response(status=500)

    async with lab(refuses) as here:
        u = (await here.connected(chained=True))["sessionPtr"]["u"]
        first = await here.ask("POST", f"{u}/proofs", json=PROOFS)
        again = await here.ask("POST", f"{u}/proofs", json=PROOFS)
    assert (first[0], first[1]["error"]) == (500, REFUSED)
    assert again == first
    assert len(posts) == 1


@pytest.mark.parametrize("change", ["body", "path", "time", "status"])
async def test_request_that_is_no_repetition(change: str) -> None:
    """Another body or path, a later time or another status make it a new request."""
    clock = Clock()
    async with lab(clock=clock) as here:
        u = (await here.connected())["sessionPtr"]["u"]
        url, body = f"{u}/proofs", PROOFS
        await here.ask("POST", url, json=body)
        if change == "body":
            body = {**PROOFS, "intact": False}
        elif change == "path":
            url = f"{u}/request"
        elif change == "time":
            clock.now += 10.1
        else:
            url, body = u, None
        method = "GET" if change in {"path", "status"} else "POST"
        status, answer = await here.ask(method, url, json=body)
    assert (status, answer["error"]) == (403, "UNEXPECTED_REQUEST")


async def test_app_comes_again() -> None:
    """The first call is repeated for as long as the app did nothing else."""
    async with lab() as here:
        u = await here.pointer()
        first = await here.ask("GET", u)
        assert await here.ask("GET", u) == first
        await here.ask("GET", f"{u}/request")
        status, answer = await here.ask("GET", u)
    assert (status, answer["error"]) == (403, "UNEXPECTED_REQUEST")


async def test_host_of_the_session() -> None:
    """A session for another host is found there only."""
    elsewhere = {**DISCLOSURE, "host": "app.example:8443"}
    options: Json = {
        "requestors": {"acme": {"key": "secret", "host_perms": ["app.example:8443"]}}
    }
    async with lab(**options) as here:
        url, headers = f"{here.server}/session", {"Authorization": "secret"}
        _, package = await here.ask("POST", url, json=elsewhere, headers=headers)
        pointer = package["sessionPtr"]["u"]
        path = urlsplit(pointer).path
        there = {**APP, "Host": "app.example:8443"}
        wrong = await here.ask("GET", here.server + path)
        right = await here.ask("GET", here.server + path, headers=there)
    assert pointer.startswith("http://app.example:8443/irma/session/")
    assert (wrong[0], wrong[1]["message"]) == (403, "Host mismatch")
    assert right[0] == 200


@pytest.mark.parametrize(
    "path, error", [("session", "INVALID_REQUEST"), ("{ct}/proofs", "MALFORMED_INPUT")]
)
async def test_slow_request(path: str, error: str) -> None:
    """A request that takes too long to arrive is refused."""
    async with lab(read_timeout_s=0.1) as here:
        u = (await here.connected())["sessionPtr"]["u"]
        target = urlsplit(u).path + "/proofs" if "ct" in path else "/session"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", urlsplit(here.server).port, family=socket.AF_INET
        )
        head = (
            f"POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: app-token\r\n"
            "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
        )
        writer.write(head.encode())
        async with asyncio.timeout(BOUND_S):
            answer = await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert f'"error": "{error}"'.encode() in answer


EXPIRED: Json = {
    "disclosed": [[{**PROOFS["disclosed"][0][0], "expired": True}]],
}


async def test_expired_attributes() -> None:
    """A disclosing session ends DONE and EXPIRED, the values still there."""
    async with lab() as here:
        package = await here.connected()
        answer = await here.ask(
            "POST", f"{package['sessionPtr']['u']}/proofs", json=EXPIRED
        )
        result = await here.result(package)
    assert answer == (200, {"proofStatus": "EXPIRED"})
    assert (result["status"], result["proofStatus"]) == ("DONE", "EXPIRED")
    assert result["disclosed"][0][0]["rawvalue"] == "456"


async def test_nothing_is_issued_against_expired_attributes() -> None:
    """An issuing session is cancelled with an error of its own."""
    issuance = {**ISSUANCE, "disclose": DISCLOSURE["disclose"]}
    async with lab() as here:
        package = await here.connected(issuance)
        url = f"{package['sessionPtr']['u']}/commitments"
        status, answer = await here.ask("POST", url, json=EXPIRED)
        result = await here.result(package)
    assert (status, answer["error"]) == (400, "ATTRIBUTES_EXPIRED")
    assert result == {
        "token": package["token"],
        "status": "CANCELLED",
        "type": "issuing",
        "error": answer,
    }
