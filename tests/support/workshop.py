"""Gateway and workers on a real store, with stand-ins for everything that is remote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from pydantic import JsonValue

from orchestrator.background import Background
from orchestrator.domain.chain import Chain, Slot, Step
from orchestrator.domain.claiming import Budget
from orchestrator.domain.delivery import RetryPolicy
from orchestrator.domain.permissions import ANONYMOUS, Permissions, Requestor
from orchestrator.domain.requestors import Requestors
from orchestrator.gateway import Desk, create_app
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.intake import ResultIntake
from orchestrator.ports import BatchDelivery, Delivery, Message, Store
from orchestrator.preparing import Preparer
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker
from schemas.irma import JsonObject, SessionResult, session_result_from
from schemas.messages import Work, dump
from tests.support.asgi import Answer, call
from tests.support.fakes import (
    FakeBackend,
    FakeCaller,
    FakeClock,
    FakePublisher,
    FakeReplies,
    FakeSigner,
    token_of,
)
from workers.callback import CallbackWorker
from workers.clock import ClockWorker
from workers.history import HistoryWorker
from workers.intake import IntakeDesk
from workers.session import SessionWorker
from workers.starting import Starter

NOW: Final = datetime(2026, 3, 29, 0, 59, 58, tzinfo=UTC)

FULLNAME: Final = "irma-demo.gemeente.personalData.fullname"
SECRET: Final = "the-requestors-secret"
TARGET: Final = "https://shop.example/next/MARKER?x=1"
CALLBACK: Final = "https://shop.example/told/MARKER"
PUBLIC_URL: Final = "https://chains.example"
LIFETIME: Final = timedelta(minutes=15)
WALL_TIME: Final = timedelta(days=7)

DISCLOSURE: Final = "https://irma.app/ld/request/disclosure/v2"
ISSUANCE: Final = "https://irma.app/ld/request/issuance/v2"


@dataclass
class Pauses:
    """Keeps the pauses that were asked for; none of them is made."""

    clock: FakeClock
    asked_s: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        """Move the clock instead of waiting."""
        self.asked_s.append(seconds)
        self.clock.advance(seconds)


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


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Everything that gateway and workers are made of."""

    store: Store
    clock: FakeClock
    publisher: FakePublisher
    replies: FakeReplies
    backend: FakeBackend
    signer: FakeSigner
    sealer: Sealer
    background: Background

    @property
    def rows(self) -> RowSecrets:
        """Seals the columns of rows."""
        return RowSecrets(sealer=self.sealer)

    @property
    def make(self) -> WorkMaker:
        """Makes work messages."""
        return WorkMaker(sealer=self.sealer)

    @property
    def rulings(self) -> Rulings:
        """Applies rules."""
        return Rulings(
            store=self.store, publisher=self.publisher, background=self.background
        )

    @property
    def preparer(self) -> Preparer:
        """Puts our URLs into requests."""
        return Preparer(sealer=self.sealer, base_url=PUBLIC_URL, wall_time=WALL_TIME)

    @property
    def intake(self) -> ResultIntake:
        """Takes results in; the broker has 20 ms."""
        return ResultIntake(
            store=self.store,
            publisher=self.publisher,
            background=self.background,
            clock=self.clock,
            confirm_budget_s=0.02,
        )

    def app(self, *, no_auth: bool = False, unsigned_allowed: bool = False) -> FastAPI:
        """The gateway."""
        return create_app(
            Desk(
                store=self.store,
                publisher=self.publisher,
                replies=self.replies,
                backend=self.backend,
                signer=self.signer,
                sealer=self.sealer,
                rows=self.rows,
                make=self.make,
                preparer=self.preparer,
                rulings=self.rulings,
                intake=self.intake,
                background=self.background,
                requestors=requestors(),
                authenticator=Authenticator(tokens={"acme": SECRET}, no_auth=no_auth),
                clock=self.clock,
                unsigned_allowed=unsigned_allowed,
                bridge_budget_s=3.5,
            )
        )

    def starter(self, owner: str = "one") -> Starter:
        """Starts detached sessions."""
        return Starter(
            store=self.store,
            rulings=self.rulings,
            publisher=self.publisher,
            rows=self.rows,
            backend=self.backend,
            owner=owner,
        )

    def session_worker(self, steps_max: int = 20) -> SessionWorker:
        """Handles the queue `sessions`."""
        return SessionWorker(
            publisher=self.publisher,
            rulings=self.rulings,
            sealer=self.sealer,
            rows=self.rows,
            preparer=self.preparer,
            requestors=requestors(),
            budget=Budget(steps_max=steps_max, wall_time=WALL_TIME),
            intake=IntakeDesk(
                store=self.store,
                rulings=self.rulings,
                publisher=self.publisher,
                rows=self.rows,
                make=self.make,
                clock=self.clock,
            ),
            starter=self.starter(),
            clock=self.clock,
        )

    def callback_worker(self, caller: FakeCaller, pauses: Pauses) -> CallbackWorker:
        """Handles the queue `callbacks`; its jitter is none."""
        return CallbackWorker(
            publisher=self.publisher,
            store=self.store,
            sealer=self.sealer,
            make=self.make,
            caller=caller,
            signer=self.signer,
            policy=RetryPolicy(background_delays_s=(5.0, 30.0)),
            timeout_s=20.0,
            clock=self.clock,
            random=lambda: 0.5,
            pause=pauses,
        )

    def clock_worker(self) -> ClockWorker:
        """Looks at what is due."""
        return ClockWorker(
            store=self.store,
            rulings=self.rulings,
            publisher=self.publisher,
            rows=self.rows,
            make=self.make,
            backend=self.backend,
            clock=self.clock,
            owner="clock-1",
            session_lifetime=LIFETIME,
        )

    def history_worker(self) -> HistoryWorker:
        """Writes events and tells them."""
        return HistoryWorker(store=self.store, publisher=self.publisher)

    async def settled(self) -> None:
        """Wait for what goes on after an answer."""
        await self.background.drain(5.0)

    async def begin(self, request: JsonObject | None = None) -> Begun:
        """Start a chain through the gateway; what it published is forgotten."""
        answer = await self.post_session(request or disclosure(TARGET))
        assert answer.status == 200, answer.body
        await self.settled()
        self.publisher.calls.clear()
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
        return await call(app or self.app(), "POST", "/session", body, headers)

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


