"""One POST of one result: who signs it, how it is sent, and what came back."""

from orchestrator.callbacks.caller import HttpCaller
from orchestrator.callbacks.jwks import PublishedKey, thumbprint
from orchestrator.callbacks.keys import (
    PrivateKey,
    private_key,
    private_key_file,
    public_key,
)
from orchestrator.callbacks.signing import ThreadedSigner, open_signer

__all__ = [
    "HttpCaller",
    "PrivateKey",
    "PublishedKey",
    "ThreadedSigner",
    "open_signer",
    "private_key",
    "private_key_file",
    "public_key",
    "thumbprint",
]
