"""The errors of an IRMA server (reference irma.md §1.1)."""

from enum import Enum

from schemas.irma.documents import Document


class ErrorKind(Enum):
    """Every error an IRMA server emits: its name, HTTP status and description."""

    INVALID_REQUEST = ("INVALID_REQUEST", 400, "Invalid HTTP request")
    UNAUTHORIZED = (
        "UNAUTHORIZED",
        403,
        "You are not authorized to issue or verify this attribute",
    )
    #: The same name with another description: a wrong frontend or client token.
    SESSION_UNAUTHORIZED = (
        "UNAUTHORIZED",
        403,
        "You are not authorized to access the session",
    )
    UNSUPPORTED = ("UNSUPPORTED", 501, "Unsupported by this server")
    SESSION_UNKNOWN = ("SESSION_UNKNOWN", 400, "Unknown or expired session")
    UNEXPECTED_REQUEST = ("UNEXPECTED_REQUEST", 403, "Unexpected request in this state")
    PAIRING_REQUIRED = ("PAIRING_REQUIRED", 403, "Pairing is required first")
    MALFORMED_INPUT = ("MALFORMED_INPUT", 400, "Input could not be parsed")
    PROTOCOL_VERSION = ("PROTOCOL_VERSION", 400, "Protocol version negotiation failed")
    NEXT_SESSION = ("NEXT_SESSION", 500, "Error starting next session")
    ATTRIBUTES_EXPIRED = ("ATTRIBUTES_EXPIRED", 400, "Disclosed attributes were expired")
    INVALID_PROOFS = (
        "INVALID_PROOFS",
        400,
        "Invalid secret key commitments and/or disclosure proofs",
    )
    ISSUANCE_FAILED = ("ISSUANCE_FAILED", 500, "Failed to create credential(s)")
    UNKNOWN_PUBLIC_KEY = (
        "UNKNOWN_PUBLIC_KEY",
        403,
        "Attributes were not valid against a known public key",
    )
    KEYSHARE_PROOF_MISSING = (
        "KEYSHARE_PROOF_MISSING",
        403,
        "ProofP object from a keyshare server missing",
    )
    REVOCATION = ("REVOCATION", 500, "Revocation error")
    UNKNOWN_REVOCATION_KEY = (
        "UNKNOWN_REVOCATION_KEY",
        404,
        "No issuance records correspond to the given revocationKey",
    )
    EXCEPTION = ("EXCEPTION", 500, "Encountered unexpected problem")
    INTERNAL_ERROR = ("INTERNAL_ERROR", 500, "Internal server error")
    SSE_DISABLED = ("SSE_DISABLED", 500, "Server sent events disabled")

    def __init__(self, error: str, http_status: int, description: str) -> None:
        self.error = error
        self.http_status = http_status
        self.description = description


class IrmaError(Document):
    """An error as an IRMA server writes it, empty fields left out."""

    status: int | None = None
    error: str | None = None
    description: str | None = None
    message: str | None = None
    stacktrace: str | None = None


def irma_error(kind: ErrorKind, message: str = "") -> IrmaError:
    """The error object of a kind, with the message where there is one."""
    return IrmaError(
        status=kind.http_status,
        error=kind.error,
        description=kind.description,
        message=message or None,
    )