def requestors() -> Requestors:
    """One requestor that may do everything but issue, and IRMA's nobody."""
    return Requestors(
        by_key={
            "acme": Requestor(
                name="Acme", key="acme", issue_perms=("irma-demo.IRMATube.*",)
            ),
            ANONYMOUS: Requestor(name="", key=ANONYMOUS),
        },
        permissions=Permissions(disclose_perms=("irma-demo.*",), issue_perms=()),
        default_host="irma.example",
    )


def disclosure(next_url: str | None = None, **extended: JsonValue) -> JsonObject:
    """A request for the user's full name, chained if there is a URL."""
    plain: JsonObject = {"@context": DISCLOSURE, "disclose": [[[FULLNAME]]]}
    request: JsonObject = {"request": plain, **extended}
    if next_url is not None:
        request["nextSession"] = {"url": next_url}
    return request


def issuance(next_url: str | None = None) -> JsonObject:
    """The issuance of a membership, chained if there is a URL."""
    credential: JsonObject = {
        "credential": "irma-demo.IRMATube.member",
        "attributes": {"fullname": "MARKER", "type": "premium", "id": "1"},
    }
    plain: JsonObject = {"@context": ISSUANCE, "credentials": [credential]}
    request: JsonObject = {"request": plain}
    if next_url is not None:
        request["nextSession"] = {"url": next_url}
    return request


def result_of(
    token: str, status: str = "CONNECTED", proof: str | None = "VALID", **more: JsonValue
) -> SessionResult:
    """What comes out of a disclosure of the full name."""
    fields: JsonObject = {"token": token, "status": status, "type": "disclosing", **more}
    if proof is not None:
        fields["proofStatus"] = proof
        fields["disclosed"] = [
            [{"rawvalue": "MARKER", "value": None, "id": FULLNAME, "status": "PRESENT"}]
        ]
    return session_result_from(fields)


def wire(result: SessionResult) -> bytes:
    """A result as the IRMA server POSTs it without a key."""
    return json.dumps(result.to_wire()).encode()


def delivery(message: Work | Message | bytes) -> Delivery:
    """A message in a worker's hand."""
    body = message if isinstance(message, bytes) else _body(message)
    return Delivery(body=body, message_id="m1", headers={}, redelivered=False)


def batch(*bodies: bytes, waited_s: Sequence[float] = ()) -> list[BatchDelivery]:
    """A batch in the history worker's hand."""
    waits = [*waited_s, *[0.0] * len(bodies)]
    return [
        BatchDelivery(
            body=body, message_id=f"m{n}", headers={}, redelivered=False, waited_s=wait
        )
        for n, (body, wait) in enumerate(zip(bodies, waits, strict=False))
    ]


def _body(message: Work | Message) -> bytes:
    return message.body if isinstance(message, Message) else dump(message)
