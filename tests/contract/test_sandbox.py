"""The pretend IRMA server behaves as a real one 1.3.0 did: whole chains, recorded.

Of the 21 recorded chains all are played. Deliberate differences:

- Messages that a real server takes from Go's JSON parser are ours to word.
- `validity` and `keyCounter` of a credential to issue come from the issuer's key, which
  the sandbox does not have; nonces are random.
- Times are compared where they are the behaviour: order, retry pauses, the cut-off. Slow
  endpoints are held until the app has given up, and the cut-off comes after 0.3 s.

*timeout 5 s with callbackUrl* is played with the fault *repeated TIMEOUT* on: a real
server announces it every 10 s. Signing sessions were not recorded (they need a time-stamp
service).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import jwt
import pytest
from aiohttp import web

from orchestrator.proof.endpoints import (
    Endpoint,
    Received,
    Script,
    endpoint_at_work,
    no_content,
)
from orchestrator.sandbox import (
    Credential,
    Outcome,
    Requestor,
    Step,
    Wallet,
    decline,
    share,
)
from orchestrator.sandbox.http import RUNNING
from orchestrator.sandbox.knobs import Fault, Faults
from schemas.irma import SessionPointer
from tests.contract.sandbox_lab import (
    BOUND_S,
    RECORDED_NOW,
    Json,
    anonymous,
    claims_of,
    localised,
    sandbox_at_work,
    vectors,
)

pytestmark = pytest.mark.contract

FLOWS: dict[str, Json] = {flow["name"]: flow for flow in vectors("chains.json")["flows"]}

STUDENT_CARD = Credential(
    "irma-demo.RU.studentCard", {"studentID": "456", "university": "Radboud"}
)
FULL_NAME = Credential(
    "irma-demo.MijnOverheid.fullName",
    {"firstname": "Johan", "familyname": "Stuivezand"},
    1_795_046_400,
)

#: Played by tests of their own: somebody else than the app acts, or time passes.
APART = {
    "endpoint answers after 3.5 s",
    "endpoint answers after 5 s",
    "callbackUrl answers after 5 s",
    "timeout 5 s with callbackUrl",
    "cancelled by the requestor",
}

#: The server's `message` comes from Go's JSON parser.
OUR_WORDS = {"endpoint answers 200 with nothing"}


def options_of(name: str, jwt_privkey: str) -> dict[str, Json]:
    """The configuration a flow was recorded with."""
    if name.startswith("unsigned"):
        return {"allow_unsigned_callbacks": True}
    if "(production)" not in name:
        return {"jwt_privkey": jwt_privkey}
    allowed = ("irma-demo.RU.studentCard.studentID",)
    return {
        "jwt_privkey": jwt_privkey,
        "jwt_issuer": "irmaserver",
        "disclose_perms": (),
        "requestors": {"one": Requestor(key="s-one", disclose_perms=allowed)},
    }


class Flow:
    """One recorded flow on its way through the sandbox."""

    def __init__(
        self, name: str, app: web.Application, server: str, endpoint: Endpoint
    ) -> None:
        self.recorded = localised(
            FLOWS[name],
            server=server,
            endpoint=endpoint.url,
            endpoint_host=endpoint.url.removeprefix("http://"),
        )
        self.app = app
        self.endpoint = endpoint
        self.started: Json = None
        self._server = server
        self._name = name

    async def call(self, method: str, url: str, **options: Json) -> Json:
        """One call to the sandbox: the JSON of its answer, or None."""
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, **options) as response,
        ):
            assert response.status == 200
            text = await response.text()
            return json.loads(text) if text else None

    async def start(self) -> SessionPointer:
        """Start the recorded session."""
        self.started = await self.call(
            "POST",
            f"{self._server}/session",
            json=self.recorded["request"],
            headers={"Authorization": "s-one"} if "(production)" in self._name else {},
        )
        return SessionPointer.model_validate(self.started["sessionPtr"])

    def session_url(self, suffix: str) -> str:
        """A requestor's URL of the started session."""
        return f"{self._server}/session/{self.started['token']}{suffix}"

    async def settled(self) -> None:
        """Wait until the server has nothing more to do."""
        async with asyncio.timeout(BOUND_S):
            while self.handlers():
                await asyncio.wait(self.handlers())

    def handlers(self) -> set[asyncio.Task[web.StreamResponse]]:
        """What the server is working on."""
        running: set[asyncio.Task[web.StreamResponse]] = self.app[RUNNING]
        return running

    async def aftermath(self) -> Json:
        """Every result of the chain, and the frontend's view of its first session."""
        results = []
        token = self.started["token"]
        while token:
            result = await self.call("GET", f"{self._server}/session/{token}/result")
            results.append(result)
            token = result.get("nextSession")
        frontend = await self.call(
            "GET",
            f"{self.started['sessionPtr']['u']}/frontend/status",
            headers={"Authorization": self.started["frontendRequest"]["authorization"]},
        )
        return {"results": results, "frontend": frontend}

    async def check(self, outcome: Outcome | None) -> None:
        """Compare everything that happened with the recording."""
        posts = [comparable_post(received) for received in self.endpoint.received]
        happened = {
            "started": self.started,
            "app": [] if outcome is None else app_events(outcome, self._name),
            "posts": posts,
            **await self.aftermath(),
        }
        recorded_posts = self.recorded["endpoint_received"]
        expected = {
            "started": self.recorded["started"],
            "app": [
                comparable_event(event, self._name)
                for event in self.recorded.get("app", [])
            ],
            "posts": [comparable_recorded(one) for one in recorded_posts[: len(posts)]],
            "results": self.recorded["results_afterwards"],
            "frontend": self.recorded["frontend_status_afterwards"],
        }
        assert anonymous(happened) == anonymous(expected)


