"""A pretend wallet that plays sessions as the app does (reference irma.md §4.5, §7.6)."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import JsonValue
from yarl import URL

from orchestrator.sandbox import wallet_file
from orchestrator.sandbox.app_client import AppClient, Failed, Pairing
from orchestrator.sandbox.credentials import (
    Credential,
    Way,
    default_credentials,
    received,
    ways,
)
from orchestrator.sandbox.user import (
    Choose,
    Decide,
    Paired,
    Question,
    ScriptedUser,
    User,
    first,
    share,
    unseen,
)
from schemas.irma import (
    InvalidDocument,
    JsonObject,
    SessionPointer,
    SessionType,
    StaticPointer,
    Status,
    session_request_from,
)
from schemas.irma.documents import Document, built

#: No request to an IRMA server takes longer: it cuts its own handlers off at 4.2 s.
REQUEST_TIMEOUT_S: Final = 30.0

#: Between two looks whether the frontend has confirmed the pairing code.
PAIRING_LOOK_S: Final = 0.2


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
    """A user's credentials and the app that shows them.

    With a file the credentials are those in it, kept there as more are issued.
    """

    def __init__(
        self,
        credentials: Iterable[Credential] | None = None,
        *,
        file: Path | None = None,
    ) -> None:
        self._file = file
        stored = None if file is None else wallet_file.load(file)
        given = default_credentials() if credentials is None else list(credentials)
        self.credentials: list[Credential] = given if stored is None else stored

    async def run(
        self,
        pointer: SessionPointer | StaticPointer,
        decide: Decide = share,
        *,
        choose: Choose = first,
        paired: Paired = unseen,
    ) -> Outcome:
        """Scan a pointer and follow the chain for as long as the server forwards."""
        return await self.play(pointer, ScriptedUser(decide, choose, paired))

    async def play(self, pointer: SessionPointer | StaticPointer, user: User) -> Outcome:
        """Scan a pointer and follow the chain, asking this user."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            visit = _Visit(self, http, user)
            following: SessionPointer | None
            if isinstance(pointer, StaticPointer):
                following = await visit.scan(pointer)
            else:
                following = pointer
            while following is not None:
                following = await visit.play(following)
        return Outcome(tuple(visit.steps))

    def receive(self, issued: Sequence[Credential]) -> None:
        """Keep what was issued; singletons take the place of the one before."""
        self.credentials = received(self.credentials, issued)
        if self._file is not None and issued:
            wallet_file.save(self._file, self.credentials)


@dataclass
class _Ongoing:
    """What is known of a session that is not over."""

    type: SessionType
    at_s: float
    requested: JsonObject | None = None
    chosen: Sequence[Way] = ()
    disclosed: list[list[JsonObject]] = field(default_factory=list)


class _Declined(Exception):
    """The user does not want to."""


class _Visit:
    """One chain in progress."""

    def __init__(self, wallet: Wallet, http: aiohttp.ClientSession, user: User) -> None:
        self.steps: list[Step] = []
        self._wallet = wallet
        self._http = http
        self._user = user
        self._began = time.monotonic()
        #: What earlier sessions disclosed; the app repeats it without asking.
        self._repeated: list[Way] = []

    async def scan(self, static: StaticPointer) -> SessionPointer | None:
        """Have the session of a printed QR started (reference irma.md §7.9)."""
        ongoing = _Ongoing(SessionType.DISCLOSING, self._elapsed())
        try:
            return await AppClient(self._http, static.u).start_static()
        except Failed as failure:
            self._ended(ongoing, StepStatus.FAILURE, failure)
        except InvalidDocument as fault:
            self._ended(ongoing, StepStatus.FAILURE, _not_understood(fault))
        return None

    async def play(self, pointer: SessionPointer) -> SessionPointer | None:
        """Play one session; the pointer of the next one, if the server forwards."""
        ongoing = _Ongoing(pointer.irmaqr, self._elapsed())
        server = AppClient(self._http, pointer.u)
        try:
            following = await self._session(server, pointer, ongoing)
        except _Declined:
            self._ended(ongoing, StepStatus.CANCELLED)
        except Failed as failure:
            self._ended(ongoing, StepStatus.FAILURE, failure)
        except InvalidDocument as fault:
            self._ended(ongoing, StepStatus.FAILURE, _not_understood(fault))
        else:
            self._ended(ongoing, StepStatus.SUCCESS)
            self._repeated = [*ongoing.chosen, *self._repeated]
            return following
        await server.delete()
        return None

    async def _session(
        self, server: AppClient, pointer: SessionPointer, ongoing: _Ongoing
    ) -> SessionPointer | None:
        """From the first call to what the server answers to the proofs."""
        requested = await self._requested(server)
        ongoing.requested = requested
        ongoing.chosen = await self._chosen(pointer, requested)
        ongoing.disclosed = _disclosed([*ongoing.chosen, *self._repeated])
        answer = await server.prove(ongoing.type, ongoing.disclosed)
        self._wallet.receive(_issued(answer))
        return _next_pointer(answer)

    async def _requested(self, server: AppClient) -> JsonObject:
        """The session request, after pairing where the frontend wants that."""
        answer = await server.connect()
        if not isinstance(answer, Pairing):
            return answer
        while (status := await server.status()) == Status.PAIRING:
            if not await self._user.pairing(answer.code):
                raise _Declined
            await asyncio.sleep(PAIRING_LOOK_S)
        if status != Status.CONNECTED:
            raise Failed(0, {"error": "NOT_PAIRED"})
        return await server.request()

    async def _chosen(
        self, pointer: SessionPointer, requested: JsonObject
    ) -> Sequence[Way]:
        """What the user shares of what is asked; the wallet has to hold all of it."""
        disclose = session_request_from(requested).request.disclose
        question = Question(
            server=str(URL(pointer.u).origin()),
            step=len(self.steps) + 1,
            requested=requested,
            ways=ways(disclose, self._wallet.credentials),
            repeated=_disclosed(self._repeated),
        )
        chosen = await self._user.answer(question)
        if chosen is None:
            raise _Declined
        if not (question.satisfiable and self._still_held()):
            raise Failed(0, {"error": "UNSATISFIABLE"})
        return chosen

    def _still_held(self) -> bool:
        """Whether what was disclosed earlier was not replaced since (irma.md §7.6)."""
        earlier = chain.from_iterable(way.attributes for way in self._repeated)
        return all(held in self._wallet.credentials for _, held in earlier)

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


def _disclosed(chosen: Iterable[Way]) -> list[list[JsonObject]]:
    return [way.disclosed() for way in chosen]


def _next_pointer(answer: JsonObject) -> SessionPointer | None:
    following = answer.get("nextSession")
    if following is None:
        return None
    return built(SessionPointer, following, InvalidDocument)


def _not_understood(fault: InvalidDocument) -> Failed:
    return Failed(HTTPStatus.OK, {"error": "NOT_UNDERSTOOD", "message": fault.message})


class _Issued(Document):
    """A credential as the pretend server hands it out."""

    credential: str
    attributes: dict[str, str | None]
    issuancetime: int


def _issued(answer: JsonObject) -> list[Credential]:
    sigs = answer.get("sigs")
    given = sigs if isinstance(sigs, list) else []
    documents = [built(_Issued, one, InvalidDocument) for one in given]
    return [
        Credential(one.credential, one.attributes, one.issuancetime) for one in documents
    ]
