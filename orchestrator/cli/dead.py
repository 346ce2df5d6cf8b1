"""`chainctl dead`: messages that no worker could handle."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, TypeVar

from pydantic import JsonValue
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from orchestrator.app.planning import requestor_keys
from orchestrator.broker.dead import DeadQueue
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.cli.asking import agreed, span
from orchestrator.cli.dead_asked import Asked
from orchestrator.cli.timeline import plain
from orchestrator.dead_letters import DeadDesk, Shown
from orchestrator.domain.dead import Death
from orchestrator.domain.errors import NotConfigured, NotDone
from orchestrator.domain.operating import Tally
from orchestrator.ports import utc_now
from orchestrator.settings import Settings
from orchestrator.telemetry.redaction import scrubbed

T = TypeVar("T")

#: Somebody is looking: say soon that there is no broker.
PATIENCE_S: Final = 3.0

_OTHERS: Final = (
    "another operator is looking at `dead`: what is in their hands is not seen here"
)


async def list_dead(
    settings: Settings, asked: Asked, *, limit: int, as_json: bool
) -> None:
    """Print the oldest letters."""
    which = asked.filter(requestor_keys(settings))
    async with _desk(settings) as desk:
        listing = await desk.listed(which, limit=limit)
        others = desk.dead.others
    total, counts = sum(listing.counts.values()), dict(listing.counts)
    if as_json:
        told: list[JsonValue] = [shown_json(shown) for shown in listing.letters]
        found = {"total": total, "counts": counts, "others": others, "letters": told}
        print(json.dumps(found))
        return
    if listing.letters:
        Console().print(_table(listing.letters, utc_now()))
    part = f", the first {limit} shown" if limit < total else ""
    print(plain(f"{total} dead{part}{_by_queue(counts)}"))


async def show_dead(settings: Settings, letter_id: str, *, as_json: bool) -> None:
    """Print all that may be told of one letter."""
    async with _desk(settings) as desk:
        shown = await _done(desk.show(letter_id))
    told = shown_json(shown)
    if as_json:
        print(json.dumps(told))
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in told.items():
        if value not in (None, [], {}):
            table.add_row(name, Text(plain(_worded(value))))
    Console().print(table)


async def requeue_dead(settings: Settings, asked: Asked) -> None:
    """Send letters back to the queues they came from.

    Raises:
        NotDone: some of those that were meant are left.
    """
    which = asked.some(requestor_keys(settings))
    async with _desk(settings) as desk:
        tally = await _done(desk.requeue(which))
    _print_tally("requeued", tally)


async def discard_dead(settings: Settings, asked: Asked, *, yes: bool) -> None:
    """Remove letters for good.

    Raises:
        NotDone: some of those that were meant are left.
    """
    which = asked.some(requestor_keys(settings))
    what = "these letters" if asked.ids else asked.words()
    if not agreed(f"discard {what} for good? Their chains do not go on", yes=yes):
        print("nothing was changed")
        return
    async with _desk(settings) as desk:
        tally = await _done(desk.discard(which))
    _print_tally("discarded", tally)


def shown_json(shown: Shown) -> dict[str, JsonValue]:
    """What `--json` tells of a letter; of a body that cannot be decoded, its hash."""
    letter = shown.letter
    headers = {name: _told(value) for name, value in sorted(letter.headers.items())}
    return {
        "id": letter.id,
        "queue": letter.queue,
        "reason": None if letter.reason is None else scrubbed(letter.reason),
        "chain": shown.owner.chain_id,
        "requestor": shown.owner.requestor,
        "diedAt": _iso(letter.died_at),
        "firstDiedAt": _iso(letter.first_died_at),
        "deliveries": letter.deliveries,
        "requeued": letter.requeued,
        "history": [_death_json(death) for death in letter.deaths],
        "headers": headers,
        "contentType": letter.content_type,
        "bodyBytes": letter.body_bytes,
        "bodySha256": letter.body_sha256,
        "open": None if shown.open_part is None else dict(shown.open_part),
    }


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[DeadDesk]:
    """One pass over `dead`, with its progress where somebody is looking."""
    url, name = settings.broker_url.get_secret_value(), "chainctl dead"
    console = Console(stderr=True)
    async with (
        BrokerPublisher.open(
            url, name, patience_s=PATIENCE_S, history_parts=settings.history.parts
        ) as publisher,
        DeadQueue.open(url, name, patience_s=PATIENCE_S) as dead,
    ):
        if dead.others:
            console.print(_OTHERS, markup=False, highlight=False)
        with Progress(
            console=console, transient=True, disable=not console.is_terminal
        ) as progress:
            task = progress.add_task("looking through `dead`", total=dead.total)

            def seen(count: int) -> None:
                progress.update(task, completed=count)

            yield DeadDesk(dead=dead, publisher=publisher, seen=seen)


async def _done(operation: Coroutine[object, object, T]) -> T:
    try:
        return await operation
    except NotDone as error:
        raise NotConfigured(str(error)) from None


def _table(listed: Iterable[Shown], now: datetime) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("queue", "died"):
        table.add_column(name, no_wrap=True)
    for name in ("deliveries", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("reason", "id"):
        table.add_column(name, overflow="fold")
    for shown in listed:
        letter = shown.letter
        died = "" if letter.died_at is None else f"{span(now - letter.died_at)} ago"
        table.add_row(
            Text(plain(letter.queue or "?")),
            died,
            "" if letter.deliveries is None else str(letter.deliveries),
            str(letter.body_bytes),
            Text(plain(scrubbed(letter.reason or "?"))),
            Text(plain(letter.id)),
        )
    return table


def _print_tally(what: str, tally: Tally) -> None:
    print(plain(f"{tally.done.total()} {what}{_by_queue(tally.done)}"))
    for line in tally.lines():
        print(plain(line))
    tally.complete()


def _by_queue(counts: Mapping[str, int]) -> str:
    queues = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f": {queues}" if queues else ""


def _worded(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _death_json(death: Death) -> dict[str, JsonValue]:
    return {
        "queue": death.queue,
        "reason": death.reason,
        "count": death.count,
        "at": _iso(death.at),
    }


def _told(value: str | int) -> JsonValue:
    return scrubbed(value) if isinstance(value, str) else value


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