def comparable_post(received: Received) -> Json:
    """What the endpoint got, in the shape of the recording."""
    headers = {
        name: value
        for name, value in received.headers.items()
        if name not in {"Content-Length", "Connection"}
    }
    post = {"method": received.method, "path": received.path, "headers": headers}
    if headers.get("Content-Type", "").startswith("text/plain"):
        post["jwt_header"] = jwt.get_unverified_header(received.body)
        post["jwt_claims"] = timeless(claims_of(received.body))
    elif received.body:
        post["json"] = json.loads(received.body)
    return post


def comparable_recorded(post: Json) -> Json:
    """A recorded POST without times and without what the endpoint answered."""
    kept = {"method", "path", "headers", "jwt_header", "json"}
    comparable = {name: value for name, value in post.items() if name in kept}
    if "jwt_claims" in post:
        comparable["jwt_claims"] = timeless(post["jwt_claims"])
    return comparable


def timeless(claims: Json) -> Json:
    """Claims with the validity in place of the time of signing."""
    others = {name: value for name, value in claims.items() if name not in {"iat", "exp"}}
    return {**others, "validity": claims["exp"] - claims["iat"]}


def app_events(outcome: Outcome, name: str) -> list[Json]:
    """The wallet's journal as the recorded app reported it."""
    events = [
        {"what": f"ask {_verb(step)}", "request": _asked(step)} for step in outcome.steps
    ]
    last = outcome.steps[-1]
    end = {"what": str(last.status)}
    if last.http_status is not None:
        end["error"] = comparable_error(last.http_status, last.error, name)
    return [*events, end]


def comparable_event(event: Json, name: str) -> Json:
    """A recorded event of the app without its time."""
    if "request" in event:
        request = event["request"]
        for credential in request.get("credentials", []):
            del credential["validity"], credential["keyCounter"]
        return {"what": event["what"], "request": request}
    if "info" not in event:
        return {"what": event["what"]}
    status, body = event["info"].split("remote=")[1].split(" ", 1)
    error = comparable_error(int(status), json.loads(body), name)
    return {"what": event["what"], "error": error}


def comparable_error(status: int, error: Json, name: str) -> Json:
    """An error without the message, where that is ours to word."""
    if name in OUR_WORDS:
        error = {key: value for key, value in error.items() if key != "message"}
    return {"status": status, "error": error}


def _verb(step: Step) -> str:
    return {"disclosing": "disclosure", "issuing": "issuance"}[step.type]


def _asked(step: Step) -> Json:
    server_set = {"context", "devMode", "nonce", "protocolVersion"}
    asked = step.requested or {}
    return {name: value for name, value in asked.items() if name not in server_set}


def wallet_of(name: str) -> Wallet:
    """The wallet a flow was recorded with; the name is issued in the first chain."""
    issued_on_the_way = name.startswith("three steps")
    return Wallet([STUDENT_CARD] if issued_on_the_way else [STUDENT_CARD, FULL_NAME])


def scripted(name: str, flow: Callable[[], Flow]) -> Script:
    """The recorded answers, one after the other."""

    async def script(number: int, received: Received) -> web.StreamResponse | None:
        post = flow().recorded["endpoint_received"][number]
        if "result_read_inside" in post:
            inside = await flow().call("GET", flow().session_url("/result"))
            tokenless = {**post["result_read_inside"], "token": inside["token"]}
            assert inside == tokenless
        if "drops the connection" in name:
            return None
        answered = post["answered"]
        redirected = "redirects" in name and received.path == "/1"
        return web.Response(
            status=answered["status"],
            body=answered.get("body", "").encode(),
            headers={"Location": "/2"} if redirected else {},
        )

    return script


@pytest.mark.parametrize("name", [name for name in FLOWS if name not in APART])
async def test_recorded_chain(name: str, jwt_privkey: str) -> None:
    """The POSTs, the app's experience and the results are those of a real server."""
    flows: list[Flow] = []
    async with (
        endpoint_at_work(scripted(name, lambda: flows[0])) as endpoint,
        sandbox_at_work(**options_of(name, jwt_privkey)) as (app, server),
    ):
        flow = Flow(name, app, server, endpoint)
        flows.append(flow)
        decide = decline if name == "user declines" else share
        outcome = await wallet_of(name).run(await flow.start(), decide)
        await flow.settled()
        await flow.check(outcome)
        recorded_posts = flow.recorded["endpoint_received"]
        assert len(endpoint.received) == len(recorded_posts)


