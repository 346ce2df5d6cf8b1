"""The check at start: do our requestors' sessions work at the IRMA server behind us?

It looks at the server's key and starts one session, which it cancels at once. The server
then POSTs CANCELLED to us, which shows the way back; whichever gateway hears that tells
the one that asks, through its reply queue. What is found is told; it stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Final
from urllib.parse import urlsplit

import structlog
from ulid import ULID

from orchestrator.background import Background
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    BrokerUnavailable,
    NotAdmitted,
    Undecodable,
    Unroutable,
)
from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway import findings
from orchestrator.gateway.findings import Finding, Level
from orchestrator.ports import (
    Backend,
    Clock,
    Publisher,
    Replies,
    Started,
    Waiter,
    wake_up_message,
)
from orchestrator.sealing import Sealer
from schemas.capabilities import Capability
from schemas.irma import SessionRequest, session_request_from
from schemas.messages import ReplyAddress, Wake, WakeUp

_log = structlog.get_logger(__name__)

#: Between two examinations while the server is away; the last one again and again.
PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

#: How long one examination may take: three calls with their own bounds, and the way back.
EXAMINATION_S: Final = 40.0

#: The server POSTs before it answers the cancellation; then comes the broker's time.
HEARD_WITHIN_S: Final = 2.0

#: After this a check's session ends by itself, and its callback URL has no effect.
CHECK_S: Final = 60

_DISCLOSURE: Final = "https://irma.app/ld/request/disclosure/v2"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one examination found; it is worth repeating while nobody answers."""

    findings: tuple[Finding, ...]
    reached: bool


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Examines the IRMA server behind us, and the way back from it.

    Attributes:
        public_url: where it reaches us.
        attribute: what the session asks for that is cancelled at once; None: none is
            tried.
        default_host: the host by which requests without one are judged here.
        require_signed: as it is configured; None where the server's key decides.
    """

    backend: Backend
    replies: Replies
    sealer: Sealer
    clock: Clock
    public_url: str
    attribute: str | None
    default_host: str
    require_signed: bool | None = None

    async def report(self) -> Report:
        """Examine once, within bounds of time."""
        try:
            async with asyncio.timeout(EXAMINATION_S):
                signs = await self.backend.signs()
                tried = await self._session()
        except NotAdmitted as error:
            return Report(findings=(findings.not_admitted(str(error)),), reached=True)
        except BackendUnavailable as error:
            return Report(findings=(findings.away(str(error)),), reached=False)
        except TimeoutError:
            found = findings.away("no answer in time")
            return Report(findings=(found,), reached=False)
        key = findings.key(signs=signs, require_signed=self.require_signed)
        return Report(
            findings=(findings.reached(), key, *tried, findings.UNTRIED), reached=True
        )

    async def _session(self) -> list[Finding]:
        """Start the session, look at it, cancel it and listen."""
        if self.attribute is None:
            return [findings.NOT_TRIED]
        check_id = str(ULID())
        async with self.replies.waiter(check_id) as waiter:
            try:
                started = await self.backend.start(
                    self._request(check_id, self.attribute)
                )
            except BackendRefused as refusal:
                return [findings.refused(refusal, default_host=self.default_host)]
            host = urlsplit(started.package.session_ptr.u).netloc
            wake = await self._cancelled(started, waiter)
        return [
            findings.started(),
            findings.host(host, default_host=self.default_host),
            findings.way_back(wake, public_url=self.public_url),
        ]

    async def _cancelled(self, started: Started, waiter: Waiter) -> Wake | None:
        """What was heard of the cancellation, if anything."""
        try:
            await self.backend.cancel(started.token)
        except BackendUnavailable as error:
            # The server cuts itself off when its POST to us gets no answer.
            _log.warning("check.cancel_failed", why=str(error))
        wake_up = await waiter.wake_up(HEARD_WITHIN_S)
        return None if wake_up is None else wake_up.wake

    def _request(self, check_id: str, attribute: str) -> SessionRequest:
        expires_at = self.clock() + timedelta(seconds=CHECK_S)
        capability = Capability(
            kind="check",
            chain_id=check_id,
            step=0,
            generation=0,
            requestor=ANONYMOUS,
            validity_s=CHECK_S,
            expires_at=int(expires_at.timestamp()),
            target=self.replies.queue,
        )
        sealed = self.sealer.seal_capability(capability)
        return session_request_from(
            {
                "request": {"@context": _DISCLOSURE, "disclose": [[[attribute]]]},
                "callbackUrl": f"{self.public_url.rstrip('/')}/callback/{sealed}",
                "timeout": CHECK_S,
            }
        )


async def hear(
    check: Capability,
    body: bytes,
    content_type: str,
    *,
    backend: Backend,
    publisher: Publisher,
) -> None:
    """Take in what a server POSTs because of a check, and tell who checks."""
    wake = Wake.ENDED
    try:
        await backend.read_result(body, content_type)
    except Undecodable as error:
        _log.warning("check.refused", why=str(error))
        wake = Wake.FAILED
    reply = ReplyAddress(
        queue=check.target or "",
        correlation_id=check.chain_id,
        deadline=datetime.fromtimestamp(check.expires_at, UTC),
    )
    wake_up = WakeUp(
        wake=wake,
        chain_id=check.chain_id,
        step=check.step,
        generation=check.generation,
        requestor=check.requestor,
        cause=check.chain_id,
    )
    try:
        await publisher.publish(wake_up_message(reply, wake_up), timeout_s=HEARD_WITHIN_S)
    except (Unroutable, BrokerUnavailable) as error:
        _log.info("check.nobody_waits", error=type(error).__name__)


async def examine(
    examination: Examination,
    *,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Examine until the server answers, and log what is new each time."""
    told: tuple[Finding, ...] = ()
    for pause_s in chain(PAUSES_S, repeat(PAUSES_S[-1])):
        report = await examination.report()
        if report.findings != told:
            _tell(report.findings)
        if report.reached:
            return
        told = report.findings
        await pause(pause_s)


@asynccontextmanager
async def examining(examination: Examination) -> AsyncIterator[Callable[[], None]]:
    """Examines beside everything else, from when it is told that we listen."""
    listening = asyncio.Event()

    async def once_listening() -> None:
        await listening.wait()
        await examine(examination)

    background = Background()
    background.spawn(once_listening())
    try:
        yield listening.set
    finally:
        await background.drain(0)


_SEVERITIES: Final = {Level.WARNING: logging.WARNING, Level.FAILED: logging.ERROR}


def _tell(found: tuple[Finding, ...]) -> None:
    for one in found:
        remedy = {"remedy": one.remedy} if one.remedy else {}
        _log.log(
            _SEVERITIES.get(one.level, logging.INFO),
            "irma_server.checked",
            check=one.check,
            outcome=one.level,
            found=one.found,
            **remedy,
        )
