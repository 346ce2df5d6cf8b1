"""The check at start: what it finds of the server behind, and what it says to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    NotAdmitted,
    OrchestratorError,
)
from orchestrator.gateway.examination import (
    CHECK_S,
    PAUSES_S,
    Examination,
    Report,
    examine,
    examining,
)
from orchestrator.gateway.findings import Finding, Level
from orchestrator.ports import Started
from schemas.irma import SessionRequest
from schemas.messages import WakeUp
from tests.support.asgi import Answer, call
from tests.support.fakes import FakeBackend, token_of
from tests.support.samples import FULLNAME, PUBLIC_URL, result_of, wire
from tests.support.workshop import Workshop

JSON = {"Content-Type": "application/json"}
CANCELLED = wire(result_of(token_of(1), "CANCELLED", None))

Heard = Callable[[], Awaitable[WakeUp | None]]


def examination(
    workshop: Workshop,
    *,
    backend: FakeBackend | None = None,
    default_host: str = "irma.example",
    require_signed: bool | None = None,
) -> Examination:
    """An examination of the workshop's backend, or another."""
    return Examination(
        backend=backend or workshop.backend,
        replies=workshop.replies,
        sealer=workshop.sealer,
        clock=workshop.clock,
        public_url=f"{PUBLIC_URL}/",
        attribute=FULLNAME,
        default_host=default_host,
        require_signed=require_signed,
    )


async def posted(
    workshop: Workshop, body: bytes = CANCELLED, headers: dict[str, str] | None = None
) -> Answer:
    """The server posts to the address in the request, with the slash that it adds."""
    path = urlsplit(workshop.backend.requests[-1].callback_url or "").path
    return await call(workshop.gateway, "POST", f"{path}/", body, headers or JSON)


def hears(
    workshop: Workshop, body: bytes = CANCELLED, headers: dict[str, str] | None = None
) -> None:
    """Let what the server posts be heard, and told to who checks."""

    async def script() -> WakeUp | None:
        answer = await posted(workshop, body, headers)
        assert answer.status == 204
        (message,) = workshop.publisher.to(workshop.replies.queue)
        (wake_up,) = workshop.publisher.wake_ups
        assert message.correlation_id == wake_up.chain_id
        return wake_up

    workshop.replies.script = script


def found(report: Report, check: str) -> Finding:
    """The one finding about this."""
    (one,) = [finding for finding in report.findings if finding.check == check]
    return one


async def test_all_is_well(workshop: Workshop) -> None:
    """Every part is told; what cannot be tried is said to be so."""
    hears(workshop)
    report = await examination(workshop).report()
    assert report.reached
    levels = {finding.check: finding.level for finding in report.findings}
    assert levels == {
        "reached": Level.OK,
        "key": Level.OK,
        "session": Level.OK,
        "host": Level.OK,
        "way back": Level.OK,
        "permissions": Level.UNTRIED,
    }


async def test_the_session_has_no_effect(workshop: Workshop) -> None:
    """It asks for one attribute, ends by itself, is cancelled, and begins no chain."""
    hears(workshop)
    await examination(workshop).report()
    (request,) = workshop.backend.requests
    assert request.attribute_ids() == [FULLNAME]
    assert request.timeout == CHECK_S
    assert (request.callback_url or "").startswith(f"{PUBLIC_URL}/callback/")
    assert workshop.backend.cancelled == [token_of(1)]
    assert await workshop.store.chains(limit=1) == []
    assert workshop.publisher.events == []
    assert workshop.publisher.work == []


async def test_the_way_back_is_open_for_a_minute(workshop: Workshop) -> None:
    """Later the address is unknown, and for the bridge it never was one."""
    hears(workshop)
    await examination(workshop).report()
    path = urlsplit(workshop.backend.requests[-1].callback_url or "").path
    bridge = path.replace("/callback/", "/bridge/")
    answer = await call(workshop.gateway, "POST", bridge, CANCELLED, JSON)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")
    workshop.clock.advance(CHECK_S)
    answer = await posted(workshop)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


async def test_nothing_comes_back(workshop: Workshop) -> None:
    """Whether the server says so or not, the route to us is what to look at."""
    report = await examination(workshop).report()
    assert found(report, "way back").level is Level.FAILED
    assert PUBLIC_URL in found(report, "way back").found