@asynccontextmanager
async def flow_at_work(
    name: str, script: Script, jwt_privkey: str, **options: Json
) -> AsyncIterator[Flow]:
    """A recorded flow whose endpoint answers by a script of the test's own."""
    async with (
        endpoint_at_work(script) as endpoint,
        sandbox_at_work(**options_of(name, jwt_privkey), **options) as (app, server),
    ):
        yield Flow(name, app, server, endpoint)


async def test_slow_endpoint_in_time(jwt_privkey: str) -> None:
    """While the endpoint thinks, the session is CONNECTED; then the app goes on."""
    name = "endpoint answers after 3.5 s"
    asked, released = asyncio.Event(), asyncio.Event()

    async def script(number: int, _: Received) -> web.StreamResponse:
        asked.set()
        await released.wait()
        answered = FLOWS[name]["endpoint_received"][number]["answered"]
        return web.Response(body=answered["body"].encode())

    async with flow_at_work(name, script, jwt_privkey) as flow:
        pointer = await flow.start()
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as tasks:
            run = tasks.create_task(wallet_of(name).run(pointer))
            await asked.wait()
            assert await flow.call("GET", flow.session_url("/status")) == "CONNECTED"
            released.set()
        await flow.check(run.result())


async def test_endpoint_slower_than_the_cut_off(jwt_privkey: str) -> None:
    """The app is sent away and cancels; the handler goes on, announces DONE and loses."""
    name = "endpoint answers after 5 s"
    released = asyncio.Event()

    async def script(number: int, received: Received) -> web.StreamResponse:
        if received.path != "/1":
            return web.Response(status=204)
        await released.wait()
        answered = FLOWS[name]["endpoint_received"][number]["answered"]
        return web.Response(body=answered["body"].encode())

    async with flow_at_work(name, script, jwt_privkey, handler_cut_s=0.3) as flow:
        outcome = await wallet_of(name).run(await flow.start())
        assert outcome.steps[0].ended_at_s >= 0.3
        released.set()
        await flow.settled()
        await flow.check(outcome)
        assert len(flow.endpoint.received) == 3


async def test_callback_slower_than_the_cut_off(jwt_privkey: str) -> None:
    """Announced CANCELLED in the meantime, the session is DONE in the end."""
    name = "callbackUrl answers after 5 s"
    first, second = asyncio.Event(), asyncio.Event()

    async def script(number: int, _: Received) -> web.StreamResponse:
        await (first, second)[number].wait()
        return web.Response(text="ok")

    async with flow_at_work(name, script, jwt_privkey, handler_cut_s=0.3) as flow:
        outcome = await wallet_of(name).run(await flow.start())
        first.set()
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait(flow.handlers(), return_when=asyncio.FIRST_COMPLETED)
        second.set()
        await flow.settled()
        await flow.check(outcome)
        assert len(flow.endpoint.received) == 2


async def test_timeout_is_announced_by_every_sweep(jwt_privkey: str) -> None:
    """A session nobody scans in time is announced as TIMEOUT, sweep after sweep."""
    name = "timeout 5 s with callbackUrl"
    announced = asyncio.Event()
    now = RECORDED_NOW

    async def script(number: int, _: Received) -> web.StreamResponse:
        if number == 1:
            announced.set()
        return web.Response(status=204)

    faults = Faults(repeated_timeout=Fault(times=1))
    async with (
        endpoint_at_work(script) as endpoint,
        sandbox_at_work(
            lambda: now, sweep_s=0.01, jwt_privkey=jwt_privkey, faults=faults
        ) as (app, server),
    ):
        flow = Flow(name, app, server, endpoint)
        await flow.start()
        now += 5.1
        async with asyncio.timeout(BOUND_S):
            await announced.wait()
        await flow.check(None)
        assert len(endpoint.received) == len(flow.recorded["endpoint_received"])


async def test_cancelled_by_the_requestor(jwt_privkey: str) -> None:
    """A requestor's DELETE cancels the session and is announced."""
    name = "cancelled by the requestor"

    async with flow_at_work(name, no_content, jwt_privkey) as flow:
        await flow.start()
        assert await flow.call("DELETE", flow.session_url("")) is None
        await flow.check(None)
        assert len(flow.endpoint.received) == 1


async def test_transport_errors_are_tried_three_times(jwt_privkey: str) -> None:
    """Two pauses, of 100 and 200 ms, lie between three attempts."""
    name = "endpoint drops the connection"

    async def script(_: int, __: Received) -> None:
        return None

    async with flow_at_work(name, script, jwt_privkey) as flow:
        await wallet_of(name).run(await flow.start())
        first, second, third = (one.at_s for one in flow.endpoint.received)
        assert second - first >= 0.1
        assert third - second >= 0.2


def test_every_recorded_chain_is_played() -> None:
    """No recorded chain is forgotten."""
    assert len(FLOWS) == 21
    assert FLOWS.keys() >= APART
