"""Batch replays by HTTP: what is told, what is refused, and who it is noted of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI
from pydantic import JsonValue

from orchestrator.domain import replaying
from orchestrator.domain.failing import FailureFilter
from orchestrator.domain.replaying import Replay
from orchestrator.gateway import create_app
from orchestrator.gateway.operators import Operators
from schemas.irma import JsonObject
from tests.support.asgi import Answer, call
from tests.support.replays import SHOP, a_plan, fail_chain
from tests.support.samples import NOW, SECRET
from tests.support.workshop import Workshop

TOKEN = "the-token-of-anna-MARKER"
ANNA = {"Authorization": f"Bearer {TOKEN}"}
OPERATORS = Operators(digests={"anna": hashlib.sha256(TOKEN.encode()).digest()})
IDS = tuple(f"01M80YVSQQKN1JP1SMFEKT79D{n}" for n in range(6))
URL = "https://other.example/next?secret=MARKER"


@pytest.fixture
def app(workshop: Workshop) -> FastAPI:
    """A gateway with one operator."""
    return create_app(workshop.desk(operators=OPERATORS))


async def post(app: FastAPI, **body: JsonValue) -> Answer:
    """What an operator is answered who asks for a replay."""
    return await call(app, "POST", "/replays", json.dumps(body).encode(), ANNA)


async def change(app: FastAPI, path: str) -> Answer:
    """What an operator is answered who changes a plan."""
    return await call(app, "POST", path, headers=ANNA)


async def get(app: FastAPI, path: str) -> Answer:
    """What an operator is told."""
    return await call(app, "GET", path, headers=ANNA)


async def fail(workshop: Workshop, *ids: str) -> None:
    """Chains end as failed."""
    for chain_id in ids:
        await fail_chain(workshop.store, chain_id, NOW)


async def plans(workshop: Workshop) -> list[Replay]:
    """All plans there are."""
    return await workshop.store.replays.plans(limit=9)


def refusal(answer: Answer, status: int = 400) -> tuple[JsonValue, JsonValue]:
    """The field that is wrong, and why; nothing that was sent is in it."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert "MARKER" not in answer.body.decode()
    assert answer.fields["status"] == status
    return answer.fields.get("field"), answer.fields["detail"]


async def test_a_post_tells_what_there_is_and_starts_nothing(
    workshop: Workshop, app: FastAPI
) -> None:
    """The same sums and groups as the command line's."""
    await fail(workshop, *IDS[:2])
    await fail_chain(workshop.store, IDS[2], NOW, purged_at=NOW)
    answer = await post(app, filter={"status": 503, "chains": list(IDS[:3])})
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.fields
    assert (told["toReplay"], told["tooOld"], told["handled"]) == (2, 1, 0)
    assert told["groups"] == [
        {
            "reason": "status",
            "endpoint": SHOP,
            "status": 503,
            "toReplay": 2,
            "tooOld": 1,
            "inReplay": 0,
            "refused": 0,
            "handled": 0,
            "firstAt": "2026-03-29T00:59:58Z",
            "lastAt": "2026-03-29T00:59:58Z",
        }
    ]
    assert isinstance(told["filter"], dict)
    assert told["filter"]["chains"] == 3
    assert (await post(app)).fields["toReplay"] == 2
    assert await plans(workshop) == []


async def test_a_plan_is_made_by_an_operator(workshop: Workshop, app: FastAPI) -> None:
    """It says who asked, and goes on as was said; the other URL is sealed."""
    await fail(workshop, IDS[0])
    answer = await post(
        app,
        filter={"requestor": "acme", "endpoint": f"{SHOP}/any", "since": "12h"},
        dryRun=False,
        pace=5,
        endpointPace=2.5,
        canary=False,
        failureRatioMax=0,
        url=URL,
        note="the night's",
    )
    assert answer.status == 201, answer.body
    (plan,) = await plans(workshop)
    assert answer.headers["location"] == f"/replays/{plan.id}"
    assert "MARKER" not in answer.body.decode()
    assert plan.filter == FailureFilter(
        requestor="acme", endpoint=SHOP, since=workshop.clock() - timedelta(hours=12)
    )
    assert (plan.made_by, plan.note, plan.cut_off.number > 0) == (
        "anna",
        "the night's",
        True,
    )
    assert (plan.pace, plan.endpoint_pace, plan.canary) == (5, 2.5, False)
    assert plan.failure_ratio_max == 0
    bound_to = replaying.url_bound_to(plan.id)
    opened = workshop.sealer.open(plan.sealed_url or "", bound_to=bound_to)
    assert opened.decode() == URL
    told = await get(app, f"/replays/{plan.id}")
    assert told.fields == answer.fields | {"refusals": {}}
    assert (told.fields["madeBy"], told.fields["endpoint"]) == (
        "anna",
        "https://other.example:443",
    )
    listed = await get(app, "/replays?limit=1")
    assert listed.fields["replays"] == [answer.fields]


