"""The table of an outage: what was asked for and what became of it, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from orchestrator.proof.outage_books import Books, Phase, Sitting, User
from orchestrator.proof.report import Sheet

_COLUMNS: Final = (
    "phase",
    "chains started",
    "refused 503",
    "sessions shared",
    "next in flow",
    "next detached",
    "app waited p50/p99 s",
    "chains completed",
    "to the end p50/p99 s",
)


def figures(books: Books, phase: Phase) -> dict[str, JsonValue]:
    """What happened in a phase; a session belongs to the one in which it was shared."""
    away = books.away
    shared = _shared(books, phase)
    ends_s = sorted(_ends_s(books, phase))
    waits_s = sorted(sitting.waited_s for _, sitting in shared)
    return {
        "started": sum(away.phase(user.begun_s) is phase for user in books.users),
        "refused": sum(away.phase(one.at_s) is phase for one in books.refusals),
        "shared": len(shared),
        "in_flow": _followed(shared, detached=False),
        "detached": _followed(shared, detached=True),
        "app_waited_p50_s": quantile(waits_s, 0.5),
        "app_waited_p99_s": quantile(waits_s, 0.99),
        "completed": len(ends_s),
        "to_end_p50_s": quantile(ends_s, 0.5),
        "to_end_p99_s": quantile(ends_s, 0.99),
    }


def sheet(title: str, books: Books) -> Sheet:
    """The table for people."""
    return Sheet(
        title=title,
        columns=_COLUMNS,
        rows=[_row(phase, figures(books, phase)) for phase in Phase],
    )


def _row(phase: Phase, found: dict[str, JsonValue]) -> list[str]:
    counts = [str(found[name]) for name in ("started", "refused", "shared")]
    flow = [str(found[name]) for name in ("in_flow", "detached")]
    return [
        phase,
        *counts,
        *flow,
        f"{_told(found['app_waited_p50_s'])}/{_told(found['app_waited_p99_s'])}",
        str(found["completed"]),
        f"{_told(found['to_end_p50_s'])}/{_told(found['to_end_p99_s'])}",
    ]


def _told(value: JsonValue) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "-"


def _shared(books: Books, phase: Phase) -> list[tuple[User, Sitting]]:
    return [
        (user, sitting)
        for user in books.users
        for sitting in user.sittings
        if books.away.phase(sitting.shared_s) is phase
    ]


def _followed(shared: Sequence[tuple[User, Sitting]], *, detached: bool) -> int:
    """After how many of these another session came, and in which way."""
    return sum(
        later.detached is detached
        for user, sitting in shared
        for later in user.sittings
        if later.step == sitting.step + 1
    )


def _ends_s(books: Books, phase: Phase) -> list[float]:
    """How long after their users' last act chains were completed."""
    found = []
    for user in books.users:
        kept, last_s = books.kept.get(user.chain_id), user.last_shared_s
        if last_s is None or books.away.phase(last_s) is not phase:
            continue
        if kept is not None and kept.state == "completed" and kept.ended_s is not None:
            found.append(kept.ended_s - last_s)
    return found


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which this share of the values is; None where there is none."""
    if not ordered:
        return None
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3)
