"""Plays a case with the sandbox's wallet and gathers what was seen of it.

What the endpoint saw comes from its own journal, what was decided from the events that
subscribers get, and the end from the chain's row.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import jwt

from orchestrator.domain.chain import Chain, StepState
from orchestrator.proof.answers_case import Case, ReplySent
from orchestrator.proof.faulty import FaultyEndpoint, Visit
from orchestrator.proof.lab import (
    Lab,
    NotStartedError,
    Started,
    disclosure,
    eventually,
)
from orchestrator.proof.sightings import App, Attempt, Content, Decided, Planned, Seen
from orchestrator.sandbox.wallet import Outcome, StepStatus, Wallet
from schemas.events import (
    CallbackAnswered,
    CallbackFailed,
    CallbackRetrying,
    ChainEvent,
)

#: How long the attempts of a case may take in all, besides what its endpoint asks for.
PATIENCE_S: Final = 30.0

#: What goes wrong when an installation does not do what it should.
_TROUBLES: Final = (TimeoutError, NotStartedError, aiohttp.ClientError)


@dataclass
class Played:
    """How far a case came."""

    started: Started | None = None
    outcome: Outcome | None = None
    detached: Outcome | None = None
    chain: Chain | None = None
    replies: list[int] = field(default_factory=list)
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True)
class Player:
    """Plays cases side by side, only so many at a time while their apps wait.

    Attributes:
        public_key: verifies result JWTs.
        webhook_secret: verifies Standard Webhooks signatures, as the requestor has it.
    """

    lab: Lab
    slots: asyncio.Semaphore
    public_key: str
    webhook_secret: str

    async def play(self, case: Case, endpoint: FaultyEndpoint) -> Played:
        """Play a case to its end, or as far as it comes."""
        played = Played()
        try:
            await self._play(case, endpoint, played)
        except _TROUBLES as error:
            played.trouble = f"{type(error).__name__} {error}".strip()
        return played

    async def _play(self, case: Case, endpoint: FaultyEndpoint, played: Played) -> None:
        url = case.url or endpoint.url
        async with self.slots:
            played.started = started = await self.lab.start(disclosure(f"{url}/next"))
            opening = asyncio.create_task(self._open_up(case, endpoint, started.id))
            played.outcome = await Wallet().run(started.pointer)
            await opening
        await self._reply(case, endpoint, played, after_end=False)
        if case.expected.app is App.DETACHED:
            played.detached = await self._run_detached(started.id)
        async with asyncio.timeout(PATIENCE_S + case.expected.asked_s):
            await endpoint.until(case.expected.attempts)
        played.chain = await self.lab.ended(started.id)
        await self._reply(case, endpoint, played, after_end=True)

    async def _open_up(self, case: Case, endpoint: FaultyEndpoint, chain_id: str) -> None:
        """Listen once so many attempts were refused."""
        if not case.refusals:
            return

        async def refused() -> bool | None:
            types = self.lab.watch.types(chain_id)
            return types.count((1, "callback.retrying")) >= case.refusals or None

        await eventually(refused)
        endpoint.listen()

    async def _run_detached(self, chain_id: str) -> Outcome | None:
        """The next session, which was started on its own."""
        package = self.lab.rows.package(await self.lab.row(chain_id, 2, StepState.LIVE))
        return None if package is None else await Wallet().run(package.session_ptr)

    async def _reply(
        self, case: Case, endpoint: FaultyEndpoint, played: Played, *, after_end: bool
    ) -> None:
        """Answer later, as the endpoint would."""
        sent = [one for one in case.replies if one.after_end is after_end]
        if not sent or played.started is None:
            return
        await self.lab.watch.until(played.started.id, "callback.answered", 1)
        url = endpoint.journal[0].headers["chain-reply-to"]
        for one in sent:
            data, to = one.body, _address(url, one)
            async with self.lab.http.post(to, data=data) as response:
                played.replies.append(response.status)

    def seen(self, played: Played, endpoint: FaultyEndpoint) -> Seen:
        """What was seen of a case, once no more can come."""
        started, chain = played.started, played.chain
        if started is None:
            return Seen(trouble=played.trouble)
        events = self.lab.watch.of(started.id)
        return Seen(
            decided=_decided(events),
            attempts=tuple(
                self._attempt(visit, started.token) for visit in endpoint.journal
            ),
            state=chain.state if chain else None,
            ended_at=chain.ended_at if chain else None,
            app=_app(played),
            reason=chain.reason if chain else None,
            replies=tuple(played.replies),
            trouble=played.trouble,
        )

    def _attempt(self, visit: Visit, token: str) -> Attempt:
        content = self._content(visit, token) if visit.body else None
        return Attempt(at=visit.at, replied_at=visit.replied_at, content=content)

    def _content(self, visit: Visit, token: str) -> Content:
        """What was POSTed, verified as a requestor would."""
        headers, body = visit.headers, visit.body
        claims = self._claims(body)
        signed = _webhook_signature(self.webhook_secret, headers, body)
        issued_at = claims.pop("iat", None)
        claims.pop("exp", None)
        stamps = (issued_at, headers.get("webhook-timestamp"))
        return Content(
            webhook_id=headers.get("webhook-id", ""),
            result=json.dumps(claims, sort_keys=True),
            stamps=tuple(int(str(stamp)) for stamp in stamps if stamp is not None),
            trace=headers.get("traceparent", ""),
            genuine=headers.get("webhook-signature") == signed
            and claims.get("token") == token
            and None not in stamps,
        )

    def _claims(self, body: bytes) -> dict[str, object]:
        """The claims of a result JWT; none if its signature does not hold."""
        try:
            claims: dict[str, object] = jwt.decode(
                body, self.public_key, algorithms=["RS256"]
            )
        except jwt.InvalidTokenError:
            return {}
        return claims


def _address(url: str, sent: ReplySent) -> str:
    """The reply URL, or one that somebody made up: its seal does not hold."""
    if not sent.forged:
        return url
    last = "A" if url[-5] != "A" else "B"
    return f"{url[:-5]}{last}{url[-4:]}"


def _webhook_signature(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """What the requestor's secret makes of an attempt (Standard Webhooks 1.0.0)."""
    key = b64decode(secret.partition("_")[2])
    stamped = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}."
    digest = hmac.digest(key, stamped.encode() + body, "sha256")
    return f"v1,{b64encode(digest).decode()}"