async def test_a_plan_takes_what_a_dry_run_has_told(
    workshop: Workshop, app: FastAPI
) -> None:
    """By its cut-off, whatever has failed since."""
    await fail(workshop, IDS[0])
    seen = (await post(app)).fields["cutOff"]
    workshop.clock.advance(60)
    await fail_chain(workshop.store, IDS[1], workshop.clock())
    made = await post(app, all=True, dryRun=False, cutOff=seen)
    assert (made.status, made.fields["cutOff"]) == (201, seen)
    (plan,) = await plans(workshop)
    assert plan.cut_off.at == NOW
    running = replaying.taken_up(plan, NOW)
    assert running is not None
    assert await workshop.store.replays.change(plan, running)
    assert await workshop.store.replays.claim(running, limit=9) == 1


@pytest.mark.parametrize(
    "body, field, why",
    [
        ({"filter": {"requestor": "x"}}, "filter.requestor", "'x' is not configured"),
        (
            {"filter": {"since": "1h", "until": "2h"}},
            "filter.since",
            "2026-03-28T23:59:58+00:00 is not before until",
        ),
        ({"filter": {"since": "MARKER"}}, "filter.since", "it needs a span as 30s"),
        ({"filter": {"until": "2026-03-29T10:00"}}, "filter.until", "it needs a span"),
        ({"filter": {"endpoint": "MARKER"}}, "filter.endpoint", "it needs http or https"),
        ({"filter": {"reason": "MARKER"}}, "filter.reason", "there is no such class;"),
        ({"filter": {"status": 99}}, "filter.status", "it needs an HTTP status"),
        ({"filter": {"status": "503"}}, "filter.status", "Input should be a valid int"),
        ({"filter": {"step": 0}}, "filter.step", "it needs 1 to 1000"),
        ({"filter": {"chain": "C1"}}, "filter.chain", "Extra inputs are not permitted"),
        ({"filter": {"chains": []}}, "filter.chains", "there is no chain in it"),
        (
            {"filter": {"chains": [IDS[0], "<html>MARKER"]}},
            "filter.chains.1",
            "that is no id of a chain",
        ),
        ({"filter": {"chains": [IDS[0], 7]}}, "filter.chains.1", "Input should be a val"),
        (
            {"filter": {"chains": [IDS[0], IDS[5]]}},
            "filter.chains",
            f"no failure of these is known: {IDS[5]}",
        ),
        ({"filter": {"chains": [IDS[1]]}}, "filter", "nothing to replay: 1 are too old"),
        ({"filter": {"step": 9}}, "filter", "nothing to replay: no failure is meant"),
        ({}, "filter", "say which failures are meant, or else all"),
        ({"filter": {"step": 1}, "all": True}, "all", "say all, or which failures"),
        ({"all": True, "pace": 0}, "pace", "it needs 0.01 to 1000 chains a second"),
        ({"all": True, "endpointPace": 1e9}, "endpointPace", "it needs 0.01 to 1000"),
        ({"all": True, "failureRatioMax": 2}, "failureRatioMax", "it needs a share"),
        ({"all": True, "url": "MARKER"}, "url", "it needs http or https and a host"),
        ({"all": True, "note": "\0"}, "note", "it holds what is no text"),
        ({"all": True, "cutOff": "2026-03-29T00:00"}, "cutOff", "it needs its zone"),
        ({"all": True, "cutOff": "2027-01-01T00:00Z"}, "cutOff", "it is yet to come"),
        (
            {"all": True, "cutOff": "0001-01-01T00:00:00+14:00"},
            "cutOff",
            "it is before the calendar's begin",
        ),
        ({"all": True, "cutOff": "1"}, "cutOff", "it needs a time with its zone"),
        ({"all": True, "cutOff": "12h"}, "cutOff", "it needs a time with its zone"),
        ({"all": True, "kind": "erase"}, "kind", "Input should be 'replay' or 'handle'"),
        ({"all": True, "kind": "handle"}, "note", "needed: why these are not replayed"),
        (
            {"all": True, "kind": "handle", "note": "x", "failureRatioMax": 0.1},
            "failureRatioMax",
            "only of a replay; these are given up",
        ),
    ],
)
async def test_what_is_wrong_is_told_exactly_and_starts_nothing(
    workshop: Workshop, app: FastAPI, body: JsonObject, field: str, why: str
) -> None:
    """The field, and the reason; what stands there is not repeated."""
    await fail(workshop, IDS[0])
    await fail_chain(workshop.store, IDS[1], NOW, purged_at=NOW)
    answer = await post(app, **{"dryRun": False} | body)
    told, detail = refusal(answer)
    assert told == field
    assert str(detail).startswith(f"{field}: {why}")
    assert await plans(workshop) == []


