"""`chainctl tail`: events as they are published, or from a time on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from orchestrator.broker.connection import connect
from orchestrator.broker.subscribe import subscribe, subscribe_log
from orchestrator.cli.asking import time_of
from orchestrator.cli.timeline import event_line, plain
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.telling import Wanted, read_type_pattern
from orchestrator.ports import utc_now
from orchestrator.settings import Settings
from schemas.contract import EVENT_TYPES
from schemas.events import EventInvalid, parse_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_pika.abc import AbstractConnection

#: Somebody is looking: say soon that there is no broker.
PATIENCE_S: Final = 3.0

#: An AMQP routing key has 255 bytes at most, of which four are `*.*.`.
ROUTING_BYTES_MAX: Final = 251


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which events are shown.

    Attributes:
        pattern: routing keys as in a topic exchange, where that was said.
        requestor: whose, by its key.
        types: which types.
        chain: of which chain, or, as its origin, of which endpoint.
        since: from when on; None for what is published from now on.
    """

    pattern: str | None = None
    requestor: str | None = None
    types: Wanted = field(default_factory=Wanted)
    chain: str | None = None
    since: datetime | None = None

    @property
    def routing_keys(self) -> str:
        """What the broker is asked for; the rest is left out here."""
        if self.pattern is not None:
            return self.pattern
        return "#" if self.requestor is None else f"*.*.{self.requestor}"

    def takes(self, body: bytes) -> bool:
        """Whether an event is shown."""
        event = json.loads(body)
        of_requestor = self.requestor in {None, event.get("requestor")}
        of_chain = self.chain in {None, event["subject"]}
        recent = self.since is None or datetime.fromisoformat(event["time"]) >= self.since
        return of_requestor and of_chain and recent and self.types.takes(event["type"])


def choice(
    *,
    pattern: str | None,
    requestor: str | None,
    types: Sequence[str],
    chain: str | None,
    since: str | None,
) -> Chosen:
    """What the options say.

    Raises:
        NotConfigured: they contradict each other, or one stands for nothing.
    """
    if pattern is not None and (requestor is not None or since is not None):
        raise NotConfigured(
            "--pattern: it cannot be given with --requestor or --from; use --type"
        )
    for option, text in (("--pattern", pattern), ("--requestor", requestor)):
        if text is not None and len(text.encode()) > ROUTING_BYTES_MAX:
            raise NotConfigured(f"{option}: more than {ROUTING_BYTES_MAX} bytes")
    patterns = [part for text in types for part in text.split(",")]
    try:
        wanted = Wanted(tuple(read_type_pattern(one, EVENT_TYPES) for one in patterns))
    except NotConfigured as error:
        raise NotConfigured(f"--type: {error}") from None
    return Chosen(
        pattern=pattern,
        requestor=requestor,
        types=wanted,
        chain=chain,
        since=None if since is None else _since(since),
    )


def _since(text: str) -> datetime:
    return time_of(text, utc_now(), option="--from", past=True)


async def tail_events(settings: Settings, chosen: Chosen, *, as_json: bool) -> None:
    """Print events until Ctrl-C.

    Raises:
        BrokerUnavailable: there is no broker.
    """
    url = settings.broker_url.get_secret_value()
    async with (
        await connect(url, "chainctl tail", patience_s=PATIENCE_S) as connection,
        _source(connection, chosen) as bodies,
    ):
        async for body in bodies:
            if chosen.takes(body):
                print(body.decode() if as_json else line(body), flush=True)


def _source(
    connection: AbstractConnection, chosen: Chosen
) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    if chosen.since is None:
        return subscribe(connection, chosen.routing_keys)
    return subscribe_log(connection, chosen.since)


def line(body: bytes) -> str:
    """One event in one line; one that a newer program has told, by its envelope."""
    try:
        return event_line(parse_event(body))
    except EventInvalid:
        event = json.loads(body)
        return plain(f"{event['time']} {event['subject']} {event['type']}")
