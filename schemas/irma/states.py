"""The words for what a session is and where it stands (reference irma.md §4.1, §5)."""

from enum import StrEnum
from typing import Final


class SessionType(StrEnum):
    """What a session asks of the user; also the ``irmaqr`` of its pointer."""

    DISCLOSING = "disclosing"
    SIGNING = "signing"
    ISSUING = "issuing"


#: What the `@context` of a session request says for each kind (reference irma.md §2).
CONTEXTS: Final = {
    SessionType.DISCLOSING: "https://irma.app/ld/request/disclosure/v2",
    SessionType.SIGNING: "https://irma.app/ld/request/signature/v2",
    SessionType.ISSUING: "https://irma.app/ld/request/issuance/v2",
}


class Status(StrEnum):
    """Where a session stands at the IRMA server (reference irma.md §4.1)."""

    INITIALIZED = "INITIALIZED"
    PAIRING = "PAIRING"
    CONNECTED = "CONNECTED"
    DONE = "DONE"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"

    @property
    def final(self) -> bool:
        """Whether the session is over."""
        return self in {Status.DONE, Status.CANCELLED, Status.TIMEOUT}


class ProofStatus(StrEnum):
    """What became of the user's proofs; all but VALID are useless (irma.md §5)."""

    VALID = "VALID"
    INVALID = "INVALID"
    MISSING_ATTRIBUTES = "MISSING_ATTRIBUTES"
    EXPIRED = "EXPIRED"
    INVALID_TIMESTAMP = "INVALID_TIMESTAMP"
    UNMATCHED_REQUEST = "UNMATCHED_REQUEST"


class AttributeStatus(StrEnum):
    """How a disclosed attribute relates to the request (reference irma.md §5)."""

    PRESENT = "PRESENT"
    NULL = "NULL"
    EXTRA = "EXTRA"
