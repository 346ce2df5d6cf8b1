"""A pretend IRMA server and wallet, for demos and tests (reference irma.md §11).

It runs as a process of its own and speaks the real wire. Only the cryptography is
missing: the wallet sends attribute values where the app would send proofs of them.
"""

from orchestrator.sandbox.config import Requestor, SandboxConfig
from orchestrator.sandbox.credentials import Credential, default_credentials
from orchestrator.sandbox.server import create_app
from orchestrator.sandbox.user import decline, share
from orchestrator.sandbox.wallet import Outcome, Step, StepStatus, Wallet

__all__ = [
    "Credential",
    "Outcome",
    "Requestor",
    "SandboxConfig",
    "Step",
    "StepStatus",
    "Wallet",
    "create_app",
    "decline",
    "default_credentials",
    "share",
]
