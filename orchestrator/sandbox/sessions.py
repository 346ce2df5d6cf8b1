"""One session from start to end, as values: every change makes a new one (irma.md §4).

Nothing here waits, asks the time or draws a number. Who changes a session keeps the one
it began with and commits the new one through the store, where the later writer loses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from yarl import URL

from orchestrator.sandbox.disclosure import Checked, DisclosedLists
from orchestrator.sandbox.faults import LostUpdate, Refused
from schemas.irma import (
    ConDisCon,
    ErrorKind,
    IrmaError,
    JsonObject,
    ProofStatus,
    SessionRequest,
    SessionResult,
    SessionType,
    SignatureRequest,
    Status,
    session_result_from,
)
from schemas.irma.condiscon import AttributeRequest

#: The one version of the app protocol that is spoken (reference irma.md §4.5).
PROTOCOL: Final = (2, 8)


@dataclass(frozen=True, kw_only=True)
class Session:
    """All that a server remembers of one session."""

    requestor_token: str
    client_token: str
    frontend_token: str
    requestor: str
    request: SessionRequest
    last_active: float
    #: Attributes of earlier steps of the chain, to be disclosed again.
    implicit: ConDisCon = field(default_factory=list)
    status: Status = Status.INITIALIZED
    app_token: str | None = None
    proof_status: ProofStatus | None = None
    disclosed: DisclosedLists = field(default_factory=list)
    signature: JsonObject | None = None
    error: IrmaError | None = None
    next: "Session | None" = None

    @property
    def disclose(self) -> ConDisCon:
        """Everything this session has to disclose."""
        return [*self.request.request.disclose, *self.implicit]

    def pointer(self, url: str) -> JsonObject:
        """What the app scans or is forwarded to."""
        u = URL(url) / "irma" / "session" / self.client_token
        host = self.request.request.host
        if host:
            u = URL(f"{u.scheme}://{host}{u.path}")
        return {"u": str(u), "irmaqr": self.request.type}

    def package(self, url: str) -> JsonObject:
        """The answer to the requestor that started the session."""
        frontend: JsonObject = {"authorization": self.frontend_token}
        if _pairing_recommended(self.request):
            frontend["pairingHint"] = True
        frontend |= {"minProtocolVersion": "1.0", "maxProtocolVersion": "1.1"}
        return {
            "sessionPtr": self.pointer(url),
            "token": self.requestor_token,
            "frontendRequest": frontend,
        }

    def result(self) -> SessionResult:
        """The session's result as it stands."""
        fields = {
            "token": self.requestor_token,
            "status": self.status,
            "type": self.request.type,
            "proofStatus": self.proof_status,
            "disclosed": self.disclosed or None,
            "signature": self.signature,
            "error": self.error and self.error.to_wire(),
            "nextSession": self.next and self.next.requestor_token,
        }
        present = {name: value for name, value in fields.items() if value is not None}
        return session_result_from(present)


def new_session(
    request: SessionRequest, requestor: str, now: float, token: Callable[[], str]
) -> Session:
    """A session that waits for its app."""
    return Session(
        requestor_token=token(),
        client_token=token(),
        frontend_token=token(),
        requestor=requestor,
        request=request,
        last_active=now,
    )


def next_session(
    of: Session,
    request: SessionRequest,
    implicit: ConDisCon,
    now: float,
    token: Callable[[], str],
) -> Session:
    """The next session of a chain: same requestor, same frontend (irma.md §7.5)."""
    fresh = new_session(request, of.requestor, now, token)
    return replace(fresh, frontend_token=of.frontend_token, implicit=implicit)


def timed_out(session: Session, now: float, max_lifetime_s: float) -> bool:
    """Whether nobody has been heard of for too long (reference irma.md §4.2)."""
    if session.status.final:
        return False
    waiting = session.status is Status.INITIALIZED and session.request.timeout
    return now - session.last_active > (waiting or max_lifetime_s)


