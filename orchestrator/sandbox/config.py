"""How a pretend IRMA server is set up; the names are an IRMA server's own options."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator.sandbox.keys import hmac_secret, rsa_public_key
from orchestrator.sandbox.knobs import Faults
from orchestrator.sandbox.schemes import DEMO_SCHEMES, CredentialType
from schemas.irma import JsonObject, SessionRequest, SessionType, session_request_from

_STATIC_NAME: Final = re.compile(r"[A-Za-z0-9_]+")


class AuthMethod(StrEnum):
    """How a requestor proves who it is (reference irma.md §3.1)."""

    TOKEN = "token"  # noqa: S105 - the name of a method
    HMAC = "hmac"
    PUBLICKEY = "publickey"


class Requestor(BaseModel):
    """Someone who may start sessions, and what for (reference irma.md §3.3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auth_method: AuthMethod = AuthMethod.TOKEN
    #: The token itself, an HMAC key in base64 or the PEM of a public key.
    key: str
    disclose_perms: tuple[str, ...] = ()
    sign_perms: tuple[str, ...] = ()
    issue_perms: tuple[str, ...] = ()
    revoke_perms: tuple[str, ...] = ()
    host_perms: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _key_can_be_read(self) -> Self:
        match self.auth_method:
            case AuthMethod.HMAC:
                hmac_secret(self.key)
            case AuthMethod.PUBLICKEY:
                rsa_public_key(self.key)
            case AuthMethod.TOKEN:
                pass
        return self


class SandboxConfig(BaseModel):
    """Everything that can be set; the defaults are those of an IRMA server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What an app reaches us by; pointers begin with it.
    url: str
    production: bool = False
    requestors: dict[str, Requestor] = {}
    #: Whether nobody has to authenticate; if not said, where there are no requestors.
    no_auth: bool = Field(default_factory=lambda data: not data["requestors"])
    disclose_perms: tuple[str, ...] = ("*",)
    sign_perms: tuple[str, ...] = ("*",)
    issue_perms: tuple[str, ...] = Field(
        default_factory=lambda data: () if data["production"] else ("*",)
    )
    revoke_perms: tuple[str, ...] = ()
    #: How old a request JWT may be.
    max_request_age: int = 300
    allow_unsigned_callbacks: bool = False
    #: PEM of an RSA key; with it, results are posted as JWTs.
    jwt_privkey: str | None = None
    jwt_issuer: str = "irmaserver"
    sse: bool = False
    augment_client_return_url: bool = False
    static_sessions: dict[str, JsonObject] = {}
    #: Known credential types; None: whatever is asked for exists.
    schemes: dict[str, CredentialType] | Literal["demo"] | None = "demo"
    max_session_lifetime_s: float = 900
    session_result_lifetime_s: float = 300
    sweep_s: float = 10
    #: What goes wrong from the start; it can be changed later (see `sandbox.knobs`).
    faults: Faults = Faults()
    #: Where the wallet at `/wallet` keeps its credentials; without: in memory.
    wallet_file: Path | None = None
    #: How long a request may take to arrive (reference irma.md §1.2).
    read_timeout_s: float = 2
    #: When an app gets 503 while its request is still worked on (reference irma.md §1.2).
    handler_cut_s: float = 4.2

    @field_validator("requestors")
    @classmethod
    def _names_in_lower_case(cls, given: dict[str, Requestor]) -> dict[str, Requestor]:
        """As the server's configuration library has them (reference irma.md §3.1)."""
        return {name.lower(): requestor for name, requestor in given.items()}

    @model_validator(mode="after")
    def _static_sessions_lead_somewhere(self) -> Self:
        """Nobody but a URL ever hears of a static session (reference irma.md §7.9)."""
        signed = self.jwt_privkey is not None or self.allow_unsigned_callbacks
        if self.static_sessions and not signed:
            raise ValueError("static_sessions: a JWT private key is needed")
        for name, document in self.static_sessions.items():
            if not _STATIC_NAME.fullmatch(name):
                raise ValueError("static_sessions: a name is not alphanumeric")
            request = session_request_from(document)
            if request.type is SessionType.ISSUING:
                raise ValueError("static_sessions: an issuing session cannot be static")
            if request.callback_url is None and request.next_session is None:
                raise ValueError("static_sessions: callbackUrl or nextSession is needed")
            if request.next_session is not None and not request.next_session.url:
                raise ValueError("static_sessions: nextSession without a URL")
        return self

    def static_request(self, name: str) -> SessionRequest | None:
        """The request of a static session."""
        document = self.static_sessions.get(name)
        return None if document is None else session_request_from(document)

    @property
    def credential_types(self) -> Mapping[str, CredentialType] | None:
        """The credential types there are; None if that is not looked at."""
        return DEMO_SCHEMES if self.schemes == "demo" else self.schemes
