"""How an outage and its replay are shown: windows for people, figures for scripts."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pydantic import JsonValue

from orchestrator.proof.lateness import percentile
from orchestrator.proof.replay_books import Books, Window
from orchestrator.proof.replay_judging import p99_ms, redelivered_of
from orchestrator.proof.report import Sheet

_COLUMNS: Final = ("replay", "live/s", "replayed/s", "p50 ms", "p99 ms", "most ms")


def sheets(books: Books) -> list[Sheet]:
    """Each window, in the order in which they were."""
    if not books.windows:
        return []
    title = f"live traffic, {books.windows[0].lasted_s:.0f} s each"
    rows = [_row(one) for one in books.windows]
    return [Sheet(title=title, columns=_COLUMNS, rows=rows)]


def _row(window: Window) -> tuple[str, ...]:
    late = window.latencies_s
    latest = (percentile(late, 50), percentile(late, 99), late[-1])
    return (
        "runs" if window.replaying else "paused",
        f"{len(late) / window.lasted_s:.1f}",
        f"{window.replayed / window.lasted_s:.1f}",
        *(f"{1000 * one:.1f}" for one in latest),
    )


def figures(books: Books) -> dict[str, JsonValue]:
    """For the last line."""
    ends = Counter(books.rows[one].state for one in books.failed if one in books.rows)
    again = redelivered_of(books)
    told: dict[str, JsonValue] = {
        "failed": len(books.failed),
        "failed_in_s": round(books.failing_took_s, 1),
        "ended": {**ends},
        "replayed": books.plan.replayed,
        "redelivered": again.first + again.replayed,
        "redelivered_max": books.in_hand.first + books.in_hand.replayed,
        "live": len(books.live),
        "live_per_s": books.rate,
        "pace_per_s": books.pace,
        "took_s": round(books.took_s, 1),
        "worker_rss_mb": round(max(books.rss_mb), 1),
        "killed": [str(kill) for kill in books.killed],
    }
    if books.windows:
        paused = p99_ms(books.windows, replaying=False)
        running = p99_ms(books.windows, replaying=True)
        told |= {
            "live_p99_ms": round(paused, 2),
            "live_p99_ms_beside_replay": round(running, 2),
            "ratio": round(running / paused, 3),
        }
    return told
