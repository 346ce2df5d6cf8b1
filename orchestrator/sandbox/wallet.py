"""A pretend wallet that plays sessions as the app does (reference irma.md §4.5, §7.6)."""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

import aiohttp
from pydantic import JsonValue

from orchestrator.sandbox.app_client import AppClient, Failed
from orchestrator.sandbox.credentials import Credential, choose, default_credentials
from schemas.irma import (
    JsonObject,
    SessionPointer,
    SessionType,
    session_request_from,
)
from schemas.irma.documents import Document

#: No request to an IRMA server takes longer: it cuts its own handlers off at 4.2 s.
REQUEST_TIMEOUT_S: Final = 30.0

#: Shown a session request, the user shares (true) or declines (false).
Decide: TypeAlias = Callable[[JsonObject], Awaitable[bool]]


async def share(_: JsonObject) -> bool:
    """The user shares whatever is asked."""
    return True


async def decline(_: JsonObject) -> bool:
    """The user declines."""
    return False


class StepStatus(StrEnum):
    """How a session ended for the user."""

    SUCCESS = "success"
    CANCELLED = "cancelled"
    FAILURE = "failure"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One session as the user saw it; times are seconds since the chain was scanned."""

    type: SessionType
    status: StepStatus
    at_s: float
    ended_at_s: float
    #: The session request; None where the app did not even get that.
    requested: JsonObject | None
    #: What was shared: a list per disjunction, those of earlier sessions last.
    disclosed: list[list[JsonObject]]
    #: What went wrong: the HTTP status (0: no answer) and the error object, if any.
    http_status: int | None = None
    error: JsonValue = None


@dataclass(frozen=True)
class Outcome:
    """The journal of one chain: the wallet's own record of what happened."""

    steps: tuple[Step, ...]

    @property
    def status(self) -> StepStatus:
        """How the chain ended."""
        return self.steps[-1].status


class Wallet:
    """A user's credentials and the app that shows them."""

    def __init__(self, credentials: Iterable[Credential] | None = None) -> None:
        given = default_credentials() if credentials is None else credentials
        self.credentials = list(given)

    async def run(self, pointer: SessionPointer, decide: Decide = share) -> Outcome:
        """Scan a pointer and follow the chain for as long as the server forwards."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            visit = _Visit(self, http, decide)
            following: SessionPointer | None = pointer
            while following is not None:
                following = await visit.play(following)
        return Outcome(tuple(visit.steps))


@dataclass
class _Ongoing:
    """What is known of a session that is not over."""

    type: SessionType
    at_s: float
    requested: JsonObject | None = None
    disclosed: list[list[JsonObject]] = field(default_factory=list)


class _Visit:
    """One chain in progress."""

    def __init__(
        self, wallet: Wallet, http: aiohttp.ClientSession, decide: Decide
    ) -> None:
        self.steps: list[Step] = []
        self._wallet = wallet
        self._http = http
        self._decide = decide
        self._began = time.monotonic()
        #: What earlier sessions disclosed; the app repeats it without asking.
        self._implicit: list[list[JsonObject]] = []

    async def play(self, pointer: SessionPointer) -> SessionPointer | None:
        """Play one session; the pointer of the next one, if the server forwards."""
        ongoing = _Ongoing(pointer.irmaqr, self._elapsed())
        server = AppClient(self._http, pointer.u)
        try:
            ongoing.requested = await server.request()
            if not await self._decide(ongoing.requested):
                self._ended(ongoing, StepStatus.CANCELLED)
                await server.delete()
                return None
            answer = await self._shared(server, ongoing, ongoing.requested)
        except Failed as failure:
            self._ended(ongoing, StepStatus.FAILURE, failure)
            await server.delete()
            return None
        self._ended(ongoing, StepStatus.SUCCESS)
        self._implicit = ongoing.disclosed
        following = answer.get("nextSession")
        return None if following is None else SessionPointer.model_validate(following)

    async def _shared(
        self, server: AppClient, ongoing: _Ongoing, requested: JsonObject
    ) -> JsonObject:
        """Disclose what is asked and what the chain repeats; keep what is issued."""
        disclose = session_request_from(requested).request.disclose
        chosen = choose(disclose, self._wallet.credentials)
        if chosen is None:
            raise Failed(0, {"error": "UNSATISFIABLE"})
        ongoing.disclosed = [*chosen, *self._implicit]
        answer = await server.prove(ongoing.type, ongoing.disclosed)
        self._wallet.credentials += _issued(answer)
        return answer

    def _ended(
        self, ongoing: _Ongoing, status: StepStatus, failure: Failed | None = None
    ) -> None:
        step = Step(
            type=ongoing.type,
            status=status,
            at_s=ongoing.at_s,
            ended_at_s=self._elapsed(),
            requested=ongoing.requested,
            disclosed=ongoing.disclosed,
            http_status=None if failure is None else failure.http_status,
            error=None if failure is None else failure.error,
        )
        self.steps.append(step)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


class _Issued(Document):
    """A credential as the pretend server hands it out."""

    credential: str
    attributes: dict[str, str | None]
    issuancetime: int


def _issued(answer: JsonObject) -> list[Credential]:
    sigs = answer.get("sigs")
    given = map(_Issued.model_validate, sigs if isinstance(sigs, list) else [])
    return [Credential(one.credential, one.attributes, one.issuancetime) for one in given]
