"""`chainctl endpoints`: how endpoints stand, and operators' pauses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.background import Background
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.cli.chains import looked_at
from orchestrator.cli.timeline import event_line, plain
from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerState, Endpoint
from orchestrator.domain.endpoint import NO_ORIGIN, endpoint_named
from orchestrator.domain.errors import BrokerUnavailable, NotConfigured
from orchestrator.isolating import EndpointRule, Switchboard
from orchestrator.ports import EndpointRow, Message, Store, utc_now
from orchestrator.rulings import Rulings
from orchestrator.settings import Settings
from schemas.events import dump_event

#: Somebody is looking: what is not told at once is read by the workers soon.
TELL_PATIENCE_S: Final = 3.0

#: What an operator may write; the event takes no more.
NOTE_CHARS_MAX: Final = 500


async def list_endpoints(settings: Settings, *, as_json: bool) -> None:
    """Print every endpoint that callbacks were kept back from."""
    async with looked_at(settings) as store:
        rows = await store.endpoint_rows()
    if as_json:
        print(json.dumps([endpoint_json(row) for row in rows]))
    elif not rows:
        print("no callback was ever kept back, and no endpoint is paused")
    else:
        Console().print(_table(rows))


async def show_endpoint(settings: Settings, url: str, *, as_json: bool) -> None:
    """Print how one endpoint stands and what happened to it."""
    origin = _origin(url)
    async with looked_at(settings) as store:
        rows = {row.endpoint.origin: row for row in await store.endpoint_rows()}
        events = await store.events(origin)
    if origin not in rows:
        raise _unknown(origin)
    row = rows[origin]
    if as_json:
        told: list[JsonValue] = [json.loads(dump_event(event)) for event in events]
        print(json.dumps(endpoint_json(row) | {"timeline": told}))
        return
    Console().print(_table([row]))
    for event in events:
        print(event_line(event))


async def pause_endpoint(settings: Settings, url: str, note: str | None) -> None:
    """Keep back all callbacks to an endpoint, whether it is known yet or not."""
    origin = _origin(url)
    if note is not None and len(note) > NOTE_CHARS_MAX:
        msg = f"--note: at most {NOTE_CHARS_MAX} characters, this has {len(note)}"
        raise NotConfigured(msg)

    def rule(endpoint: Endpoint) -> Endpoint | None:
        return breaker.paused(endpoint, note, utc_now())

    async with looked_at(settings) as store:
        endpoint, changed = await _change(settings, store, origin, rule)
    if not changed:
        msg = f"{origin} is paused already, since {_at(endpoint.paused_at)}"
        raise NotConfigured(msg)
    print(f"{origin} is paused; callbacks to it are parked until it is resumed")


async def resume_endpoint(settings: Settings, url: str) -> None:
    """Let an endpoint's callbacks go on."""
    origin = _origin(url)

    def rule(endpoint: Endpoint) -> Endpoint | None:
        return breaker.resumed(endpoint, utc_now())

    async with looked_at(settings) as store:
        if await store.endpoint(origin) is None:
            raise _unknown(origin)
        endpoint, changed = await _change(settings, store, origin, rule)
    if not changed:
        state = endpoint.state.value.replace("_", " ")
        msg = f"{origin} is not paused; its breaker is {state}"
        raise NotConfigured(msg)
    how = "" if endpoint.state is BreakerState.CLOSED else "; one callback is tried first"
    print(f"{origin} goes on{how}")


def endpoint_json(row: EndpointRow) -> dict[str, JsonValue]:
    """What `--json` tells of an endpoint."""
    endpoint = row.endpoint
    return {
        "endpoint": endpoint.origin,
        "state": endpoint.state.value,
        "since": endpoint.since.isoformat(),
        "paused": endpoint.paused_at is not None,
        "pausedAt": _iso(endpoint.paused_at),
        "note": endpoint.note,
        "parked": row.parked,
        "oldestParkedAt": _iso(row.oldest_at),
        "trips": endpoint.trips,
        "attempts": endpoint.attempts,
        "failures": endpoint.failures,
        "failureRatio": failure_ratio(endpoint),
        "probeAt": _iso(_probe_at(endpoint)),
    }


def failure_ratio(endpoint: Endpoint) -> float | None:
    """The share of failures when it opened last; None if it never did."""
    if not endpoint.attempts:
        return None
    return round(endpoint.failures / endpoint.attempts, 3)


async def _change(
    settings: Settings, store: Store, origin: str, rule: EndpointRule
) -> tuple[Endpoint, bool]:
    """Change it and tell all workers; who is not reached reads it from the table."""

    async def relay(messages: Sequence[Message]) -> None:
        url = settings.broker_url.get_secret_value()
        try:
            async with BrokerPublisher.open(
                url,
                "chainctl endpoints",
                patience_s=TELL_PATIENCE_S,
                history_parts=settings.history.parts,
            ) as publisher:
                rulings = Rulings(
                    store=store, publisher=publisher, background=Background()
                )
                await rulings.relay(messages)
        except BrokerUnavailable:
            soon_s = settings.isolation.refresh_s
            print(f"no broker answers: workers will know within {soon_s:g} s")

    return await Switchboard(store=store, relay=relay, clock=utc_now).change(origin, rule)


def _table(rows: Sequence[EndpointRow]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("endpoint", overflow="fold")
    for name in ("state", "since"):
        table.add_column(name, no_wrap=True)
    for name in ("parked", "failures"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in rows:
        endpoint = row.endpoint
        table.add_row(
            Text(plain(endpoint.origin)),
            _state(endpoint),
            _at(endpoint.paused_at or endpoint.since),
            str(row.parked),
            _failures(endpoint),
            Text(plain(endpoint.note or _outlook(endpoint))),
        )
    return table


def _state(endpoint: Endpoint) -> Text:
    if endpoint.paused_at is not None:
        return Text("paused", style="yellow")
    style = "" if endpoint.state is BreakerState.CLOSED else "red"
    return Text(endpoint.state.value.replace("_", " "), style=style)


def _failures(endpoint: Endpoint) -> str:
    ratio = failure_ratio(endpoint)
    if ratio is None:
        return "-"
    return f"{ratio:.0%} of {endpoint.attempts}"


def _outlook(endpoint: Endpoint) -> str:
    probe_at = _probe_at(endpoint)
    return "" if probe_at is None else f"tried again at {_at(probe_at)}"


def _probe_at(endpoint: Endpoint) -> datetime | None:
    return endpoint.release_at if endpoint.state is BreakerState.OPEN else None


def _origin(url: str) -> str:
    origin = endpoint_named(url)
    if origin == NO_ORIGIN:
        raise NotConfigured(
            "URL: it needs http or https and a host, as https://HOST:PORT"
        )
    return origin


def _unknown(origin: str) -> NotConfigured:
    return NotConfigured(
        f"{origin}: no callback to it was ever kept back; see `chainctl endpoints list`"
    )


def _at(time: datetime | None) -> str:
    return "" if time is None else time.strftime("%m-%d %H:%M:%S")


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
