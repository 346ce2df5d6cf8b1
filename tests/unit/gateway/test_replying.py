"""`POST /reply/{token}`: answers that are taken in, and its own errors (RFC 9457)."""

from __future__ import annotations

import json

import pytest

from orchestrator.domain.chain import Chain, ChainState
from orchestrator.gateway import Options, replying
from orchestrator.ports import Changes
from schemas.events import CallbackAnswered
from schemas.irma import session_request_from
from schemas.messages import End, EndWork, NextSecrets, NextWork
from tests.support.asgi import Answer, call
from tests.support.samples import ISSUANCE, PUBLIC_URL, TARGET, issuance, result_of
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.later import answers, asked, proved_one, work_through
from tests.unit.workers.posting import answered

NEXT = json.dumps(issuance()).encode()


def problem(answer: Answer, status: int) -> str:
    """The detail of the problem that an answer is."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.body)
    assert told["status"] == status
    detail: str = told["detail"]
    return detail


async def test_a_request_is_taken_and_goes_to_the_session_worker(
    workshop: Workshop,
) -> None:
    """204; the event first, then the work with all that the claim needs."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    workshop.publisher.calls.clear()
    answer = await answers(workshop, path, NEXT)
    assert (answer.status, answer.body) == (204, b"")
    (event,) = workshop.publisher.events
    assert isinstance(event, CallbackAnswered)
    assert (event.data.answer, event.data.attempt, event.data.status) == ("next", 1, None)
    assert (event.data.endpoint, event.causationid) == (work.endpoint, work.cause)
    (following,) = workshop.publisher.work
    assert isinstance(following, NextWork)
    assert (following.cause, following.reply) == (event.id, None)
    secrets = workshop.sealer.open_model(
        NextSecrets, following.sealed, bound_to=following.id
    )
    assert secrets.request == session_request_from(issuance()).to_wire()
    assert (secrets.token, secrets.url) == (begun.token, TARGET)
    assert secrets.result == result_of(begun.token).to_wire()


async def test_an_empty_body_ends_the_chain(workshop: Workshop) -> None:
    """As 204 does."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    assert (await answers(workshop, path)).status == 204
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert ending.end is End.COMPLETED
    await work_through(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.COMPLETED


async def test_a_plain_request_and_a_trailing_slash_will_do(workshop: Workshop) -> None:
    """Whatever a 200 may say; some servers append a slash to every address."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    plain = json.dumps(issuance()["request"]).encode()
    assert (await answers(workshop, f"{path}/", plain)).status == 204
    assert isinstance(workshop.publisher.work[-1], NextWork)


@pytest.mark.parametrize("through", [False, True], ids=["before-claim", "after-claim"])
@pytest.mark.parametrize("body", [NEXT, b""])
async def test_the_same_answer_again_gets_the_same_2xx(
    workshop: Workshop, body: bytes, *, through: bool
) -> None:
    """And does nothing: white space and the order of names make no other answer."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    workshop.publisher.calls.clear()
    await answers(workshop, path, body)
    if through:
        await work_through(workshop)
    sent = len(workshop.publisher.messages)
    again = json.dumps(json.loads(body), indent=2).encode() if body else body
    assert (await answers(workshop, path, again)).status == 204
    assert len(workshop.publisher.messages) == sent


async def test_another_answer_is_refused(workshop: Workshop) -> None:
    """The first one counts, also against the end."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    await answers(workshop, path, NEXT)
    assert "another answer" in problem(await answers(workshop, path), 409)
    other = json.dumps(issuance("https://shop.example/done")).encode()
    assert "another answer" in problem(await answers(workshop, path, other), 409)


@pytest.mark.parametrize(
    "body,status,said",
    [
        (b"{}", 400, "no session request: "),
        (b"MARKER", 400, "not JSON"),
        (b" ", 400, "not JSON"),
        (
            b'{"@context":"https://irma.app/ld/request/disclosure/v2","disclose":[[["a"]]]}',
            400,
            "disclose[0][0][0]",
        ),
        (
            json.dumps(issuance(f"https://shop.example/{'x' * 30_000}")).encode(),
            400,
            "nextSession.url: longer than",
        ),
        (
            json.dumps(
                {
                    "@context": ISSUANCE,
                    "credentials": [
                        {"credential": "other.issuer.card", "attributes": {"a": "b"}}
                    ],
                }
            ).encode(),
            403,
            "next session not authorized: ",
        ),
    ],
)
async def test_an_invalid_answer_is_named_and_the_address_stays_open(
    workshop: Workshop, body: bytes, status: int, said: str
) -> None:
    """Which field and why; nothing is kept of it, and a valid one is taken after it."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    workshop.publisher.calls.clear()
    detail = problem(await answers(workshop, path, body), status)
    assert said in detail
    assert "MARKER" not in detail
    assert workshop.publisher.calls == []
    assert (await workshop.row(begun.slot)).reply_hash is None
    assert (await answers(workshop, path, NEXT)).status == 204


async def test_an_answer_that_is_too_long_is_refused(workshop: Workshop) -> None:
    """By the limit of inline answers, or by that of every body (G8)."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    app = workshop.app(Options(public_url=PUBLIC_URL, answer_bytes_max=1024))
    answer = await call(app, "POST", path, b" " * 1025, {})
    assert "longer than 1024 bytes" in problem(answer, 413)
    answer = await call(app, "POST", path, b" " * (10 * 1024 * 1024 + 1), {})
    assert "too large" in problem(answer, 400)