def _decided(events: list[ChainEvent]) -> tuple[Decided, ...]:
    """What was decided of the first step's callback, in order."""
    found = (_decision(event) for event in events if event.step == 1)
    return tuple(one for one in found if one is not None)


def _decision(event: ChainEvent) -> Decided | None:
    match event:
        case CallbackRetrying(data=data):
            text = f"{data.status or data.fault} {data.clock}"
            delay_s = data.delay_ms / 1000
            planned = Planned(clock=data.clock, delay_s=delay_s, at=data.next_at)
            return Decided(text=text, at=event.time, retry=planned)
        case CallbackAnswered(data=data):
            replied = data.status is None
            text = f"{data.status or 'reply'} {data.answer}"
            return Decided(text=text, at=event.time, replied=replied)
        case CallbackFailed(data=data):
            text = f"{data.status or data.fault} failed"
        case _:
            return None
    return Decided(text=text, at=event.time)


def _app(played: Played) -> str:
    """What the user's app saw."""
    if played.outcome is None:
        return ""
    steps = [step.status for step in played.outcome.steps]
    error = played.outcome.steps[-1].error
    if isinstance(error, dict) and error.get("error") == "NEXT_SESSION":
        return App.TOLD
    if steps == [StepStatus.SUCCESS, StepStatus.SUCCESS]:
        return App.NEXT
    if steps != [StepStatus.SUCCESS]:
        return " ".join(steps)
    if played.detached is None:
        return App.ENDED_WELL
    return _app_detached(played.detached)


def _app_detached(detached: Outcome) -> str:
    well = detached.status is StepStatus.SUCCESS
    return App.DETACHED if well else f"next detached: {detached.status}"
