"""Rehearses a replay: POSTs a recorded result elsewhere, and says what would follow.

The POST is what the callback worker would make, through the same egress and signed by the
same keys. But it is no callback of the chain: its id is of its own, it says that it is a
rehearsal, and no later answer is asked for. Nothing is written, and no session starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from orchestrator.domain import generations
from orchestrator.domain.chain import Step
from orchestrator.domain.delivery import Reply, RetryPolicies, Tries, decide
from orchestrator.domain.failing import Failure
from orchestrator.domain.generations import Again
from orchestrator.domain.posting import body_of, headers_of
from orchestrator.domain.rehearsing import Verdict, would_be
from orchestrator.domain.requestors import Requestors
from orchestrator.ports import Caller, Clock, Post, Signer, Store
from orchestrator.rows import RowSecrets
from schemas.irma import SessionResult
from workers.refusing import refusal_of
from workers.reopening import as_told, last_of

#: By this a candidate knows that nothing will come of its answer.
REHEARSAL: Final = "Chain-Rehearsal"


@dataclass(frozen=True, kw_only=True)
class NotRehearsed:
    """There was nothing to POST, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Rehearser:
    """POSTs to a candidate.

    Attributes:
        url: where the candidate is.
        name: of the rehearsal; every POST's `webhook-id` begins with it.
        augment: the option `augment_client_return_url`.
    """

    store: Store
    rows: RowSecrets
    caller: Caller
    signer: Signer
    requestors: Requestors
    policies: RetryPolicies
    clock: Clock
    random: Callable[[], float]
    url: str
    name: str
    timeout_s: float
    augment: bool

    async def rehearse(self, failure: Failure) -> Verdict | NotRehearsed:
        """What the candidate would decide about one failure.

        Raises:
            Refused: what is sealed in the chain's row cannot be opened.
        """
        row = await self._row(failure)
        result = self.rows.result(row) if isinstance(row, Step) else None
        if isinstance(row, NotRehearsed):
            return row
        if result is None:
            return NotRehearsed(reason="nothing was POSTed when it failed")
        validity_s = self.rows.request(row).validity
        reply, tries = await self._post(failure, result, validity_s)
        decision = decide(
            tries,
            reply,
            now=self.clock(),
            policy=self.policies.of(failure.requestor),
            random=self.random,
        )
        return would_be(
            decision,
            reply,
            lambda request: refusal_of(
                self.requestors, failure.requestor, request, augment=self.augment
            ),
        )

    async def _row(self, failure: Failure) -> Step | NotRehearsed:
        """The step whose result was not answered well."""
        slot = failure.slot
        chain = await self.store.chain(slot.chain_id)
        if chain is None:
            return NotRehearsed(reason="there is no such chain")
        if (reason := generations.not_replayable(chain, slot.generation)) is not None:
            return NotRehearsed(reason=reason)
        row = last_of(await self.store.steps(slot.chain_id), slot.generation)
        if row is None or generations.again(row) is not Again.CALLBACK:
            return NotRehearsed(reason="nothing was POSTed when it failed")
        return row

    async def _post(
        self, failure: Failure, result: SessionResult, validity_s: int
    ) -> tuple[Reply, Tries]:
        now, told = self.clock(), as_told(result).to_wire()
        webhook_id = f"{self.name}-{failure.slot.chain_id}"
        jwt = await self.signer.sign(told, validity_s=validity_s, now=now)
        body, content_type = body_of(told, jwt)
        signature = await self.signer.sign_webhook(
            failure.requestor, webhook_id, body, now=now
        )
        headers = headers_of(
            webhook_id, failure.slot, now, attempt=1, signature=signature
        )
        post = Post(
            requestor=failure.requestor,
            url=self.url,
            body=body,
            content_type=content_type,
            headers={**headers, REHEARSAL: "true"},
            timeout_s=self.timeout_s,
        )
        tries = Tries(attempt=1, asked_at=now, live=0, retries=0, deadline=None)
        return await self.caller.post(post), tries
