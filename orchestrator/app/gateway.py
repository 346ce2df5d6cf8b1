"""The gateway process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket
from typing import Final

import structlog
import uvicorn

from orchestrator.app.authenticating import make_authenticator, make_operators
from orchestrator.app.health import make_readiness
from orchestrator.app.irma_server import open_backend
from orchestrator.app.planning import make_planner
from orchestrator.app.signing import jwt_key, signing
from orchestrator.app.tools import (
    Tools,
    default_host,
    make_preparer,
    make_requestors,
    make_retention,
    open_tools,
)
from orchestrator.broker.connection import connect
from orchestrator.broker.replies import ReplyQueue
from orchestrator.gateway import Desk, Options, create_app
from orchestrator.gateway.bridge import detach
from orchestrator.gateway.examination import Examination, examining
from orchestrator.gateway.intake import ResultIntake
from orchestrator.gateway.statics import static_sessions
from orchestrator.lifecycle import notify_ready
from orchestrator.planning import COUNT_PATIENCE_S, Planner
from orchestrator.ports import Backend, Signer, utc_now
from orchestrator.readiness import BROKER, STORE
from orchestrator.settings import Settings
from orchestrator.stopping import on_signals
from orchestrator.store import open_store
from orchestrator.telemetry import bind_chain
from orchestrator.work import slot_of
from schemas.messages import Wake, WakeUp

_log = structlog.get_logger(__name__)

#: After SIGTERM requests have this long: a bridge POST takes 4 s at most, an upload 10 s.
#: Wake-ups that nobody waited for and the background come after them (G9: 25 s in all).
REQUESTS_DRAIN_S: Final = 15


async def run_gateway(settings: Settings) -> None:
    """Serve HTTP until SIGTERM; what was asked before is answered."""
    if settings.no_auth:
        _log.warning(
            "gateway.no_auth",
            meaning="anybody may start sessions, and credentials are refused",
            unused_requestors=sorted(settings.requestors),
        )
    async with (
        open_tools(settings, "gateway") as tools,
        open_backend(settings) as backend,
        signing(settings) as signer,
        _planning(tools) as planner,
        await connect(
            settings.broker_url.get_secret_value(), "gateway replies"
        ) as connection,
    ):
        # The desk is told of wake-ups nobody waits for by the queue it holds itself.
        unclaimed = _Unclaimed()
        async with ReplyQueue.open(connection, unclaimed=unclaimed) as replies:
            desk = _desk(tools, replies, backend, signer, planner)
            unclaimed.desk = desk
            examination = make_examination(tools, replies, backend)
            config = uvicorn.Config(
                create_app(desk),
                host=settings.listen.host,
                port=settings.listen.port,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",  # by default one that fails is passed over
                timeout_graceful_shutdown=REQUESTS_DRAIN_S,
            )
            async with examining(examination) as begin:
                server = _Server(
                    config,
                    settings.notify_socket,
                    listening=begin,
                    ending=desk.streams.close,
                )
                await server.serve()


class _Unclaimed:
    """An offer that nobody waits for any more is detached (the hand-over's table).

    What else a gateway is told is of no use to anybody then, and after an outage there is
    as much of it as there were users.
    """

    desk: Desk | None = None

    async def __call__(self, wake_up: WakeUp) -> None:
        if self.desk is None or wake_up.wake is not Wake.OFFERED:
            return
        slot = slot_of(wake_up)
        with bind_chain(slot.chain_id, slot.step, slot.generation):
            await detach(self.desk, slot)


class _Server(uvicorn.Server):
    """Says when it listens, and ends with exit code 0 on SIGTERM."""

    def __init__(
        self,
        config: uvicorn.Config,
        notify_socket: str | None,
        *,
        listening: Callable[[], None],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._notify_socket = notify_socket
        self._listening = listening
        self._ending = ending

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        await notify_ready(self._notify_socket)
        self._listening()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn raises the signal again when it is done; an ordered end is none."""
        with on_signals(self._end):
            yield

    def _end(self) -> None:
        self.should_exit = True
        self._ending()


@asynccontextmanager
async def _planning(tools: Tools) -> AsyncIterator[Planner]:
    """What makes plans; operators have a store of their own, with more patience."""
    settings = tools.settings
    if not settings.operators:
        yield make_planner(settings, tools.store)
        return
    url = settings.database_url.get_secret_value()
    async with open_store(url, patience_s=COUNT_PATIENCE_S) as store:
        yield make_planner(settings, store)


def _desk(
    tools: Tools,
    replies: ReplyQueue,
    backend: Backend,
    signer: Signer,
    planner: Planner,
) -> Desk:
    settings = tools.settings
    authenticator = make_authenticator(settings)
    intake = ResultIntake(
        store=tools.store,
        publisher=tools.publisher,
        background=tools.background,
        clock=utc_now,
        confirm_budget_s=settings.confirm_budget_s,
    )
    return Desk(
        store=tools.store,
        publisher=tools.publisher,
        replies=replies,
        backend=backend,
        signer=signer,
        sealer=tools.sealer,
        rows=tools.rows,
        make=tools.make,
        preparer=make_preparer(tools),
        rulings=tools.rulings,
        intake=intake,
        background=tools.background,
        readiness=make_readiness(tools, bearable={BROKER, STORE}),
        requestors=make_requestors(settings),
        authenticator=authenticator,
        operators=make_operators(settings, authenticator),
        planner=planner,
        clock=utc_now,
        options=make_options(settings),
    )


def make_examination(tools: Tools, replies: ReplyQueue, backend: Backend) -> Examination:
    """Looks whether the IRMA server behind lets our requestors' sessions run."""
    settings = tools.settings
    return Examination(
        backend=backend,
        replies=replies,
        sealer=tools.sealer,
        clock=utc_now,
        public_url=settings.public_url,
        attribute=settings.irma_server.check_attribute or None,
        default_host=default_host(settings),
        require_signed=settings.irma_server.require_signed,
    )


def make_options(settings: Settings) -> Options:
    """What is configured of the gateway's behaviour.

    Raises:
        NotConfigured: a static session cannot be started like that.
    """
    return Options(
        public_url=settings.public_url.rstrip("/"),
        unsigned_allowed=settings.allow_unsigned_callbacks,
        answer_bytes_max=settings.callbacks.answer_bytes_max,
        bridge_budget_s=settings.bridge_budget_s,
        results_kept=make_retention(settings),
        sse=settings.sse,
        augment_client_return_url=settings.augment_client_return_url,
        augment_chain_page=settings.augment_chain_page,
        universal_link=settings.universal_link,
        static_sessions=static_sessions(
            settings.static_sessions,
            signed=jwt_key(settings) is not None,
            unsigned=settings.allow_unsigned_callbacks,
            augment=settings.augment_client_return_url,
        ),
    )
