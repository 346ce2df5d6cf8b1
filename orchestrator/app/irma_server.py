"""The IRMA server behind us, for processes that ask it; others load nothing of it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from orchestrator.app.credentials import (
    SECRET_BYTES_MIN,
    hmac_secret,
    required_key,
)
from orchestrator.backends.irma import IrmaBackend, RequestKey
from orchestrator.callbacks import private_key
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import Backend
from orchestrator.settings import IrmaServer, Settings


def open_backend(settings: Settings) -> AbstractAsyncContextManager[Backend]:
    """The IRMA server behind us."""
    server = settings.irma_server
    return IrmaBackend.open(
        server.url,
        client_url=server.client_url,
        key=server_key(server),
        require_signed=server.require_signed,
    )


def server_key(server: IrmaServer) -> str | RequestKey | None:
    """What we show to the IRMA server: a token, what signs our requests, or nothing.

    Raises:
        NotConfigured: naming `irma_server.key`, and what is wrong with it.
    """
    whose = "irma_server"
    if server.auth_method == "token":
        named = server.key is not None or server.key_file is not None
        return required_key(server, whose=whose) if named else None
    text = required_key(server, whose=whose)
    if server.auth_method == "publickey":
        return RequestKey(requestor=server.requestor, secret=_our_key(text))
    secret = hmac_secret(text, whose=whose)
    if len(secret) < SECRET_BYTES_MIN:
        raise NotConfigured(
            f"{whose}.key: {len(secret)} bytes; HS256 needs {SECRET_BYTES_MIN}"
        )
    return RequestKey(requestor=server.requestor, secret=secret)


def _our_key(pem: str) -> RSAPrivateKey:
    try:
        key = private_key(pem)
    except NotConfigured as error:
        raise NotConfigured(f"irma_server.key: {error}") from None
    if not isinstance(key, RSAPrivateKey):
        raise NotConfigured("irma_server.key: not an RSA key; IRMA takes RS256 only")
    return key
