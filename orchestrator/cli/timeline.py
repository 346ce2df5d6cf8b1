"""A chain's events as people read them: what happened, when, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.domain.chain import Chain, Step
from schemas.events import Event

_STYLES: Final = {
    "completed": "green",
    "finished": "green",
    "answered": "green",
    "failed": "red",
    "cancelled": "red",
    "expired": "red",
    "retrying": "yellow",
}


def timeline(
    chain: Chain, steps: Sequence[Step], events: Sequence[Event]
) -> RenderableType:
    """The whole story of a chain."""
    title = Text.assemble(
        "chain ", (chain.id, "bold"), f" of {chain.requestor}: ", _styled(chain.state)
    )
    if chain.reason:
        title.append(f" ({chain.reason})")
    table = Table(box=None, header_style="dim")
    for name in ("#", "at", "after"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("step", "event", ""):
        table.add_column(name)
    before = chain.created_at
    for event in events:
        at_ms = (event.time - chain.created_at).total_seconds() * 1000
        after_ms = (event.time - before).total_seconds() * 1000
        before = event.time
        table.add_row(
            str(event.sequence or ""),
            f"{at_ms:.0f} ms",
            f"{after_ms:+.0f} ms",
            str(event.step),
            _styled(event.type),
            details(event),
        )
    states = ", ".join(f"{row.slot.step} {row.state}" for row in steps)
    return Group(title, table, Text(f"rows: {states}", style="dim"))


def event_line(event: Event) -> str:
    """One event in one line."""
    at = event.time.isoformat(timespec="milliseconds")
    return f"{at} {event.chainid} {event.step} {event.type} {details(event)}".rstrip()


def details(event: Event) -> str:
    """What the open part of an event says, in words."""
    fields = event.data.model_dump(by_alias=True, exclude_none=True, mode="json")
    return " ".join(f"{name}={_text(value)}" for name, value in fields.items())


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _styled(word: str) -> Text:
    return Text(word, style=_STYLES.get(word.rsplit(".", maxsplit=1)[-1], ""))
