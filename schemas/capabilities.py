"""What a URL that is given to a backend or to an endpoint holds, sealed.

Such a URL is unguessable, serves one purpose and expires (G7); a result that is POSTed to
a bridge or callback URL can be taken in without reading anything (DESIGN §3).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Capability(BaseModel):
    """The right to report on one step of one generation of one chain.

    `target` is the integrator's `nextSession` URL (kind `bridge`), `validity_s` the
    lifetime of result JWTs about this step, `expires_at` unix seconds. Kind `check` is
    about no chain: it tells the queue that is its `target` that a backend's POST arrived,
    and has no other effect. Kind `reply` is given to an endpoint: its later answer to the
    `attempt` at a callback about the step's `session`, which is told by its ordinal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["bridge", "callback", "check", "reply"]
    chain_id: str
    step: int
    generation: int
    requestor: str
    validity_s: int
    expires_at: int
    target: str | None = None
    session: str | None = None
    attempt: int = 1
