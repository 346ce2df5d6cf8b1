"""One session from start to end, as values: every change makes a new one (irma.md §4).

Nothing here waits, asks the time or draws a number. Who changes a session keeps the one
it began with and commits the new one through the store, where the later writer loses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from yarl import URL

from orchestrator.sandbox.disclosure import Checked, DisclosedLists, Terms
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.signatures import nonce_of, signed_message
from schemas.irma import (
    ConDisCon,
    ErrorKind,
    FrontendOptions,
    IrmaError,
    JsonObject,
    PairingMethod,
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
    pairing: PairingMethod = PairingMethod.NONE
    pairing_code: str | None = None
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

    @property
    def terms(self) -> Terms:
        """What the request says of credential types, apart from what it asks for."""
        plain = self.request.request
        return Terms(
            frozenset(plain.skip_expiry_check or ()), frozenset(plain.revocation or ())
        )

    @property
    def nonce(self) -> str:
        """What the proofs are made for; it never changes."""
        return nonce_of(self.client_token)

    def options(self) -> FrontendOptions:
        """What frontend and app are told about pairing."""
        return FrontendOptions(pairingMethod=self.pairing, pairingCode=self.pairing_code)

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
    requestor_token = token()
    return Session(
        requestor_token=requestor_token,
        client_token=token(),
        frontend_token=token(),
        requestor=requestor,
        request=_augmented(request, requestor_token),
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
    return not session.status.final and now > expiry(session, max_lifetime_s)


def expiry(session: Session, max_lifetime_s: float) -> float:
    """When a session that is not over times out, if nobody is heard of."""
    waiting = session.status is Status.INITIALIZED and session.request.timeout
    return session.last_active + (waiting or max_lifetime_s)


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
    alone = session.pairing is PairingMethod.NONE
    status = Status.CONNECTED if alone else Status.PAIRING
    return replace(active, status=status, app_token=app_token)


def with_pairing(
    session: Session, pairing: PairingMethod | None, code: Callable[[], str]
) -> Session:
    """The frontend asks for pairing or does without; None only reads (irma.md §4.4)."""
    if session.status is not Status.INITIALIZED:
        message = "Frontend options cannot be updated when client is already connected"
        raise Refused(ErrorKind.UNEXPECTED_REQUEST, message)
    if pairing is None:
        return session
    pairing_code = code() if pairing is PairingMethod.PIN else None
    return replace(session, pairing=pairing, pairing_code=pairing_code)


def paired(session: Session) -> Session:
    """The user has typed the code: it is the right app."""
    if session.status is not Status.PAIRING:
        raise Refused(ErrorKind.UNEXPECTED_REQUEST, "Pairing was not enabled")
    return replace(session, status=Status.CONNECTED)


def check_app(session: Session, app_token: str) -> None:
    """Later calls of the app repeat the token it invented."""
    if not app_token or app_token != session.app_token:
        raise Refused(ErrorKind.SESSION_UNAUTHORIZED)
    if session.status is Status.PAIRING:
        raise Refused(ErrorKind.PAIRING_REQUIRED)
    if session.status is not Status.CONNECTED:
        raise Refused(ErrorKind.UNEXPECTED_REQUEST)


def proved(session: Session, checked: Checked, now: float) -> Session:
    """The proofs were checked; the session is not over yet."""
    return replace(
        session,
        last_active=now,
        proof_status=checked.proof_status,
        disclosed=checked.disclosed,
        signature=_signature(session, checked, now),
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


def _augmented(request: SessionRequest, requestor_token: str) -> SessionRequest:
    """The request with the token in the app's return URL (reference irma.md §2.2)."""
    plain = request.request
    if not plain.augment_return_url or not plain.client_return_url:
        return request
    joint = "&" if "?" in plain.client_return_url else "?"
    url = f"{plain.client_return_url}{joint}token={requestor_token}"
    return request.with_client_return_url(url, augment=True)


def _signature(session: Session, checked: Checked, now: float) -> JsonObject | None:
    """The signed message of a signing session."""
    plain = session.request.request
    if not isinstance(plain, SignatureRequest):
        return None
    return signed_message(plain.message, session.nonce, checked.disclosed, int(now))
