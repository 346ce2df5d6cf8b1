"""The check at start against the pretend IRMA server, over real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from orchestrator.backends.irma import IrmaBackend
from orchestrator.gateway.examination import Examination, Report, hear
from orchestrator.gateway.findings import Level
from orchestrator.ports import Message, utc_now
from orchestrator.proof.endpoints import Received, endpoint_at_work, listening
from orchestrator.sandbox import Requestor
from orchestrator.sealing import Sealer
from schemas.messages import WakeUp, parse_wake_up
from tests.contract.sandbox_lab import Json, sandbox_at_work

KEY = "our-token"
ID = "irma-demo.RU.studentCard.studentID"
SEALER = Sealer(b"\x01" * 32, "k1", b"\x02" * 32)


class Line:
    """Publisher and reply queue in one process, without a broker between."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[WakeUp] = asyncio.Queue()

    @property
    def queue(self) -> str:
        """The queue's name."""
        return "gateway.one"

    @asynccontextmanager
    async def waiter(self, correlation_id: str) -> AsyncIterator[Line]:
        """Whoever waits gets what is published."""
        assert correlation_id
        yield self

    async def wake_up(self, timeout_s: float) -> WakeUp | None:
        """What was published by now."""
        del timeout_s
        return None if self.inbox.empty() else self.inbox.get_nowait()

    async def publish(self, *messages: Message, timeout_s: float = 10.0) -> None:
        """Hand over what goes to this queue."""
        del timeout_s
        for message in messages:
            assert message.routing_key == self.queue
            self.inbox.put_nowait(parse_wake_up(message.body))


async def examined(
    *, reachable: bool = True, key: str = KEY, **server: Json
) -> dict[str, Level]:
    """What is found of a server with these options, by what was looked at."""
    ours = Requestor(key=KEY)
    async with (
        sandbox_at_work(time.time, requestors={"us": ours}, **server) as (_, url),
        IrmaBackend.open(url, key=key) as backend,
    ):
        line = Line()

        async def receive(_: int, received: Received) -> web.StreamResponse:
            token = received.path.removeprefix("/callback/").rstrip("/")
            check = SEALER.open_capability(token, now=utc_now())
            await hear(
                check,
                received.body.encode(),
                received.headers["Content-Type"],
                backend=backend,
                publisher=line,
            )
            return web.Response(status=204)

        async with endpoint_at_work(receive) as endpoint:
            report: Report = await Examination(
                backend=backend,
                replies=line,
                sealer=SEALER,
                clock=utc_now,
                public_url=endpoint.url if reachable else _nowhere(),
                attribute=ID,
                default_host=url.removeprefix("http://"),
            ).report()
    return {finding.check: finding.level for finding in report.findings}


def _nowhere() -> str:
    """An address at which nobody listens."""
    listener, url = listening()
    listener.close()
    return url


WELL = {
    "reached": Level.OK,
    "key": Level.OK,
    "session": Level.OK,
    "host": Level.OK,
    "way back": Level.OK,
    "permissions": Level.UNTRIED,
}


async def test_a_server_that_is_set_up_well(jwt_privkey: str) -> None:
    """It POSTs CANCELLED, signed, while it is asked to cancel."""
    assert await examined(jwt_privkey=jwt_privkey) == WELL


async def test_a_server_without_a_key() -> None:
    """Allowed to post unsigned it is warned of; otherwise no chain can start."""
    unsigned = await examined(allow_unsigned_callbacks=True)
    assert unsigned == WELL | {"key": Level.WARNING}
    assert (await examined())["session"] is Level.FAILED


async def test_a_server_that_cannot_reach_us(jwt_privkey: str) -> None:
    """Sessions start, but nothing would ever come of them."""
    found = await examined(jwt_privkey=jwt_privkey, reachable=False)
    assert found == WELL | {"way back": Level.FAILED}


async def test_a_server_that_does_not_know_us(jwt_privkey: str) -> None:
    """The rest cannot be looked at."""
    found = await examined(jwt_privkey=jwt_privkey, key="wrong")
    assert found == {"credentials": Level.FAILED}


async def test_a_server_that_permits_us_too_little(jwt_privkey: str) -> None:
    """What the check asks for is refused."""
    found = await examined(jwt_privkey=jwt_privkey, disclose_perms=("a.b.c.d",))
    assert found["session"] is Level.FAILED
