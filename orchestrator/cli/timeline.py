"""A chain's events as people read them: what happened, when, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.timeline_waits import Waits, span
from orchestrator.domain.chain import Chain, Step
from orchestrator.ports import PARKED, Waiting
from schemas.events import (
    CallbackAnswered,
    CallbackAnsweredData,
    CallbackFailed,
    CallbackFailedData,
    CallbackParked,
    CallbackRetrying,
    CallbackRetryingData,
    ChainEnded,
    ChainReplayed,
    ChainStarted,
    EndpointChanged,
    EndpointChangedData,
    Event,
    SessionCompleted,
    SessionConnected,
    SessionEnded,
    SessionRequested,
    SessionStarted,
)

_STYLES: Final = {
    "completed": "green",
    "finished": "green",
    "answered": "green",
    "failed": "red",
    "cancelled": "red",
    "expired": "red",
    "retrying": "yellow",
    "parked": "yellow",
}

_KEPT: Final = {
    "limit": "parked: enough attempts at its endpoint",
    "open": "parked: its endpoint fails",
    "paused": "parked: its endpoint is paused",
}


def timeline(
    chain: Chain,
    steps: Sequence[Step],
    events: Sequence[Event],
    waiting: Sequence[Waiting] = (),
) -> RenderableType:
    """The whole story of a chain, and what of it waits until when."""
    title = Text.assemble(
        "chain ", (chain.id, "bold"), f" of {chain.requestor}: ", _styled(chain.state)
    )
    if chain.reason:
        title.append(f" ({plain(chain.reason)})")
    table = Table(box=None, header_style="dim")
    for name in ("#", "at", "after"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("step", "event", ""):
        table.add_column(name, overflow="fold")
    before = chain.created_at
    waits = Waits()
    for event in events:
        said = Text(details(event))  # a string would be read as markup
        if waited := waits.ended_by(event):
            said.append(f"; {waited}", style="yellow")
        after = event.time - before
        table.add_row(
            str(event.sequence or ""),
            span(event.time - chain.created_at),
            f"{'-' if after < timedelta() else '+'}{span(abs(after))}",
            _step(event),
            _styled(event.type),
            said,
        )
        before = event.time
    states = ", ".join(f"{_slot(row)} {row.state}" for row in steps)
    dim = [Text(text, style="dim") for text in (f"rows: {states}", *_in_all(waits))]
    still = [Text(_waits(row), style="yellow") for row in waiting]
    return Group(title, table, *dim, *still)


def _step(event: Event) -> str:
    """The step; with the generation once it was replayed."""
    if isinstance(event, EndpointChanged):
        return ""
    return f"{event.step} g{event.generation}" if event.generation else str(event.step)


def _slot(row: Step) -> str:
    slot = row.slot
    return f"{slot.step} g{slot.generation}" if slot.generation else str(slot.step)


def _in_all(waits: Waits) -> list[str]:
    """What it waited for in all; nothing of chains that never waited."""
    told = [f"{span(waited)} {why}" for why, waited in waits.totals.items()]
    return [f"waited: {'; '.join(told)}"] if told else []


def _waits(row: Waiting) -> str:
    at = row.due_at.isoformat(timespec="seconds")
    where = f" at {row.endpoint}" if row.endpoint else ""
    since = "since" if row.kind == PARKED else "due"
    return f"waiting: {row.kind}{where}, {since} {at}"


def event_line(event: Event) -> str:
    """One event in one line."""
    at = event.time.isoformat(timespec="milliseconds")
    where = event.subject
    if not isinstance(event, EndpointChanged):
        where = f"{where} {event.step}"
    return f"{at} {where} {event.type} {details(event)}".rstrip()


def details(event: Event) -> str:
    """What the open part of an event says, in words."""
    return plain(", ".join(word for word in _words(event) if word))


def plain(text: str) -> str:
    """Without what would steer a terminal: reasons repeat what endpoints wrote."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _words(event: Event) -> list[str]:  # noqa: C901, PLR0911, PLR0912 - one for each kind
    match event:
        case ChainStarted(data=data):
            return [data.backend]
        case ChainEnded(data=data):
            steps = f"{data.steps} step{'' if data.steps == 1 else 's'}"
            return [f"{steps} in {data.duration_s:.2f} s", data.reason or ""]
        case ChainReplayed(data=data):
            return [f"{data.again} again after it {data.ended}", data.reason or ""]
        case SessionRequested(data=data):
            return [data.session_type, _flow(in_flow=data.in_flow), *data.attributes]
        case SessionStarted(data=data):
            return [data.session_type, _flow(in_flow=data.in_flow)]
        case SessionConnected(data=data):
            return [data.session_type]
        case SessionCompleted(data=data):
            return [data.session_type, data.proof_status, *data.disclosed]
        case SessionEnded(data=data):
            proof = data.proof_status or ""
            return [data.session_type, data.status, proof, data.reason or ""]
        case CallbackRetrying(data=data):
            pause = f"again in {data.delay_ms / 1000:.2f} s ({data.clock})"
            return [f"attempt {data.attempt}", _came(data), pause, data.endpoint]
        case CallbackParked(data=data):
            return [f"attempt {data.attempt}", _KEPT[data.kept], data.endpoint]
        case EndpointChanged(data=data):
            probe = f"tried again at {data.probe_at:%H:%M:%S}" if data.probe_at else ""
            return [_failures(data), probe, data.note or ""]
        case CallbackAnswered(data=data):
            return [f"attempt {data.attempt}", _how(data), data.answer, data.endpoint]
        case CallbackFailed(data=data):
            return [f"attempt {data.attempt}", _came(data), data.reason, data.endpoint]


def _failures(data: EndpointChangedData) -> str:
    return f"{data.failures} of {data.attempts} failed" if data.trips else ""


def _flow(*, in_flow: bool) -> str:
    return "in flow" if in_flow else ""


def _came(
    data: CallbackRetryingData | CallbackAnsweredData | CallbackFailedData,
) -> str:
    """What came back: a status, or why nothing did; neither where an operator gave up."""
    if data.status is not None:
        return f"status {data.status}"
    fault = None if isinstance(data, CallbackAnsweredData) else data.fault
    return "" if fault is None else f"no answer: {fault}"


def _how(data: CallbackAnsweredData) -> str:
    """How an answer came: at once, or by the reply URL."""
    if data.duration_ms is None:
        return "by reply URL"
    return f"{_came(data)} after {data.duration_ms} ms"


def _styled(word: str) -> Text:
    return Text(word, style=_STYLES.get(word.rsplit(".", maxsplit=1)[-1], ""))
