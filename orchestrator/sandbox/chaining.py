"""What an IRMA server does with sessions, its POSTs included (irma.md §7, §8)."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from orchestrator.sandbox import sessions
from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.disclosure import (
    Proofs,
    check,
    implicit_of,
    issuing_refusal,
)
from orchestrator.sandbox.faults import LostUpdate, PostFailed, Refused
from orchestrator.sandbox.knobs import During, Knob, Knobs
from orchestrator.sandbox.outbound import Answer, Outbound
from orchestrator.sandbox.permissions import denial
from orchestrator.sandbox.remembering import RememberingStore
from orchestrator.sandbox.sessions import Session
from orchestrator.sandbox.signing import ResultSigner
from orchestrator.sandbox.starting import start_refusal
from schemas.irma import (
    ErrorKind,
    InvalidSessionRequest,
    ProofStatus,
    SessionRequest,
    SessionType,
    Status,
    parse_session_request,
)

log = structlog.get_logger(__name__)

#: How much of an endpoint's answer the app is shown (reference irma.md §7.4).
_SHOWN_CHARACTERS = 100


class Sandbox:
    """The server's state and what may happen to it; HTTP is elsewhere."""

    def __init__(
        self,
        config: SandboxConfig,
        *,
        clock: Callable[[], float],
        token: Callable[[], str],
        outbound: Outbound,
    ) -> None:
        self.config = config
        self.clock = clock
        self.knobs = Knobs(config.faults)
        self.store = RememberingStore()
        self.signer = ResultSigner(config)
        self._token = token
        self._outbound = outbound

    def start(self, request: SessionRequest, requestor: str) -> Session:
        """Start a session, the first of its chain."""
        reason = denial(self.config, requestor, request)
        if reason is not None:
            raise Refused(ErrorKind.UNAUTHORIZED, reason)
        _check_next_url(request, ErrorKind.INVALID_REQUEST)
        self._check_unsigned(request)
        return self.begin(request, requestor)

    def begin(self, request: SessionRequest, requestor: str) -> Session:
        """Start a session whose requestor may do so, as that of a static session may."""
        refusal = start_refusal(self.config, request, self.clock())
        if refusal:
            raise Refused(ErrorKind.INVALID_REQUEST, refusal)
        session = sessions.new_session(request, requestor, self.clock(), self._token)
        self.store.add(session)
        log.info("session_started", type=request.type)
        return session

    async def by_requestor(self, token: str) -> Session:
        """The session of a requestor token, its time limit applied."""
        return await self._current(self.store.by_requestor(token))

    async def seen_by_requestor(self, token: str) -> Session:
        """The session as a requestor is told of it: the fault *stale read* is in here."""
        session = await self.by_requestor(token)
        before = self.store.before(session)
        if before is not None and self.knobs.happens(Knob.STALE_READ):
            return before
        return session

    async def by_client(self, token: str) -> Session:
        """The session of a client token, its time limit applied."""
        return await self._current(self.store.by_client(token))

    async def connect(
        self,
        session: Session,
        app_token: str,
        versions: tuple[tuple[int, int], tuple[int, int]],
    ) -> Session:
        """The app fetches the request."""
        now = self.clock()
        after = sessions.connected(
            session, app_token=app_token, versions=versions, now=now
        )
        if after.status is Status.CANCELLED:
            await self._end(session, after)
            raise Refused(ErrorKind.PROTOCOL_VERSION)
        self.store.commit(session, after)
        return after

    async def cancel(self, session: Session) -> None:
        """Somebody deletes the session; one that is over stays what it was."""
        if not session.status.final:
            await self._end(session, sessions.cancelled(session, self.clock()))
            return
        stored = self.store.by_client(session.client_token)
        if stored is not None and not stored.status.final:
            # A TIMEOUT that was announced, but never stored, is stored from now on.
            self.store.commit(stored, session)

    async def prove(self, session: Session, proofs: Proofs) -> Session:
        """Check, POST to the chain endpoint, then to the callback, then commit."""
        await self._held_up(During.PROOFS)
        checked = check(session.disclose, proofs, session.terms)
        proved = sessions.proved(session, checked, self.clock())
        valid = checked.proof_status is ProofStatus.VALID
        if not valid and session.request.type is SessionType.ISSUING:
            refusal = Refused(issuing_refusal(checked.proof_status))
            await self._end(
                session, sessions.cancelled(session, self.clock(), refusal.error)
            )
            raise refusal
        try:
            following = await self._following(proved)
        except Refused:
            self.store.commit(session, proved)
            raise
        after = sessions.done(proved, following)
        await self._announce(after)
        await self._held_up(During.COMMIT)
        if self.knobs.happens(Knob.LOST_UPDATE):
            raise LostUpdate
        self._commit(session, after)
        return after

    def restart(self) -> None:
        """Forget every session, as a server does that kept them in memory."""
        self.store = RememberingStore(self.store.listeners)
        log.warning("sessions_forgotten")

    async def sweep(self) -> None:
        """Announce what has timed out, forget what has been over for long enough."""
        kept_since = self.clock() - self.config.session_result_lifetime_s
        known = self.store.all()
        for session in known:
            if session.status.final and session.last_active < kept_since:
                self.store.remove(session)
        running = [one for one in known if not one.status.final]
        await asyncio.gather(*(self._expire(one, kept_since) for one in running))

    async def _expire(self, session: Session, kept_since: float) -> None:
        with contextlib.suppress(LostUpdate):
            current = await self._current(session)
            if current.status.final and current.last_active < kept_since:
                self._forget_unstored(session)

    def _forget_unstored(self, session: Session) -> None:
        """What has timed out counts as over, even where that was never stored."""
        if self.store.by_client(session.client_token) is session:
            self.store.remove(session)

    async def _current(self, session: Session | None) -> Session:
        if session is None:
            raise Refused(ErrorKind.SESSION_UNKNOWN)
        limit_s = self.config.max_session_lifetime_s
        if not sessions.timed_out(session, self.clock(), limit_s):
            return session
        after = replace(session, status=Status.TIMEOUT)
        if not self.knobs.happens(Knob.REPEATED_TIMEOUT):
            # Stored before it is announced, hence announced once; upstream repeats it.
            self.store.commit(session, after)
        await self._announce(after)
        return after

    async def _end(self, before: Session, after: Session) -> None:
        await self._announce(after)
        self._commit(before, after)

    def _commit(self, before: Session, after: Session) -> None:
        self.store.commit(before, after)
        log.info("session_ended", type=after.request.type, status=after.status)

    async def _held_up(self, during: During) -> None:
        delay_s = self.knobs.delay_s(during)
        if delay_s:
            await asyncio.sleep(delay_s)

    async def _announce(self, session: Session) -> None:
        """Post the result to the callback URL; whatever is answered changes nothing."""
        url = session.request.callback_url
        if url is None:
            return
        try:
            answer = await self._post(url if url.endswith("/") else f"{url}/", session)
        except PostFailed:
            log.warning("callback_failed", status=session.status)
            return
        if answer.status not in {200, 204}:
            log.warning("callback_refused", status=session.status, code=answer.status)

    async def _following(self, session: Session) -> Session | None:
        """The next session of the chain, if its endpoint asks for one."""
        target = session.request.next_session
        if target is None:
            return None
        if session.proof_status is not ProofStatus.VALID:
            raise Refused(ErrorKind.NEXT_SESSION, "session in invalid state")
        try:
            answer = await self._post(target.url, session)
        except PostFailed as fault:
            message = (
                f"Error type: transport\nDescription: {fault.description}\nStatus code: 0"
            )
            raise Refused(ErrorKind.NEXT_SESSION, message) from None
        request = _next_request(answer)
        return None if request is None else self._start_next(session, request)

    def _start_next(self, session: Session, request: SessionRequest) -> Session:
        reason = denial(self.config, session.requestor, request)
        if reason is not None:
            message = f"next session not authorized: {reason}"
            raise Refused(ErrorKind.NEXT_SESSION, message)
        _check_next_url(request, ErrorKind.NEXT_SESSION)
        refusal = start_refusal(self.config, request, self.clock())
        if refusal:
            raise Refused(ErrorKind.NEXT_SESSION, refusal)
        following = sessions.next_session(
            session, request, implicit_of(session.disclosed), self.clock(), self._token
        )
        self.store.add(following)
        log.info("next_session_started", type=request.type)
        return following

    async def _post(self, url: str, session: Session) -> Answer:
        body, content_type = self.signer.posted(session, self.clock())
        answers_lost = int(self.knobs.happens(Knob.DUPLICATE_POST))
        return await self._outbound.post(url, body, content_type, answers_lost)

    def _check_unsigned(self, request: SessionRequest) -> None:
        """Without a key, results are posted only where that is allowed (irma.md §3.3)."""
        if self.signer.has_key or self.config.allow_unsigned_callbacks:
            return
        for name, given in (
            ("callbackUrl", request.callback_url),
            ("nextSession", request.next_session),
        ):
            if given is not None:
                raise Refused(
                    ErrorKind.UNSUPPORTED,
                    f"{name} provided but no JWT private key is installed: either "
                    "install JWT or enable allow_unsigned_callbacks in configuration",
                )


def _check_next_url(request: SessionRequest, kind: ErrorKind) -> None:
    """An empty URL leads nowhere; upstream says so and goes on (trap T14)."""
    if request.next_session is not None and not request.next_session.url:
        raise Refused(kind, "nextSession provided with empty URL")


def _next_request(answer: Answer) -> SessionRequest | None:
    """The request in an endpoint's answer; None if the chain ends (irma.md §7.4)."""
    match answer.status:
        case 204:
            return None
        case 200:
            try:
                return parse_session_request(answer.body)
            except InvalidSessionRequest as fault:
                raise Refused(ErrorKind.NEXT_SESSION, fault.message) from None
        case status:
            raise Refused(ErrorKind.NEXT_SESSION, _unexpected(status, answer.body))


def _unexpected(status: int, body: bytes) -> str:
    text = "".join(filter(str.isprintable, body.decode(errors="replace")))
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}..."
    shown = f": {text}" if text else ""
    return (
        "Error type: serverResponse\n"
        f"Description: unexpected response, status {status}{shown}\n"
        f"Status code: {status}"
    )
