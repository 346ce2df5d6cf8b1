"""What the pretend server does around its POSTs, with an endpoint made of answers."""

from collections.abc import Sequence
from itertools import count

import pytest
from pydantic import JsonValue

from orchestrator.sandbox.chaining import Sandbox
from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.disclosure import DisclosedValue, Proofs
from orchestrator.sandbox.faults import LostUpdate, PostFailed, Refused
from orchestrator.sandbox.knobs import Fault, Faults
from orchestrator.sandbox.outbound import Answer, Outbound
from orchestrator.sandbox.sessions import Session
from schemas.irma import (
    JsonObject,
    SessionResult,
    Status,
    parse_session_result,
    session_request_from,
)

STUDENT_ID = "irma-demo.RU.studentCard.studentID"
LEVEL = "irma-demo.RU.studentCard.level"
DISCLOSURE: JsonObject = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[[STUDENT_ID]]],
}
ISSUANCE: JsonObject = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [
        {"credential": "irma-demo.MijnOverheid.root", "attributes": {"BSN": "1"}}
    ],
    "disclose": [[[STUDENT_ID]]],
}
NEXT: JsonObject = {"nextSession": {"url": "https://shop.example/next"}}
CALLBACK: JsonObject = {"callbackUrl": "https://shop.example/cb"}
VERSIONS = ((2, 8), (2, 8))


