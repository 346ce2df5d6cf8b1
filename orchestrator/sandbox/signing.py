"""Results as they leave the server: as JSON or, with a key, as JWTs (irma.md §6)."""

import json
from functools import cached_property

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.sessions import Session
from schemas.irma import ErrorKind, legacy_claims, result_claims


class ResultSigner:
    """Writes and signs session results."""

    def __init__(self, config: SandboxConfig) -> None:
        self._issuer = config.jwt_issuer
        self._pem = config.jwt_privkey

    @property
    def has_key(self) -> bool:
        """Whether results can be signed."""
        return self._pem is not None

    @cached_property
    def _key(self) -> RSAPrivateKey:
        if self._pem is None:
            raise Refused(ErrorKind.EXCEPTION, "JWT signing not supported")
        key = load_pem_private_key(self._pem.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError("jwt_privkey: an RSA key is needed")
        return key

    def public_pem(self) -> bytes:
        """The public half of the key."""
        if not self.has_key:
            raise Refused(ErrorKind.UNSUPPORTED)
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def result_jwt(self, session: Session, now: float) -> str:
        """A session's result as a JWT, signed whatever its status."""
        claims = result_claims(
            session.result().to_wire(),
            issuer=self._issuer,
            validity_s=session.request.validity,
            now=int(now),
        )
        return jwt.encode(claims, self._key, algorithm="RS256")

    def legacy_jwt(self, session: Session, now: float) -> str:
        """A session's result as servers from before IRMA signed it (irma.md §6)."""
        claims = legacy_claims(
            session.result(),
            issuer=self._issuer,
            validity_s=session.request.validity,
            now=int(now),
        )
        return jwt.encode(claims, self._key, algorithm="RS256")

    def posted(self, session: Session, now: float) -> tuple[bytes, str]:
        """Body and content type of a POST of a session's result."""
        if self.has_key:
            return self.result_jwt(session, now).encode(), "text/plain; charset=UTF-8"
        body = json.dumps(session.result().to_wire()).encode()
        return body, "application/json; charset=UTF-8"
