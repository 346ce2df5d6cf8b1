"""IRMA's own documents: session requests, results, packages and errors.

Everything an IRMA server says and hears is described here once, after reference irma.md.
"""

from schemas.irma.documents import InvalidDocument, JsonObject
from schemas.irma.errors import ErrorKind, IrmaError, irma_error
from schemas.irma.package import (
    FrontendRequest,
    InvalidSessionPackage,
    SessionPackage,
    SessionPointer,
    parse_session_package,
    session_package_from,
)
from schemas.irma.requests import (
    VALIDITY_DEFAULT_S,
    AttributeRequest,
    ConDisCon,
    CredentialRequest,
    DisclosureRequest,
    InvalidSessionRequest,
    IssuanceRequest,
    NextSession,
    PlainRequest,
    RevocationSettings,
    SessionRequest,
    SignatureRequest,
    parse_session_request,
    session_request_from,
)
from schemas.irma.results import (
    DisclosedAttribute,
    InvalidSessionResult,
    SessionResult,
    parse_session_result,
    result_claims,
    result_from_claims,
    session_result_from,
)
from schemas.irma.states import AttributeStatus, ProofStatus, SessionType, Status

__all__ = [
    "VALIDITY_DEFAULT_S",
    "AttributeRequest",
    "AttributeStatus",
    "ConDisCon",
    "CredentialRequest",
    "DisclosedAttribute",
    "DisclosureRequest",
    "ErrorKind",
    "FrontendRequest",
    "InvalidDocument",
    "InvalidSessionPackage",
    "InvalidSessionRequest",
    "InvalidSessionResult",
    "IrmaError",
    "IssuanceRequest",
    "JsonObject",
    "NextSession",
    "PlainRequest",
    "ProofStatus",
    "RevocationSettings",
    "SessionPackage",
    "SessionPointer",
    "SessionRequest",
    "SessionResult",
    "SessionType",
    "SignatureRequest",
    "Status",
    "irma_error",
    "parse_session_package",
    "parse_session_request",
    "parse_session_result",
    "result_claims",
    "result_from_claims",
    "session_package_from",
    "session_request_from",
    "session_result_from",
]