class Endpoint(Outbound):
    """Answers in turn; no answer left means 204, None is no answer at all."""

    def __init__(self, *answers: Answer | None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.received: list[tuple[str, SessionResult]] = []

    async def post(
        self, url: str, body: bytes, content_type: str, answers_lost: int = 0
    ) -> Answer:
        """Note the result and give the next answer."""
        assert (content_type, answers_lost) == ("application/json; charset=UTF-8", 0)
        self.received.append((url, parse_session_result(body)))
        answer = self.answers.pop(0) if self.answers else Answer(204, b"")
        if answer is None:
            raise PostFailed("nobody there")
        return answer


class World:
    """A server without HTTP, its endpoint and its clock."""

    def __init__(self, *answers: Answer | None) -> None:
        self.now = 0.0
        self.endpoint = Endpoint(*answers)
        numbers = count(1)
        self.sandbox = Sandbox(
            SandboxConfig(url="http://irma.example", allow_unsigned_callbacks=True),
            clock=lambda: self.now,
            token=lambda: f"token{next(numbers)}",
            outbound=self.endpoint,
        )

    def start(self, plain: JsonValue = DISCLOSURE, **extended: JsonValue) -> Session:
        """A session just started."""
        request = session_request_from({"request": plain, **extended})
        return self.sandbox.start(request, "")

    async def connected(
        self, plain: JsonValue = DISCLOSURE, **extended: JsonValue
    ) -> Session:
        """A session the app has come for."""
        begun = self.start(plain, **extended)
        return await self.sandbox.connect(begun, "app", VERSIONS)

    async def now_stored(self, session: Session) -> Session:
        """The session as it is now."""
        return await self.sandbox.by_requestor(session.requestor_token)


def proofs(*lists: Sequence[tuple[str, str | None]], intact: bool = True) -> Proofs:
    """Proofs of the given ids and values."""
    disclosed = [
        [DisclosedValue(id=identifier, rawvalue=raw) for identifier, raw in one]
        for one in lists
    ]
    return Proofs(disclosed=disclosed, intact=intact)


STUDENT = proofs([(STUDENT_ID, "456")])


async def test_order_of_posts() -> None:
    """The chain endpoint hears first and CONNECTED, the callback second and DONE."""
    answer = Answer(
        200,
        b'{"@context":"https://irma.app/ld/request/disclosure/v2",'
        b'"disclose":[[["irma-demo.RU.studentCard.level"]]]}',
    )
    world = World(answer)
    done = await world.sandbox.prove(await world.connected(**NEXT, **CALLBACK), STUDENT)
    (next_url, chained), (callback_url, called) = world.endpoint.received
    assert next_url == "https://shop.example/next"
    assert (chained.status, chained.next_session) == (Status.CONNECTED, None)
    assert callback_url == "https://shop.example/cb/"
    assert done.next is not None
    assert called.status is Status.DONE
    assert called.next_session == done.next.requestor_token


@pytest.mark.parametrize("url", ["https://a.example/", "https://a.example/cb?x=1/"])
async def test_callback_url_with_a_slash_is_left_alone(url: str) -> None:
    """A slash is appended only where there is none."""
    world = World()
    await world.sandbox.cancel(world.start(callbackUrl=url))
    assert world.endpoint.received[0][0] == url


@pytest.mark.parametrize("answer", [Answer(500, b"no"), None])
async def test_callback_is_not_waited_upon_twice(answer: Answer | None) -> None:
    """A callback that fails changes nothing."""
    world = World(answer)
    begun = await world.connected(**CALLBACK)
    await world.sandbox.prove(begun, STUDENT)
    assert (await world.now_stored(begun)).status is Status.DONE
    assert len(world.endpoint.received) == 1


@pytest.mark.parametrize(
    "answer, message",
    [
        (Answer(500, b"boom"), "unexpected response, status 500: boom"),
        (Answer(202, b""), "unexpected response, status 202\n"),
        (Answer(200, b"x" * 200), "not JSON"),
        (Answer(302, b"x" * 101), f"status 302: {'x' * 100}...\n"),
        (Answer(400, b"a\nb\x00c"), "status 400: abc\n"),
        (None, "nobody there"),
    ],
)
async def test_failed_chain_leaves_the_session_connected(
    answer: Answer | None, message: str
) -> None:
    """The app gets NEXT_SESSION; until it deletes, the result shows valid proofs."""
    world = World(answer)
    begun = await world.connected(**NEXT, **CALLBACK)
    with pytest.raises(Refused, match="NEXT_SESSION") as caught:
        await world.sandbox.prove(begun, STUDENT)
    assert message in str(caught.value.error.message)
    residue = (await world.now_stored(begun)).result()
    assert (residue.status, residue.proved) == (Status.CONNECTED, True)
    assert len(world.endpoint.received) == 1


async def test_nothing_is_posted_for_invalid_proofs() -> None:
    """A chain endpoint hears of valid proofs only."""
    world = World()
    begun = await world.connected(**NEXT)
    with pytest.raises(Refused) as caught:
        await world.sandbox.prove(begun, proofs([]))
    assert caught.value.error.message == "session in invalid state"
    assert world.endpoint.received == []


@pytest.mark.parametrize(
    "given, status",
    [(proofs([]), "MISSING_ATTRIBUTES"), (proofs([], intact=False), "INVALID")],
)
async def test_disclosure_is_done_even_if_not_valid(given: Proofs, status: str) -> None:
    """Without a chain, a session whose proofs are not valid ends DONE."""
    world = World()
    done = await world.sandbox.prove(await world.connected(), given)
    assert (done.status, done.proof_status) == (Status.DONE, status)


async def test_issuing_is_cancelled_if_not_valid() -> None:
    """Nothing is issued against proofs that are not valid; the result says why."""
    world = World()
    begun = await world.connected(ISSUANCE, **CALLBACK)
    with pytest.raises(Refused, match="INVALID_PROOFS"):
        await world.sandbox.prove(begun, proofs([]))
    result = (await world.now_stored(begun)).result()
    assert result.status is Status.CANCELLED
    assert result.error is not None
    assert result.error.error == "INVALID_PROOFS"
    assert [posted.status for _, posted in world.endpoint.received] == ["CANCELLED"]


async def test_earlier_attributes_are_required_again() -> None:
    """Who leaves out what an earlier step disclosed has not proved the next."""
    answer = Answer(
        200,
        b'{"@context":"https://irma.app/ld/request/disclosure/v2",'
        b'"disclose":[[["irma-demo.RU.studentCard.level"]]]}',
    )
    world = World(answer, answer)
    first = await world.sandbox.prove(await world.connected(**NEXT), STUDENT)
    assert first.next is not None
    second = await world.sandbox.connect(first.next, "app", VERSIONS)
    for repeated, status in (
        ([], "MISSING_ATTRIBUTES"),
        ([(STUDENT_ID, "457")], "MISSING_ATTRIBUTES"),
        ([(STUDENT_ID, "456")], "VALID"),
    ):
        given = proofs([(LEVEL, "42")], repeated)
        tried = await _tried(world, second, given)
        assert tried.proof_status == status


async def _tried(world: World, session: Session, given: Proofs) -> Session:
    """What proofs would lead to, the stored session put back afterwards."""
    done = await world.sandbox.prove(session, given)
    world.sandbox.store.commit(done, session)
    return done


async def test_slower_of_two_writers_loses() -> None:
    """A session cancelled in the meantime stays cancelled; the proofs are lost."""
    world = World()
    begun = await world.connected()
    await world.sandbox.cancel(begun)
    with pytest.raises(LostUpdate):
        await world.sandbox.prove(begun, STUDENT)
    assert (await world.now_stored(begun)).status is Status.CANCELLED


async def test_cancelling_twice_is_announced_once() -> None:
    """A DELETE of a session that is over does nothing."""
    world = World()
    begun = world.start(**CALLBACK)
    await world.sandbox.cancel(begun)
    await world.sandbox.cancel(await world.now_stored(begun))
    assert len(world.endpoint.received) == 1


async def test_timeout_is_noticed_on_access_and_announced_once() -> None:
    """Whoever looks first makes the server notice, and the callback hear of it."""
    world = World()
    begun = world.start(timeout=60, **CALLBACK)
    world.now = 60.1
    assert (await world.now_stored(begun)).status is Status.TIMEOUT
    assert (await world.now_stored(begun)).status is Status.TIMEOUT
    await world.sandbox.sweep()
    assert [posted.status for _, posted in world.endpoint.received] == ["TIMEOUT"]


async def test_sweep_forgets_a_timeout_that_is_never_stored() -> None:
    """A session that times out again and again is forgotten like others that are over."""
    world = World()
    world.sandbox.knobs.faults = Faults(repeated_timeout=Fault())
    begun = world.start(timeout=60, **CALLBACK)
    for world.now in (60.1, 300.0, 300.1):
        await world.sandbox.sweep()
    with pytest.raises(Refused, match="SESSION_UNKNOWN"):
        await world.now_stored(begun)
    assert [posted.status for _, posted in world.endpoint.received] == ["TIMEOUT"] * 3


async def test_timeout_keeps_what_was_proved() -> None:
    """A session that times out after a failed chain still shows its proofs."""
    world = World(Answer(500, b""))
    begun = await world.connected(**NEXT)
    with pytest.raises(Refused):
        await world.sandbox.prove(begun, STUDENT)
    world.now = 900.1
    result = (await world.now_stored(begun)).result()
    assert (result.status, result.proved) == (Status.TIMEOUT, True)


async def test_sweep_forgets_what_is_over() -> None:
    """A finished session is kept for five minutes of inactivity."""
    world = World()
    begun = world.start()
    await world.sandbox.cancel(begun)
    world.now = 300.0
    await world.sandbox.sweep()
    assert (await world.now_stored(begun)).status is Status.CANCELLED
    world.now = 300.1
    await world.sandbox.sweep()
    with pytest.raises(Refused, match="SESSION_UNKNOWN"):
        await world.now_stored(begun)


async def test_wrong_protocol_version_is_announced() -> None:
    """An app of another time gets an error, the callback a cancelled session."""
    world = World()
    with pytest.raises(Refused, match="PROTOCOL_VERSION"):
        await world.sandbox.connect(world.start(**CALLBACK), "app", ((2, 4), (2, 5)))
    assert [posted.status for _, posted in world.endpoint.received] == ["CANCELLED"]
