"""What every process has: broker, database, keys; and how the settings become objects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from ulid import ULID

from orchestrator.app.key_use import noting_keys
from orchestrator.background import Background
from orchestrator.broker import topology
from orchestrator.broker.connection import connect
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.permissions import ANONYMOUS, Permissions, Requestor
from orchestrator.domain.requestors import Requestors
from orchestrator.domain.retention import Retention
from orchestrator.domain.telling import EventUrl, EventUrls, Wanted
from orchestrator.ports import Store
from orchestrator.preparing import Preparer
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import Sealer, read_key
from orchestrator.settings import Settings
from orchestrator.store import check_schema, open_store
from orchestrator.work import WorkMaker

#: After SIGTERM a process has 25 s in all (G9). A worker's share lets every attempt in
#: hand end by itself, as none is longer than 20 s; then comes what is in the background.
DRAIN_S: Final = 20.0
BACKGROUND_DRAIN_S: Final = 5.0

#: Rows that were relayed are deleted this much later, those of the meantime together.
DROP_PAUSE_S: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What every process has."""

    settings: Settings
    store: Store
    publisher: BrokerPublisher
    background: Background
    sealer: Sealer
    rows: RowSecrets
    make: WorkMaker
    rulings: Rulings
    owner: str


@asynccontextmanager
async def open_tools(settings: Settings, process: str) -> AsyncIterator[Tools]:
    """Connect to broker and database, and declare the topology."""
    url = settings.broker_url.get_secret_value()
    database_url = settings.database_url.get_secret_value()
    sealer = make_sealer(settings)
    owner = f"{process}-{ULID()}"
    await check_schema(database_url)
    background = Background()
    async with (
        open_store(database_url) as store,
        noting_keys(store, settings.sealing),
        BrokerPublisher.open(
            url, process, history_parts=settings.history.parts
        ) as publisher,
    ):
        async with await connect(url, f"{process} topology") as connection:
            wanted = topology.installed(settings.history.parts)
            await topology.declare(connection, wanted)
        try:
            yield Tools(
                settings=settings,
                store=store,
                publisher=publisher,
                background=background,
                sealer=sealer,
                rows=RowSecrets(sealer=sealer),
                make=WorkMaker(sealer=sealer),
                rulings=Rulings(
                    store=store,
                    publisher=publisher,
                    background=background,
                    drop_pause_s=DROP_PAUSE_S,
                ),
                owner=owner,
            )
        finally:
            await background.drain(BACKGROUND_DRAIN_S)


def make_sealer(settings: Settings) -> Sealer:
    """The one envelope, with the keys from the settings."""
    keys = settings.sealing
    return Sealer(
        read_key(keys.key.get_secret_value()),
        keys.key_id,
        read_key(keys.hash_key.get_secret_value()),
        keys.older(),
    )


def make_preparer(tools: Tools) -> Preparer:
    """Puts our URLs into requests."""
    return Preparer(
        sealer=tools.sealer,
        base_url=tools.settings.public_url,
        wall_time=tools.settings.wall_time,
        augment_chain_page=tools.settings.augment_chain_page,
    )


def make_requestors(settings: Settings) -> Requestors:
    """Everybody who may start chains, with IRMA's defaults for the common lists."""
    issue = settings.issue_perms
    if issue is None:
        issue = () if settings.production else ("*",)
    keys = settings.requestor_keys()
    by_key = {
        keys[name]: Requestor(
            name=name,
            key=keys[name],
            disclose_perms=configured.disclose_perms,
            sign_perms=configured.sign_perms,
            issue_perms=configured.issue_perms,
            revoke_perms=configured.revoke_perms,
            host_perms=configured.host_perms,
        )
        for name, configured in settings.requestors.items()
    }
    if settings.no_auth or settings.static_sessions:
        by_key[ANONYMOUS] = Requestor(name="", key=ANONYMOUS)
    return Requestors(
        by_key=by_key,
        permissions=Permissions(
            disclose_perms=settings.disclose_perms,
            sign_perms=settings.sign_perms,
            issue_perms=issue,
            revoke_perms=settings.revoke_perms,
        ),
        default_host=default_host(settings),
    )


def make_retention(settings: Settings) -> Retention:
    """For how long results are kept, by the requestors' keys."""
    keys = settings.requestor_keys()
    own = {
        keys[name]: timedelta(seconds=requestor.results_kept_s)
        for name, requestor in settings.requestors.items()
        if requestor.results_kept_s is not None
    }
    return Retention(common=timedelta(seconds=settings.results_kept_s), own=own)


def make_event_urls(settings: Settings) -> EventUrls:
    """Where requestors want their events POSTed, and which, by their keys."""
    keys = settings.requestor_keys()
    return {
        keys[name]: EventUrl(
            url=requestor.events_url.get_secret_value(),
            wanted=Wanted(requestor.events_types),
        )
        for name, requestor in settings.requestors.items()
        if requestor.events_url is not None
    }


def default_host(settings: Settings) -> str:
    """The host of the sessions' pointers where a request names no other."""
    server = settings.irma_server
    return urlsplit(server.client_url or server.url).netloc


def session_lifetime(settings: Settings) -> timedelta:
    """How long the IRMA server keeps a session that is being used."""
    return timedelta(seconds=settings.irma_server.max_session_lifetime_s)