def connected(
    session: Session,
    *,
    app_token: str,
    versions: tuple[tuple[int, int], tuple[int, int]],
    now: float,
) -> Session:
    """The app has come for the request (reference irma.md §4.5)."""
    if session.status is not Status.INITIALIZED:
        raise Refused(ErrorKind.UNEXPECTED_REQUEST, "Session already started")
    if not app_token:
        raise Refused(ErrorKind.SESSION_UNAUTHORIZED)
    lowest, highest = versions
    active = replace(session, last_active=now)
    if not lowest <= PROTOCOL <= highest:
        refusal = Refused(ErrorKind.PROTOCOL_VERSION)
        return cancelled(active, now, refusal.error)
    return replace(active, status=Status.CONNECTED, app_token=app_token)


def check_app(session: Session, app_token: str) -> None:
    """Later calls of the app repeat the token it invented."""
    if not app_token or app_token != session.app_token:
        raise Refused(ErrorKind.SESSION_UNAUTHORIZED)
    if session.status is not Status.CONNECTED:
        raise Refused(ErrorKind.UNEXPECTED_REQUEST)


def proved(session: Session, checked: Checked, now: float) -> Session:
    """The proofs were checked; the session is not over yet."""
    return replace(
        session,
        last_active=now,
        proof_status=checked.proof_status,
        disclosed=checked.disclosed,
        signature=_signature(session.request),
    )


def done(session: Session, following: Session | None) -> Session:
    """The session is over, possibly with another one to follow."""
    return replace(session, status=Status.DONE, next=following)


def cancelled(session: Session, now: float, error: IrmaError | None = None) -> Session:
    """The session is over; whatever was proved is dropped (reference irma.md §5)."""
    return replace(
        session,
        status=Status.CANCELLED,
        last_active=now,
        proof_status=None,
        disclosed=[],
        signature=None,
        error=error,
    )


class SessionStore:
    """The sessions, by both their tokens; the later of two writers loses."""

    def __init__(self) -> None:
        self._by_client: dict[str, Session] = {}
        self._client_tokens: dict[str, str] = {}

    def add(self, session: Session) -> None:
        """Take in a new session."""
        self._by_client[session.client_token] = session
        self._client_tokens[session.requestor_token] = session.client_token

    def by_client(self, token: str) -> Session | None:
        """The session an app or a browser means."""
        return self._by_client.get(token)

    def by_requestor(self, token: str) -> Session | None:
        """The session a requestor means."""
        return self._by_client.get(self._client_tokens.get(token, ""))

    def commit(self, before: Session, after: Session) -> None:
        """Publish a change, unless the session changed since it was read."""
        if self._by_client.get(before.client_token) is not before:
            raise LostUpdate
        self._by_client[before.client_token] = after

    def remove(self, session: Session) -> None:
        """Forget a session."""
        del self._by_client[session.client_token]
        del self._client_tokens[session.requestor_token]

    def all(self) -> list[Session]:
        """Every session there is, safe against changes meanwhile."""
        return list(self._by_client.values())


def _pairing_recommended(request: SessionRequest) -> bool:
    """Whether the frontend is told to pair (reference irma.md §1)."""
    return (
        request.type is not SessionType.DISCLOSING
        or request.next_session is not None
        or any(attribute.value is not None for attribute in _attributes(request))
    )


def _attributes(request: SessionRequest) -> Iterable[AttributeRequest]:
    return (
        attribute
        for disjunction in request.request.disclose
        for conjunction in disjunction
        for attribute in conjunction
    )


def _signature(request: SessionRequest) -> JsonObject | None:
    """A signed message without its signature: the sandbox has no cryptography."""
    if not isinstance(request.request, SignatureRequest):
        return None
    return {
        "@context": "https://irma.app/ld/signature/v2",
        "signature": [],
        "message": request.request.message,
    }
