"""A chain as its requestor is told of it: `GET /chains/{id}`.

Attributes are named, never their values: whoever needs these asks for the session's
result by its token.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.irma import FrontendRequest, SessionPointer


class Flow(StrEnum):
    """How a session came to its user."""

    #: The requestor's own request: its user has the pointer from there.
    FIRST = "first"
    #: The app went on to it by itself.
    IN_FLOW = "in_flow"
    #: It was started on its own: somebody has to show its pointer to the user.
    DETACHED = "detached"


class _View(BaseModel):
    """CamelCase on the wire as everything IRMA; what is not known is left out."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class SessionView(_View):
    """One session of a chain.

    Attributes:
        step: its place in the chain, from 1.
        generation: of the chain; a replay opens the next one.
        type: what it asks of the user; absent while that is not decided.
        state: of its row, e.g. `offered`, `live`, `completed`, `finished`.
        status: its final status at the IRMA server, once it has one.
        proof_status: of the result that was taken in.
        flow: how it came to its user.
        created_at: when it was decided upon.
        live_at: since when it is known to be live.
        completed_at: when its proved result was taken in.
        reason: why it ended as it did, where that needs words.
        token: its requestor token, for `GET /session/{token}/result`.
        disclosed: the attributes that were disclosed, by name.
        session_ptr: what the user scans, while the session is live.
        frontend_request: what a browser follows it with, while it is live.
    """

    step: Annotated[int, Field(ge=1)]
    generation: Annotated[int, Field(ge=0)]
    type: str | None = None
    state: str
    status: str | None = None
    proof_status: str | None = None
    flow: Flow
    created_at: datetime
    live_at: datetime | None = None
    completed_at: datetime | None = None
    reason: str | None = None
    token: str | None = None
    disclosed: tuple[str, ...] | None = None
    session_ptr: SessionPointer | None = None
    frontend_request: FrontendRequest | None = None


class ChainView(_View):
    """A chain with all of its sessions, in order.

    Attributes:
        id: the chain's id.
        requestor: the key of who started it.
        state: `running`, `completed`, `failed`, `cancelled` or `expired`.
        generation: how often it was replayed.
        created_at: when it was started.
        ended_at: when it ended.
        reason: why it ended, where it did not end well.
        results_until: until when its results are told; then they are deleted.
        sessions: by generation and step.
    """

    id: str
    requestor: str
    state: str
    generation: Annotated[int, Field(ge=0)]
    created_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    results_until: datetime | None = None
    sessions: tuple[SessionView, ...] = ()
