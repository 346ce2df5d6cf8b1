"""All that the gateway's routes work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.background import Background
from orchestrator.domain.requestors import Requestors
from orchestrator.domain.retention import Retention
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.connecting import Connections
from orchestrator.gateway.intake import ResultIntake
from orchestrator.gateway.lateness import Lateness
from orchestrator.gateway.operators import Operators
from orchestrator.gateway.sse import Streams
from orchestrator.planning import Planner
from orchestrator.ports import Backend, Clock, Publisher, Replies, Signer, Store
from orchestrator.preparing import Preparer
from orchestrator.readiness import Readiness
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker
from schemas.irma import SessionRequest

#: What stands before a session pointer in a link that opens the app (reference §1).
UNIVERSAL_LINK: Final = "https://open.yivi.app/-/session#"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is configured of the gateway's behaviour.

    Attributes:
        public_url: where the gateway is reached, without a slash at its end.
        unsigned_allowed: whether results may be POSTed without a JWT key.
        answer_bytes_max: the longest later answer of an endpoint.
        bridge_budget_s: how long the bridge may keep the app waiting.
        results_kept: for how long after its end a chain is told of.
        sse: whether requestors may follow sessions by server-sent events.
        augment_client_return_url: whether `augmentReturnUrl` is admitted.
        augment_chain_page: whether the app returns to the chain page.
        static_sessions: the requests that printed QRs start, by name.
        universal_link: what stands before a pointer in a link that opens the app.
    """

    public_url: str
    unsigned_allowed: bool = False
    answer_bytes_max: int = 1024 * 1024
    bridge_budget_s: float = 3.0
    results_kept: Retention = field(default_factory=Retention)
    sse: bool = False
    augment_client_return_url: bool = False
    augment_chain_page: bool = False
    static_sessions: Mapping[str, SessionRequest] = field(default_factory=dict)
    universal_link: str = UNIVERSAL_LINK


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The gateway's tools and options; the planner is for operators alone."""

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
    readiness: Readiness
    requestors: Requestors
    authenticator: Authenticator
    planner: Planner
    clock: Clock
    options: Options
    backend_name: str = "irma"
    streams: Streams = field(default_factory=Streams)
    connections: Connections = field(default_factory=Connections)
    lateness: Lateness = field(default_factory=Lateness)
    operators: Operators = field(default_factory=Operators)
