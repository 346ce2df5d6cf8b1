"""Gateway and workers on a real store, with stand-ins for all that is remote."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from fastapi import FastAPI

from orchestrator.background import Background
from orchestrator.domain.breaker import BreakerPolicy
from orchestrator.domain.claiming import Budget
from orchestrator.domain.delivery import RetryPolicies, RetryPolicy
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.retention import Retention
from orchestrator.gateway import Desk, Options, create_app
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.intake import ResultIntake
from orchestrator.gateway.operators import Operators
from orchestrator.isolating import Switchboard
from orchestrator.planning import Planner
from orchestrator.ports import Hold, Store
from orchestrator.preparing import Preparer
from orchestrator.readiness import BROKER, STORE, Readiness
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker
from tests.support.fakes import (
    FakeBackend,
    FakeCaller,
    FakeClock,
    FakePublisher,
    FakeReplies,
    FakeSigner,
)
from tests.support.samples import (
    LIFETIME,
    PUBLIC_URL,
    RESULTS_KEPT,
    SECRET,
    WALL_TIME,
    requestors,
)
from workers.callback import CallbackWorker
from workers.cancelling import Canceller
from workers.clock import ClockWorker
from workers.history import HistoryWorker
from workers.intake import IntakeDesk
from workers.isolation import Gate
from workers.looking import Looker
from workers.notifying import Notifier, NotifyingDesk
from workers.parking import Parking
from workers.places import Limits, Places
from workers.reopening import Reopener
from workers.replay import ReplayWorker
from workers.session import SessionWorker
from workers.starting import Starter

#: When breakers of workers under test open.
BREAKER = BreakerPolicy()


@dataclass
class Pauses:
    """Keeps the pauses that were asked for; none of them is made.

    Attributes:
        meanwhile: what happens in a pause, by how many there were before it.
    """

    clock: FakeClock
    asked_s: list[float] = field(default_factory=list)
    meanwhile: Mapping[int, Callable[[], None]] = field(default_factory=dict)

    async def __call__(self, seconds: float) -> None:
        """Move the clock instead of waiting."""
        self.meanwhile.get(len(self.asked_s), _nothing)()
        self.asked_s.append(seconds)
        self.clock.advance(seconds)


def _nothing() -> None:
    """Most pauses pass without news."""


def holding(pauses: Pauses) -> Hold:
    """Holds steps as a worker's holder does, with a pause of 1 s after each fault."""

    async def hold(step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await step()
            except Unavailable:
                await pauses(1.0)

    return hold


class SharedGateway:
    """One application for all tests: to make its routes takes longer than most tests.

    It stands in for the desk it was made with, and passes on to the one it is set to.
    """

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._app = create_app(cast("Desk", self))

    def at(self, desk: Desk) -> FastAPI:
        """The application, from now on at this desk."""
        self._desk = desk
        return self._app

    def __getattr__(self, name: str) -> object:
        return getattr(self._desk, name)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that gateway and workers are made of."""

    store: Store
    clock: FakeClock
    publisher: FakePublisher
    replies: FakeReplies
    backend: FakeBackend
    signer: FakeSigner
    sealer: Sealer
    background: Background
    shared: SharedGateway

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

    @property
    def readiness(self) -> Readiness:
        """Looks at the database, and at whether the publisher is down."""
        return Readiness(
            store=self.store,
            connected=lambda: not self.publisher.down,
            bearable={BROKER, STORE},
        )

    @property
    def planner(self) -> Planner:
        """Makes plans of replays."""
        return Planner(
            store=self.store,
            sealer=self.sealer,
            requestors={one.name: key for key, one in requestors().by_key.items()},
            clock=self.clock,
        )

    def desk(
        self,
        *,
        no_auth: bool = False,
        options: Options | None = None,
        operators: Operators | None = None,
    ) -> Desk:
        """All that the gateway's routes work with."""
        return Desk(
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
            readiness=self.readiness,
            requestors=requestors(),
            authenticator=Authenticator(tokens={"acme": SECRET}, no_auth=no_auth),
            planner=self.planner,
            operators=operators or Operators(),
            clock=self.clock,
            options=options or Options(public_url=PUBLIC_URL),
        )

    @property
    def gateway(self) -> FastAPI:
        """The gateway as it is in production."""
        return self.shared.at(self.desk())

    def app(self, options: Options | None = None, *, no_auth: bool = False) -> FastAPI:
        """A gateway that is configured otherwise."""
        return create_app(self.desk(no_auth=no_auth, options=options))

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
                rows=self.rows,
                notifier=self.notifier,
                canceller=self.canceller,
                clock=self.clock,
            ),
            starter=self.starter(),
            canceller=self.canceller,
            notifying=NotifyingDesk(
                store=self.store,
                publisher=self.publisher,
                notifier=self.notifier,
                clock=self.clock,
            ),
            clock=self.clock,
            augment_client_return_url=False,
        )

    def callback_worker(self, caller: FakeCaller, pauses: Pauses) -> CallbackWorker:
        """Handles the queue `callbacks`; its jitter is none."""
        return CallbackWorker(
            publisher=self.publisher,
            store=self.store,
            sealer=self.sealer,
            make=self.make,
            gate=self.gate(),
            parking=Parking(self.store),
            caller=caller,
            signer=self.signer,
            policies=RetryPolicies(
                common=RetryPolicy(background_delays_s=(5.0, 30.0)),
                own={"patient": RetryPolicy(background_delays_s=(900.0,))},
            ),
            public_url=PUBLIC_URL,
            timeout_s=20.0,
            clock=self.clock,
            random=lambda: 0.5,
            hold=holding(pauses),
            pause=pauses,
        )

    def gate(self, limits: Limits | None = None) -> Gate:
        """The gate of a worker that knows nothing of endpoints yet."""
        return Gate(
            switchboard=self.switchboard,
            places=Places(limits or Limits()),
            policy=BREAKER,
            clock=self.clock,
        )

    @property
    def switchboard(self) -> Switchboard:
        """Changes endpoints; what is told is told at once."""
        return Switchboard(store=self.store, relay=self.rulings.relay, clock=self.clock)

    @property
    def reopener(self) -> Reopener:
        """Replays chains."""
        return Reopener(
            store=self.store,
            rulings=self.rulings,
            rows=self.rows,
            make=self.make,
            preparer=self.preparer,
            clock=self.clock,
        )

    def replay_worker(self, owner: str = "replay-1") -> ReplayWorker:
        """Carries out plans."""
        return ReplayWorker(
            store=self.store,
            reopener=self.reopener,
            sealer=self.sealer,
            clock=self.clock,
            owner=owner,
            room=lambda: 1_000,
        )

    @property
    def canceller(self) -> Canceller:
        """Cancels sessions that were given up."""
        return Canceller(
            store=self.store,
            rows=self.rows,
            make=self.make,
            backend=self.backend,
            clock=self.clock,
            session_lifetime=LIFETIME,
        )

    @property
    def notifier(self) -> Notifier:
        """Tells requestors' own `callbackUrl`s; URLs are verbatim."""
        return Notifier(rows=self.rows, make=self.make)

    def clock_worker(self) -> ClockWorker:
        """Looks at what is due."""
        return ClockWorker(
            store=self.store,
            publisher=self.publisher,
            looker=Looker(
                store=self.store,
                rulings=self.rulings,
                rows=self.rows,
                make=self.make,
                backend=self.backend,
                notifier=self.notifier,
                clock=self.clock,
                session_lifetime=LIFETIME,
                wall_time=WALL_TIME,
            ),
            clock=self.clock,
            owner="clock-1",
            results_kept=Retention(common=RESULTS_KEPT),
            key_id=self.sealer.key_id,
            breaker=BREAKER,
        )

    def history_worker(self) -> HistoryWorker:
        """Writes events and tells them."""
        return HistoryWorker(
            store=self.store, publisher=self.publisher, subscribers=self.publisher
        )
