"""What a requestor asks an IRMA server to do: session requests (reference irma.md §2)."""

import re
from contextlib import suppress
from typing import Annotated, Final, Self, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.irma.condiscon import (
    AttributeRequest,
    ConDisCon,
    attribute_ids,
    check_condiscon,
)
from schemas.irma.documents import (
    Document,
    Int,
    InvalidSessionRequest,
    JsonObject,
    Uint,
    as_object,
    built,
    cleaned,
    decoded,
    field_of,
    fold,
    type_name,
)
from schemas.irma.legacy import is_legacy, modern_request
from schemas.irma.states import CONTEXTS, SessionType

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

_INDEX: Final = re.compile(r"[+-]?[0-9]{1,18}")


def _null_texts(data: object) -> object:
    """Go reads a null in a map of strings as the empty string."""
    if not isinstance(data, dict):
        return data
    return {key: "" if value is None else value for key, value in data.items()}


def _null_ids(data: object) -> object:
    """And a null in a list of ids as the empty one."""
    if not isinstance(data, list):
        return data
    return ["" if value is None else value for value in data]


Texts: TypeAlias = Annotated[dict[str, str], BeforeValidator(_null_texts)]
Ids: TypeAlias = Annotated[list[str], BeforeValidator(_null_ids)]


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
    skip_expiry_check: Ids | None = Field(default=None, alias="skipExpiryCheck")
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
        ids = ["" if id_ is None else id_ for id_ in data]
        if not all(isinstance(id_, str) for id_ in ids):
            raise PydanticCustomError("revocation", "a credential id is not a string")
        return {id_: {} for id_ in ids}


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
    """Where the request of the next session comes from (reference irma.md §7).

    That an empty URL leads nowhere is said after who asks is known to be permitted.
    """

    url: str = ""


PlainRequest: TypeAlias = DisclosureRequest | SignatureRequest | IssuanceRequest

_KINDS: Final[dict[str, tuple[SessionType, type[PlainRequest]]]] = {
    CONTEXTS[SessionType.DISCLOSING]: (SessionType.DISCLOSING, DisclosureRequest),
    CONTEXTS[SessionType.SIGNING]: (SessionType.SIGNING, SignatureRequest),
    CONTEXTS[SessionType.ISSUING]: (SessionType.ISSUING, IssuanceRequest),
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
        if not isinstance(data, dict):
            return data
        plain = modern_request(data) if is_legacy(data) else data
        model = _model_of(plain, "Invalid requestor request type")
        return model.model_validate(plain)

    @field_validator("validity")
    @classmethod
    def _validity_set(cls, validity: int) -> int:
        return validity or VALIDITY_DEFAULT_S

    @field_validator("callback_url")
    @classmethod
    def _empty_is_none(cls, url: str | None) -> str | None:
        return url or None

    @property
    def type(self) -> SessionType:
        """Which kind of session this asks for."""
        return _KINDS[self.request.context][0]

    def attribute_ids(self) -> list[str]:
        """Every attribute id of every alternative, in the order of the request."""
        return attribute_ids(self.request.disclose)

    def with_urls(self, next_session: str | None, callback: str | None) -> Self:
        """The same request with other URLs to post to; None takes one away."""
        target = None if next_session is None else NextSession(url=next_session)
        return self.model_copy(update={"next_session": target, "callback_url": callback})

    def with_client_return_url(self, url: str | None, *, augment: bool = False) -> Self:
        """The same request with another URL for the app to open; None takes it away.

        Args:
            url: where the app goes when the session is done.
            augment: whether the IRMA server appends the session's token to it.
        """
        return self._with_plain(
            client_return_url=url, augment_return_url=(augment and bool(url)) or None
        )

    def with_disclose(self, extra: ConDisCon) -> Self:
        """The same request with disjunctions at its tail: labels and indexes stay."""
        if not extra:
            return self
        return self._with_plain(disclose=[*self.request.disclose, *extra])

    def _with_plain(self, **changed: object) -> Self:
        plain = self.request.model_copy(update=changed)
        return self.model_copy(update={"request": plain})


def parse_session_request(body: bytes | str) -> SessionRequest:
    """The session request in a body: plain or extended, modern or legacy."""
    return session_request_from(decoded(body, InvalidSessionRequest))


def session_request_from(obj: object) -> SessionRequest:
    """The session request in decoded JSON: plain or extended, modern or legacy."""
    value = cleaned(obj, InvalidSessionRequest)
    fields = as_object(value, InvalidSessionRequest)
    if _has_context(fields):
        return SessionRequest(request=_plain(fields))
    inner = field_of(fields, "request")
    if isinstance(inner, dict) and _has_context(inner):
        return extended_request(fields)
    request = _legacy_request(fields)
    if request is None:
        raise _refused("Failed to JSON unmarshal request bytes")
    return request


def _legacy_request(fields: JsonObject) -> SessionRequest | None:
    """The request in a legacy form, tried as extended and then as plain.

    Without a context no server can tell what a document was meant to be, so it does not
    say what is wrong with it.
    """
    with suppress(InvalidSessionRequest):
        return extended_request(fields)
    with suppress(InvalidSessionRequest):
        return SessionRequest(request=_plain(modern_request(fields)))
    return None


def extended_request(fields: JsonObject) -> SessionRequest:
    """The session request in the fields of an extended one."""
    # A leftover `@context` up here could make the IRMA server read a plain request.
    extended = {k: v for k, v in fields.items() if fold(k) != "@context"}
    return built(SessionRequest, extended, InvalidSessionRequest)


def _has_context(fields: JsonObject) -> bool:
    return field_of(fields, "@context") not in (None, "")


def _plain(fields: JsonObject) -> PlainRequest:
    model = _model_of(fields, "Invalid session request type")
    return built(model, fields, InvalidSessionRequest)


def _model_of(fields: JsonObject, refusal: str) -> type[PlainRequest]:
    context = field_of(fields, "@context")
    if not isinstance(context, str):
        raise InvalidSessionRequest(
            "@context", f"expected a string, found {type_name(context)}"
        )
    if context not in _KINDS:
        raise InvalidSessionRequest("@context", refusal, verbatim=True)
    return _KINDS[context][1]


def _check_credential_id(identifier: str, field: str) -> None:
    parts = identifier.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - scheme, issuer, credential
        raise InvalidSessionRequest(
            field,
            f"Expected credential ID to consist of 3 parts, {len(parts)} found",
            verbatim=True,
        )


def _refused(reason: str) -> InvalidSessionRequest:
    """The refusal of a whole request, in the IRMA server's own words."""
    return InvalidSessionRequest("", reason, verbatim=True)
