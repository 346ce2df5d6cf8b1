"""What an IRMA server answers to a started session (reference irma.md §1)."""

from typing import Literal

from pydantic import Field

from schemas.irma.documents import (
    Document,
    InvalidSessionPackage,
    built,
    cleaned,
    decoded,
)
from schemas.irma.states import SessionType

__all__ = [
    "FrontendRequest",
    "InvalidSessionPackage",
    "SessionPackage",
    "SessionPointer",
    "StaticPointer",
    "parse_session_package",
    "session_package_from",
]


class SessionPointer(Document):
    """What the app scans: where the session is, and its kind."""

    u: str
    irmaqr: SessionType = Field(strict=False)


class StaticPointer(Document):
    """What the printed QR of a static session holds; each scan starts a session."""

    always_written = frozenset({"irmaqr"})

    u: str
    irmaqr: Literal["redirect"] = "redirect"


class FrontendRequest(Document):
    """What a browser needs to follow and steer the session."""

    authorization: str
    pairing_hint: bool | None = Field(default=None, alias="pairingHint")
    min_protocol_version: str = Field(alias="minProtocolVersion")
    max_protocol_version: str = Field(alias="maxProtocolVersion")


class SessionPackage(Document):
    """A session's pointer for the user, token for the requestor and frontend access."""

    session_ptr: SessionPointer = Field(alias="sessionPtr")
    token: str
    frontend_request: FrontendRequest = Field(alias="frontendRequest")


def parse_session_package(body: bytes | str) -> SessionPackage:
    """The session package in a body."""
    return session_package_from(decoded(body, InvalidSessionPackage))


def session_package_from(obj: object) -> SessionPackage:
    """The session package in decoded JSON."""
    value = cleaned(obj, InvalidSessionPackage)
    return built(SessionPackage, value, InvalidSessionPackage)
