"""One POST of one result: who signs it, how it is sent, and what came back."""

from orchestrator.callbacks.caller import HttpCaller
from orchestrator.callbacks.signing import (
    JwtSigner,
    NoSigner,
    open_signer,
    private_key,
    private_key_file,
)

__all__ = [
    "HttpCaller",
    "JwtSigner",
    "NoSigner",
    "open_signer",
    "private_key",
    "private_key_file",
]
