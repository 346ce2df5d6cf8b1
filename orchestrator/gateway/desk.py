"""All that the gateway's routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.background import Background
from orchestrator.domain.requestors import Requestors
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.intake import ResultIntake
from orchestrator.ports import Backend, Clock, Publisher, Replies, Signer, Store
from orchestrator.preparing import Preparer
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The gateway's tools and limits.

    Attributes:
        unsigned_allowed: whether results may be POSTed without a JWT key.
        bridge_budget_s: how long the bridge may keep the app waiting.
    """

    store: Store
    publisher: Publisher
    replies: Replies
    backend: Backend
    signer: Signer
    sealer: Sealer
    rows: RowSecrets
    make: WorkMaker
    preparer: Preparer
    rulings: Rulings
    intake: ResultIntake
    background: Background
    requestors: Requestors
    authenticator: Authenticator
    clock: Clock
    unsigned_allowed: bool
    bridge_budget_s: float
    backend_name: str = "irma"