async def test_a_cancellation_that_is_cut_off_is_no_failure_of_ours(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives up on its own answer when it cannot reach us."""

    async def cut_off(_: str) -> bool:
        raise BackendUnavailable("cancel: status 503")

    monkeypatch.setattr(workshop.backend, "cancel", cut_off)
    report = await examination(workshop).report()
    assert report.reached
    assert found(report, "way back").level is Level.FAILED


async def test_what_comes_back_is_not_believed(workshop: Workshop) -> None:
    """A wrong key or clock shows in the log of whichever gateway heard it."""
    hears(workshop, b"a.b.c", {"Content-Type": "text/plain"})
    with capture_logs() as logs:
        report = await examination(workshop).report()
    assert found(report, "way back").level is Level.FAILED
    assert "check.refused" in found(report, "way back").remedy
    assert "check.refused" in [entry["event"] for entry in logs]


async def test_who_checked_is_gone(workshop: Workshop) -> None:
    """The server gets its 204 whoever waits or does not."""
    await examination(workshop).report()
    workshop.publisher.gone.add(workshop.replies.queue)
    assert (await posted(workshop)).status == 204
    workshop.publisher.down = True
    assert (await posted(workshop)).status == 204


@pytest.mark.parametrize(
    "key,require_signed,level",
    [
        (True, None, Level.OK),
        (True, True, Level.OK),
        (True, False, Level.WARNING),
        (False, None, Level.WARNING),
        (False, False, Level.WARNING),
        (False, True, Level.FAILED),
    ],
)
async def test_signatures(
    workshop: Workshop, *, key: bool, require_signed: bool | None, level: Level
) -> None:
    """Without them whoever knows an address of ours can invent results."""
    workshop.backend.key = key
    report = await examination(workshop, require_signed=require_signed).report()
    assert found(report, "key").level is level
    assert bool(found(report, "key").remedy) is (level is not Level.OK)


async def test_sessions_elsewhere(workshop: Workshop) -> None:
    """Where requests name no host, they are judged by one that has to be the server's."""
    report = await examination(workshop, default_host="irma:8088").report()
    host = found(report, "host")
    assert host.level is Level.WARNING
    assert "irma.example" in host.found
    assert "irma_server.client_url" in host.remedy


@pytest.mark.parametrize(
    "status,error,message,remedy",
    [
        (501, "UNSUPPORTED", "callbackUrl provided but …", "allow_unsigned_callbacks"),
        (403, "UNAUTHORIZED", FULLNAME, "permit our entry"),
        (
            403,
            "UNAUTHORIZED",
            "requestor not allowed to use the requested host",
            "host_perms",
        ),
        (400, "INVALID_REQUEST", "unknown attribute", "check_attribute"),
        (400, "INVALID_REQUEST", "", "check_attribute"),
    ],
)
async def test_the_session_is_refused(
    workshop: Workshop, status: int, error: str, message: str, remedy: str
) -> None:
    """What the server says decides what there is to do; the way back stays unknown."""
    workshop.backend.refusal = BackendRefused(status=status, error=error, message=message)
    report = await examination(workshop).report()
    session = found(report, "session")
    assert session.level is Level.FAILED
    assert (message or error) in session.found
    assert remedy in session.remedy
    assert "way back" not in {finding.check for finding in report.findings}


class Failing(FakeBackend):
    """A backend whose sessions fail to start, by a script of errors."""

    def __init__(self, *errors: OrchestratorError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def start(self, request: SessionRequest) -> Started:
        """Fail as long as there are errors."""
        if self.errors:
            raise self.errors.pop(0)
        return await super().start(request)


async def test_we_are_not_admitted(workshop: Workshop) -> None:
    """It is our entry there that has to be mended, so it is not tried again."""
    backend = Failing(NotAdmitted("IRMA server http://irma.example: refuses us: …"))
    report = await examination(workshop, backend=backend).report()
    assert report.reached
    (finding,) = report.findings
    assert (finding.check, finding.level) == ("credentials", Level.FAILED)
    assert "refuses us" in finding.found


async def test_it_is_tried_again_until_the_server_answers(workshop: Workshop) -> None:
    """With growing pauses; what is known already is not told again."""
    away = BackendUnavailable("IRMA server http://irma.example: no answer in time")
    backend = Failing(*[away] * 8)
    pauses_s: list[float] = []

    async def pause(seconds: float) -> None:
        pauses_s.append(seconds)

    with capture_logs() as logs:
        await examine(examination(workshop, backend=backend), pause=pause)
    assert pauses_s == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    assert [entry["check"] for entry in logs] == [
        "reached",
        "reached",
        "key",
        "session",
        "host",
        "way back",
        "permissions",
    ]
    assert [entry["log_level"] for entry in logs] == [
        "error",
        *["info"] * 4,
        "error",
        "info",
    ]


async def test_an_examination_ends_in_time(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that never answers is one that is away."""
    monkeypatch.setattr("orchestrator.gateway.examination.EXAMINATION_S", 0.01)

    async def never() -> None:
        await asyncio.Event().wait()

    workshop.backend.meanwhile = never
    report = await examination(workshop).report()
    assert not report.reached
    assert [finding.found for finding in report.findings] == ["no answer in time"]


async def test_it_begins_when_we_listen(workshop: Workshop) -> None:
    """Before that the server could not reach us."""
    examined = asyncio.Event()

    async def heard() -> WakeUp | None:
        examined.set()
        return None

    workshop.replies.script = heard
    async with examining(examination(workshop)) as begin:
        await asyncio.sleep(0)
        assert workshop.backend.requests == []
        begin()
        async with asyncio.timeout(5):
            await examined.wait()
    assert len(workshop.backend.requests) == 1


async def test_it_ends_with_us(workshop: Workshop) -> None:
    """A gateway that stops does not wait for a server that is away."""
    asked = asyncio.Event()

    class Asked(FakeBackend):
        async def signs(self) -> bool:
            asked.set()
            raise BackendUnavailable("away")

    async with asyncio.timeout(5):
        async with examining(examination(workshop, backend=Asked())) as begin:
            begin()
            await asked.wait()
