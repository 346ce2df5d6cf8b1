"""Chains at work in process: started, answered, reported on, looked after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from fastapi import FastAPI

from orchestrator.domain.chain import Chain, Slot, Step
from schemas.events import Purpose
from schemas.irma import (
    JsonObject,
    SessionResult,
    session_request_from,
)
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    ReplyAddress,
    SessionWork,
    Work,
)
from tests.support.asgi import Answer, call
from tests.support.fakes import (
    token_of,
)
from tests.support.parts import Parts
from tests.support.samples import (
    SECRET,
    TARGET,
    delivery,
    disclosure,
    result_of,
)

#: A session request, or the chain's end.
EndpointAnswer = JsonObject | Literal[End.COMPLETED, End.FAILED]


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A chain that was started through the gateway."""

    id: str
    token: str
    bridge: str | None
    callback: str

    @property
    def slot(self) -> Slot:
        """The slot of its first session."""
        return Slot(chain_id=self.id, step=1)


class Workshop(Parts):
    """Gateway, workers and store, and what happens between them."""

    async def beat(self) -> int:
        """The clock worker does all that is due, once; how much it was."""
        worker = self.clock_worker()
        count = await worker.publish_due() + await worker.check_due()
        await self.settled()
        return count

    async def carry_on(
        self, work: CallbackWork, answer: EndpointAnswer, *, steps_max: int = 20
    ) -> None:
        """What follows an endpoint's answer: a session request, or the chain's end."""
        secrets = self.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
        if isinstance(answer, End):
            work_on: Work = self.make.ending(work, secrets, end=answer, cause=work.id)
        else:
            request = session_request_from(answer)
            work_on = self.make.following(work, secrets, request, work.id)
        await self.session_worker(steps_max)(delivery(work_on))

    def callback(
        self,
        slot: Slot,
        token: str,
        *,
        waited_s: float | None = None,
        purpose: Purpose = Purpose.NEXT,
    ) -> CallbackWork:
        """The callback of a step's proved result; a gateway waits if it says how long."""
        reply = ReplyAddress(
            queue="gateway.one",
            correlation_id="c1",
            deadline=self.clock() + timedelta(seconds=waited_s or 0.0),
        )
        return self.make.callback(
            slot,
            "acme",
            result_of(token),
            purpose=purpose,
            url=TARGET,
            validity_s=77,
            reply=None if waited_s is None else reply,
        )

    async def work_off(self, kind: type[SessionWork]) -> None:
        """Session workers handle what was published for them of one kind, once."""
        found = [work for work in self.publisher.work if isinstance(work, kind)]
        for one in {work.model_dump_json(): work for work in found}.values():
            await self.session_worker()(delivery(one))
        await self.settled()

    async def report(
        self,
        slot: Slot,
        result: SessionResult,
        source: Literal["callback", "poll"] = "callback",
    ) -> None:
        """A session's state comes in beside the bridge."""
        intake = self.make.intake(slot, "acme", result, source)
        await self.session_worker()(delivery(intake))
        await self.settled()

    async def settled(self) -> None:
        """Wait for what goes on after an answer."""
        await self.background.drain(5.0)

    async def begin(self, request: JsonObject | None = None) -> Begun:
        """Start a chain through the gateway; what it published is forgotten."""
        answer = await self.post_session(request or disclosure(TARGET))
        assert answer.status == 200, answer.body
        await self.settled()
        self.publisher.calls.clear()
        self.publisher.asked.clear()
        prepared = self.backend.requests[-1]
        bridge = prepared.next_session.url if prepared.next_session else None
        return Begun(
            id=answer.headers["chain-id"],
            token=token_of(len(self.backend.requests)),
            bridge=urlsplit(bridge).path if bridge else None,
            callback=urlsplit(prepared.callback_url or "").path,
        )

    async def post_session(
        self, request: JsonObject | bytes, app: FastAPI | None = None
    ) -> Answer:
        """POST a session request as the requestor."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        headers = {"Authorization": SECRET, "Content-Type": "application/json"}
        return await call(app or self.gateway, "POST", "/session", body, headers)

    async def row(self, slot: Slot) -> Step:
        """A row that is there."""
        row = await self.store.step(slot)
        assert row is not None
        return row

    async def chain(self, chain_id: str) -> Chain:
        """A chain that is there."""
        chain = await self.store.chain(chain_id)
        assert chain is not None
        return chain

    async def waiting(self) -> list[str]:
        """The ids of all waiting rows."""
        return [row.id for row in await self.store.waiting(limit=100)]
