"""What a requestor asks an IRMA server to do: session requests (reference irma.md §2)."""

import re
from typing import Annotated, Final, Self, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.irma.condiscon import (
    AttributeRequest,
    ConDisCon,
    attribute_ids,
    check_condiscon,
)
from schemas.irma.documents import (
    Document,
    InvalidSessionRequest,
    JsonObject,
    built,
    cleaned,
    decoded,
    fold,
    type_name,
)
from schemas.irma.states import SessionType

__all__ = [
    "AttributeRequest",
    "ConDisCon",
    "CredentialRequest",
    "DisclosureRequest",
    "InvalidSessionRequest",
    "IssuanceRequest",
    "NextSession",
    "PlainRequest",
    "RevocationSettings",
    "SessionRequest",
    "SignatureRequest",
    "parse_session_request",
    "session_request_from",
]

#: How long a result JWT is valid if the requestor does not say (reference irma.md §2.1).
VALIDITY_DEFAULT_S: Final = 120

#: Go's `int` and `uint` on the machines an IRMA server runs on.
Int: TypeAlias = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Uint: TypeAlias = Annotated[int, Field(ge=0, le=2**64 - 1)]

_INDEX: Final = re.compile(r"[+-]?[0-9]{1,18}")
_LEGACY_NAMES: Final = frozenset({"type", "content", "credentials"})


def _null_texts(data: object) -> object:
    """Go reads a null in a map of strings as the empty string."""
    if not isinstance(data, dict):
        return data
    return {key: "" if value is None else value for key, value in data.items()}


Texts: TypeAlias = Annotated[dict[str, str], BeforeValidator(_null_texts)]


class RevocationSettings(Document):
    """How old a proof of non-revocation may be, in seconds."""

    tolerance: Uint | None = None


class CredentialRequest(Document):
    """One credential to issue (reference irma.md §2.4)."""

    credential: str = ""
    attributes: Texts | None = None
    validity: Int | None = None
    revocation_key: str | None = Field(default=None, alias="revocationKey")
    key_counter: Uint | None = Field(default=None, alias="keyCounter")
    sd_jwt_batch_size: Uint | None = Field(default=None, alias="sdJwtBatchSize")


class _PlainRequest(Document):
    """What every kind of session request may hold (reference irma.md §2.2)."""

    context: str = Field(alias="@context")
    disclose: ConDisCon = Field(default_factory=list)
    labels: dict[str, Texts | None] | None = None
    skip_expiry_check: list[str] | None = Field(default=None, alias="skipExpiryCheck")
    revocation: dict[str, RevocationSettings | None] | None = None
    client_return_url: str | None = Field(default=None, alias="clientReturnUrl")
    augment_return_url: bool | None = Field(default=None, alias="augmentReturnUrl")
    host: str | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _indexes(cls, data: object) -> object:
        if isinstance(data, dict) and not all(map(_INDEX.fullmatch, data)):
            raise PydanticCustomError("labels", "a key is not a decimal index")
        return data

    @field_validator("revocation", mode="before")
    @classmethod
    def _settings_of_list(cls, data: object) -> object:
        """A list of credential ids is short for the same ids without settings."""
        if not isinstance(data, list):
            return data
        if not all(isinstance(id_, str) for id_ in data):
            raise PydanticCustomError("revocation", "a credential id is not a string")
        return {id_: {} for id_ in data}


class DisclosureRequest(_PlainRequest):
    """Asks the user to disclose attributes."""

    @model_validator(mode="after")
    def _grammar(self) -> Self:
        if not attribute_ids(self.disclose):
            raise _refused("Disclosure request had no attributes")
        check_condiscon(self.disclose)
        return self


class SignatureRequest(_PlainRequest):
    """Asks the user to sign a message with attributes."""

    message: str = ""

    @model_validator(mode="after")
    def _grammar(self) -> Self:
        if not self.message:
            raise _refused("Signature request had empty message")
        if not self.disclose:
            raise _refused("Signature request had no attributes")
        check_condiscon(self.disclose)
        return self


class IssuanceRequest(_PlainRequest):
    """Issues credentials to the user, possibly against the disclosure of attributes."""

    credentials: list[CredentialRequest] = Field(default_factory=list)

    @model_validator(mode="after")
    def _grammar(self) -> Self:
        if not self.credentials:
            raise _refused("Empty issuance request")
        for i, credential in enumerate(self.credentials):
            _check_credential_id(credential.credential, f"credentials[{i}].credential")
        check_condiscon(self.disclose)
        return self


class NextSession(Document):
    """Where the request of the next session comes from (reference irma.md §7)."""

    url: str = ""