async def test_after_its_time_the_address_is_gone(workshop: Workshop) -> None:
    """An hour from the start of the attempt, and no second longer."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    workshop.clock.advance(3_599)
    assert "no session request" in problem(await answers(workshop, path, b"{}"), 400)
    workshop.clock.advance(2)
    assert "time" in problem(await answers(workshop, path, NEXT), 410)


async def test_a_foreign_or_forged_address_is_unknown(workshop: Workshop) -> None:
    """Whoever it was made for, or by: there is nothing here."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    forged = path[:-4] + ("AAAA" if path[-4:] != "AAAA" else "BBBB")
    bridge = (begun.bridge or "").replace("/bridge/", "/reply/")
    for foreign in (forged, bridge, "/reply/x", path.replace(".k1.", ".k9.")):
        assert "no such" in problem(await answers(workshop, foreign, NEXT), 404)
    answer = await call(workshop.gateway, "GET", path, b"", {})
    assert problem(answer, 405)
    answer = await call(workshop.gateway, "POST", path.replace("/reply/", "/bridge/"))
    assert answer.status >= 400


async def _end(workshop: Workshop, chain_id: str, **changes: object) -> None:
    """The chain's row is changed by somebody else."""
    chain = await workshop.chain(chain_id)
    changed = Chain(**{**vars(chain), **changes})
    slot = (await workshop.store.steps(chain_id))[0].slot
    await workshop.store.decide(slot, lambda _: (None, Changes(chain=changed)))


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"state": ChainState.CANCELLED}, "the chain is cancelled"),
        ({"generation": 1}, "the chain was replayed"),
    ],
)
async def test_a_closed_chain_says_so(
    workshop: Workshop, changes: dict[str, object], said: str
) -> None:
    """Cancelled meanwhile, or replayed: the new callback has an address of its own."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    await _end(workshop, begun.id, **changes)
    assert said in problem(await answers(workshop, path, NEXT), 410)


async def test_a_chain_that_was_deleted_is_gone(workshop: Workshop) -> None:
    """The address outlives what it is about."""
    work = workshop.callback((await workshop.begin()).slot, "T" * 20)
    path = await asked(workshop, work.model_copy(update={"chain_id": "01NOBODY"}))
    assert "deleted" in problem(await answers(workshop, path, NEXT), 410)


async def test_without_the_store_nothing_is_taken(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with a time to come back, and then it is as if nothing had been."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    with monkeypatch.context():
        lose_store("decide")
        answer = await answers(workshop, path, NEXT)
        assert "database" in problem(answer, 503)
        assert answer.headers["retry-after"] == "5"
    monkeypatch.undo()
    assert (await answers(workshop, path, NEXT)).status == 204


async def test_without_the_broker_it_is_taken_and_waits(workshop: Workshop) -> None:
    """The message was stored with the hash: the clock publishes it afterwards."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    workshop.publisher.down = True
    assert (await answers(workshop, path)).status == 204
    assert [row for row in await workshop.waiting() if row.endswith("-reply:work")]
    workshop.publisher.down = False
    workshop.clock.advance(5)
    await workshop.beat()
    await work_through(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.COMPLETED


async def test_what_waits_for_the_endpoint_is_dropped(workshop: Workshop) -> None:
    """Neither a retry nor the deadline has anything left to do."""
    _, work = await proved_one(workshop)
    await asked(workshop, work, answered(503))
    path = await asked(workshop, work)
    assert len(await workshop.waiting()) == 2
    await answers(workshop, path, NEXT)
    assert await workshop.waiting() == []


async def test_rows_that_cannot_be_dropped_now_are_left(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """They have no effect any more."""
    _, work = await proved_one(workshop)
    path = await asked(workshop, work)
    lose_store("drop_waiting")
    assert (await answers(workshop, path, NEXT)).status == 204
    assert f"{work.id}-deadline" in await workshop.waiting()


async def test_an_endpoint_that_is_quicker_than_the_mark_is_waited_for(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only for a moment: then it is asked to come again."""
    monkeypatch.setattr(replying, "RESULT_PAUSES_S", (0.0, 0.0))
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token)
    path = await asked(workshop, work, answered(404))
    answer = await answers(workshop, path, NEXT)
    assert "try again" in problem(answer, 503)
    assert answer.headers["retry-after"] == "1"


async def test_a_result_that_waits_will_do(workshop: Workshop) -> None:
    """Another session of the step was marked: the deadline's row has the answered one."""
    begun, _ = await proved_one(workshop)
    other = "TokenOfAnOrphan00000"
    path = await asked(workshop, workshop.callback(begun.slot, other))
    workshop.publisher.calls.clear()
    assert (await answers(workshop, path)).status == 204
    (ending,) = workshop.publisher.work
    assert ending.id == f"{workshop.callback(begun.slot, other).id}-reply"
    await work_through(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.COMPLETED
    row = await workshop.row(begun.slot)
    assert workshop.rows.token(row) == other
