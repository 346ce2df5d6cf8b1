"""What a frontend and an IRMA server say to each other (reference irma.md §4.4)."""

from enum import StrEnum
from typing import Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.irma.documents import (
    Document,
    InvalidFrontendDocument,
    built,
    cleaned,
    decoded,
)
from schemas.irma.package import SessionPointer
from schemas.irma.states import Status

__all__ = [
    "FrontendOptions",
    "FrontendOptionsRequest",
    "FrontendStatus",
    "InvalidFrontendDocument",
    "PairingMethod",
    "frontend_options_from",
    "frontend_options_request_from",
    "frontend_status_from",
    "parse_frontend_options",
    "parse_frontend_options_request",
    "parse_frontend_status",
]

_REQUEST_CONTEXT: Final = "https://irma.app/ld/request/frontendoptions/v1"
_OPTIONS_CONTEXT: Final = "https://irma.app/ld/options/v1"


class PairingMethod(StrEnum):
    """How the browser makes sure that the app at work is its user's."""

    NONE = "none"
    PIN = "pin"


class FrontendOptionsRequest(Document):
    """Sets the pairing of a session; without a method it only reads the options."""

    context: str = Field(alias="@context")
    pairing_method: PairingMethod | None = Field(
        default=None, alias="pairingMethod", strict=False
    )

    @field_validator("pairing_method", mode="before")
    @classmethod
    def _known_word(cls, word: object) -> object:
        if isinstance(word, str) and word not in {"", *PairingMethod}:
            raise PydanticCustomError("pairing", "Pairing method unknown")
        return word or None if isinstance(word, str) else word

    @model_validator(mode="after")
    def _of_its_context(self) -> Self:
        if self.context != _REQUEST_CONTEXT:
            raise InvalidFrontendDocument(
                "@context", "Not a frontend options request", verbatim=True
            )
        return self


class FrontendOptions(Document):
    """The options of a session; a code is there only while the method is `pin`."""

    always_written = frozenset({"context", "pairing_method"})

    context: str = Field(default=_OPTIONS_CONTEXT, alias="@context")
    pairing_method: PairingMethod = Field(
        default=PairingMethod.NONE, alias="pairingMethod", strict=False
    )
    pairing_code: str | None = Field(default=None, alias="pairingCode")


class FrontendStatus(Document):
    """Where a session stands and, in a chain, the pointer of the one that follows."""

    status: Status = Field(strict=False)
    next_session: SessionPointer | None = Field(default=None, alias="nextSession")


def parse_frontend_options_request(body: bytes | str) -> FrontendOptionsRequest:
    """The options request in a body."""
    return frontend_options_request_from(decoded(body, InvalidFrontendDocument))


def frontend_options_request_from(obj: object) -> FrontendOptionsRequest:
    """The options request in decoded JSON."""
    value = cleaned(obj, InvalidFrontendDocument)
    return built(FrontendOptionsRequest, value, InvalidFrontendDocument)


def parse_frontend_options(body: bytes | str) -> FrontendOptions:
    """The options in a body."""
    return frontend_options_from(decoded(body, InvalidFrontendDocument))


def frontend_options_from(obj: object) -> FrontendOptions:
    """The options in decoded JSON."""
    value = cleaned(obj, InvalidFrontendDocument)
    return built(FrontendOptions, value, InvalidFrontendDocument)


def parse_frontend_status(body: bytes | str) -> FrontendStatus:
    """The frontend status in a body or an SSE payload."""
    return frontend_status_from(decoded(body, InvalidFrontendDocument))


def frontend_status_from(obj: object) -> FrontendStatus:
    """The frontend status in decoded JSON."""
    value = cleaned(obj, InvalidFrontendDocument)
    return built(FrontendStatus, value, InvalidFrontendDocument)