PlainRequest: TypeAlias = DisclosureRequest | SignatureRequest | IssuanceRequest

_CONTEXTS: Final[dict[str, tuple[SessionType, type[PlainRequest]]]] = {
    "https://irma.app/ld/request/disclosure/v2": (
        SessionType.DISCLOSING,
        DisclosureRequest,
    ),
    "https://irma.app/ld/request/signature/v2": (SessionType.SIGNING, SignatureRequest),
    "https://irma.app/ld/request/issuance/v2": (SessionType.ISSUING, IssuanceRequest),
}


class SessionRequest(Document):
    """A session request in its extended form (reference irma.md §2.1)."""

    always_written = frozenset({"validity", "request"})

    validity: Int = VALIDITY_DEFAULT_S
    timeout: Int = 0
    callback_url: str | None = Field(default=None, alias="callbackUrl")
    next_session: NextSession | None = Field(default=None, alias="nextSession")
    request: PlainRequest

    @field_validator("request", mode="before")
    @classmethod
    def _by_context(cls, data: object) -> object:
        return _plain_model(data).model_validate(data) if isinstance(data, dict) else data

    @field_validator("validity")
    @classmethod
    def _validity_set(cls, validity: int) -> int:
        return validity or VALIDITY_DEFAULT_S

    @field_validator("callback_url")
    @classmethod
    def _empty_is_none(cls, url: str | None) -> str | None:
        return url or None

    @model_validator(mode="after")
    def _next_session_has_url(self) -> Self:
        if self.next_session is not None and not self.next_session.url:
            raise _refused("nextSession provided with empty URL")
        return self

    @property
    def type(self) -> SessionType:
        """Which kind of session this asks for."""
        return _CONTEXTS[self.request.context][0]

    def attribute_ids(self) -> list[str]:
        """Every attribute id of every alternative, in the order of the request."""
        return attribute_ids(self.request.disclose)

    def with_urls(self, next_session: str | None, callback: str | None) -> Self:
        """The same request with other URLs to post to; None takes one away."""
        target = None if next_session is None else NextSession(url=next_session)
        return self.model_copy(update={"next_session": target, "callback_url": callback})


def parse_session_request(body: bytes | str) -> SessionRequest:
    """The session request in a body, plain or extended."""
    return session_request_from(decoded(body, InvalidSessionRequest))


def session_request_from(obj: object) -> SessionRequest:
    """The session request in decoded JSON, plain or extended."""
    value = cleaned(obj, InvalidSessionRequest)
    if value is not None and not isinstance(value, dict):
        raise InvalidSessionRequest("", f"expected an object, found {type_name(value)}")
    fields = value or {}
    if _field(fields, "@context"):
        plain = built(_plain_model(fields), fields, InvalidSessionRequest)
        return SessionRequest(request=plain)
    inner = _field(fields, "request")
    if isinstance(inner, dict) and _field(inner, "@context"):
        # A leftover `@context` up here could make the IRMA server read a plain request.
        extended = {k: v for k, v in fields.items() if fold(k) != "@context"}
        return built(SessionRequest, extended, InvalidSessionRequest)
    raise _unrecognised(fields, inner)


def _field(fields: JsonObject, name: str) -> JsonValue:
    """A field by its name in any case; the last one wins, null is absent."""
    found = [v for k, v in fields.items() if fold(k) == name and v is not None]
    return found[-1] if found else None


def _plain_model(fields: JsonObject) -> type[PlainRequest]:
    context = _field(fields, "@context")
    if not isinstance(context, str):
        raise InvalidSessionRequest(
            "@context", f"expected a string, found {type_name(context)}"
        )
    if context not in _CONTEXTS:
        raise _refused("Invalid session request type")
    return _CONTEXTS[context][1]


def _unrecognised(fields: JsonObject, inner: JsonValue) -> InvalidSessionRequest:
    candidate = inner if isinstance(inner, dict) else fields
    if _LEGACY_NAMES & {fold(name) for name in candidate}:
        return InvalidSessionRequest(
            "", "legacy session requests (without @context) are not supported"
        )
    return _refused("Failed to JSON unmarshal request bytes")


def _check_credential_id(identifier: str, field: str) -> None:
    parts = identifier.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - scheme, issuer, credential
        raise InvalidSessionRequest(
            field,
            f"Expected credential ID to consist of 3 parts, {len(parts)} found",
            verbatim=True,
        )
    if not all(parts):
        raise InvalidSessionRequest(field, "a part of the identifier is empty")


def _refused(reason: str) -> InvalidSessionRequest:
    """The refusal of a whole request, in the IRMA server's own words."""
    return InvalidSessionRequest("", reason, verbatim=True)