@pytest.mark.parametrize(
    "body, status, why",
    [
        (b"", 400, "body: Invalid JSON"),
        (b"MARKER", 400, "body: Invalid JSON"),
        (b"[]", 400, "body: Input should be an object"),
        (b'{"note":"\xff"}', 400, "body: Invalid JSON"),
        (b" " * 1_000_001, 413, "body: longer than 1000000 bytes"),
    ],
)
async def test_a_body_that_is_none_is_told(
    workshop: Workshop, app: FastAPI, body: bytes, status: int, why: str
) -> None:
    """Garbage starts nothing."""
    answer = await call(app, "POST", "/replays", body, ANNA)
    field, detail = refusal(answer, status)
    assert field == "body"
    assert str(detail).startswith(why)
    assert await plans(workshop) == []


async def test_failures_are_given_up_with_a_note(
    workshop: Workshop, app: FastAPI
) -> None:
    """As a plan of its own kind; a replay of them is refused afterwards."""
    await fail(workshop, IDS[0])
    body: JsonObject = {"filter": {"status": 503}, "dryRun": False}
    answer = await post(app, **body, kind="handle", note="refunded by hand")
    assert answer.status == 201, answer.body
    assert (answer.fields["kind"], answer.fields["madeBy"]) == ("handle", "anna")
    worker = workshop.replay_worker()
    while (await worker.beat()).went_on:
        pass
    told = await get(app, f"/replays/{answer.fields['id']}")
    assert (told.fields["state"], told.fields["handled"]) == ("done", 1)
    assert (told.fields["left"], told.fields["note"]) == (0, "refunded by hand")
    assert workshop.publisher.work == []
    assert refusal(await post(app, **body)) == (
        "filter",
        "filter: nothing to replay: 1 are marked as handled",
    )
    assert (await post(app)).fields["handled"] == 1


async def test_an_operator_pauses_resumes_and_cancels(
    workshop: Workshop, app: FastAPI
) -> None:
    """What cannot be done as it stands is a conflict, told with its state."""
    await workshop.store.replays.add(replace(a_plan(), claimed=5, replayed=2))
    for word, state in (("pause", "paused"), ("resume", "running")):
        answer = await change(app, f"/replays/R1/{word}")
        assert (answer.status, answer.fields["state"]) == (200, state)
        assert answer.fields["changedBy"] == "anna"
    again = await change(app, "/replays/R1/resume")
    why = "R1 is running, so it cannot be resumed"
    assert refusal(again, 409) == (None, why)
    ended = await change(app, "/replays/R1/cancel")
    assert (ended.fields["state"], ended.fields["left"]) == ("cancelled", 3)
    assert refusal(await change(app, "/replays/R1/cancel"), 409)[0] is None


@pytest.mark.parametrize("path", ["/replays/R9/pause", "/replays/%00/cancel"])
async def test_a_plan_that_is_not_there_is_told(app: FastAPI, path: str) -> None:
    """Whatever stands in its place."""
    assert "there is no such replay" in str(refusal(await change(app, path), 404)[1])


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", "9" * 5_000])
async def test_a_list_has_its_length(app: FastAPI, limit: str) -> None:
    """What is no number is no length either."""
    field, why = refusal(await get(app, f"/replays?limit={limit}"))
    assert (field, why) == ("limit", "limit: it needs a number from 1 to 1000")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": f"Bearer {OPERATORS.digests['anna'].hex()}"},
    ],
)
@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/replays"),
        ("GET", "/replays"),
        ("GET", "/replays/R1"),
        ("POST", "/replays/R1/pause"),
        ("POST", "/replays/R1/resume"),
        ("POST", "/replays/R1/cancel"),
    ],
)
async def test_a_stranger_is_nobody(
    workshop: Workshop, app: FastAPI, method: str, path: str, given: dict[str, str]
) -> None:
    """A requestor's token is no operator's; nothing is read or changed."""
    await workshop.store.replays.add(a_plan())
    answer = await call(app, method, path, b"{", given)
    assert refusal(answer, 401)[1] == (
        "an operator's token is needed, in Authorization after Bearer"
    )
    assert answer.headers["www-authenticate"] == 'Bearer realm="operators"'
    (plan,) = await plans(workshop)
    assert plan == a_plan()


@pytest.mark.parametrize("no_auth", [True, False])
async def test_without_operators_the_api_is_off(
    workshop: Workshop, *, no_auth: bool
) -> None:
    """It says what turns it on; `no_auth` does not."""
    app = create_app(workshop.desk(no_auth=no_auth))
    answer = await call(app, "GET", "/replays", headers=ANNA)
    assert "operators.NAME.key" in str(refusal(answer, 404)[1])
