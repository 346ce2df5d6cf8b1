"""`chainctl replay rehearse`: what is compared, and what is told of it."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from orchestrator.cli import rehearse as at
from orchestrator.cli.replay_asked import Asked
from orchestrator.domain.errors import NotConfigured, SealBroken
from orchestrator.domain.failing import Failure
from orchestrator.domain.rehearsing import COMPLETED, Verdict
from orchestrator.planning import Planner
from orchestrator.ports import Store
from orchestrator.settings import Settings
from tests.support.replays import MADE_AT, fail_chain
from workers.rehearsing import NotRehearsed, Rehearser

IDS = tuple(f"01M80YVSQQKN1JP1SMFEKT7{n:03}" for n in range(12))
SHADOW = "https://candidate.example/next?secret=MARKER"


@dataclass
class Candidate:
    """Decides about each failure, by its number."""

    asked: list[str] = field(default_factory=list)

    async def rehearse(self, failure: Failure) -> Verdict | NotRehearsed:
        """Nine are done well, one fails as before, and two cannot be POSTed."""
        self.asked.append(failure.slot.chain_id)
        match IDS.index(failure.slot.chain_id):
            case 9:
                return Verdict(what="status", status=503)
            case 10:
                return NotRehearsed(reason="nothing was POSTed when it failed")
            case 11:
                raise SealBroken("MARKER")
            case _:
                return COMPLETED


@pytest.fixture
async def candidate(installed: Store, monkeypatch: pytest.MonkeyPatch) -> Candidate:
    """Twelve failures, and a candidate that was asked for nothing yet."""
    made = Candidate()
    for chain_id in IDS:
        await fail_chain(installed, chain_id, MADE_AT)

    @asynccontextmanager
    async def rehearser(
        _: Settings, __: Planner, shadow: str
    ) -> AsyncIterator[Candidate]:
        assert shadow == SHADOW
        yield made

    monkeypatch.setattr(at, "_rehearser", rehearser)
    return made


async def rehearse(
    settings: Settings,
    shadow: str = SHADOW,
    *,
    limit: int | None = None,
    pace: float = 1_000,
    yes: bool = True,
    as_json: bool = False,
) -> None:
    """Rehearse all there is."""
    await at.rehearse(
        settings,
        Asked(),
        shadow,
        every=True,
        limit=limit,
        pace=pace,
        yes=yes,
        as_json=as_json,
    )


async def test_decisions_are_compared_in_groups(
    settings: Settings,
    installed: Store,
    candidate: Candidate,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the old endpoint decided, what the new one would, how many, and examples."""
    await rehearse(settings, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "endpoint": "https://candidate.example:443",
        "posted": 10,
        "same": 1,
        "differs": 9,
        "notPosted": {
            "nothing was POSTed when it failed": 1,
            "its secrets cannot be opened (SealBroken)": 1,
        },
        "groups": [
            {
                "was": "status 503",
                "wouldBe": "completed",
                "same": False,
                "chains": 9,
                "examples": list(IDS[:3]),
            },
            {
                "was": "status 503",
                "wouldBe": "status 503",
                "same": True,
                "chains": 1,
                "examples": [IDS[9]],
            },
        ],
    }
    assert candidate.asked == list(IDS)
    assert await installed.replays.plans(limit=9) == []


async def test_people_get_a_table(
    settings: Settings, candidate: Candidate, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a sentence that sums it up; the URL is told by its origin only."""
    await rehearse(settings)
    told = capsys.readouterr().out
    assert "the same" in told
    assert "1 not POSTed: its secrets cannot be opened (SealBroken)" in told
    assert told.endswith(
        "10 POSTed to https://candidate.example:443: 9 would be decided otherwise,"
        " 1 in the same way; nothing was changed\n"
    )
    assert "MARKER" not in told


async def test_no_more_are_posted_than_was_said(
    settings: Settings, candidate: Candidate, capsys: pytest.CaptureFixture[str]
) -> None:
    """The oldest first."""
    await rehearse(settings, limit=9)
    assert candidate.asked == list(IDS[:9])


@pytest.mark.parametrize("pace, at_once", [(0.5, 1), (2.5, 2), (99, 8)])
async def test_no_more_go_out_at_once_than_the_pace_allows(
    settings: Settings,
    candidate: Candidate,
    monkeypatch: pytest.MonkeyPatch,
    pace: float,
    at_once: int,
) -> None:
    """A slow candidate gets one at a time, and each second no more than was said."""
    there, pages, rests = at._rehearse, list[int](), list[float]()

    async def rehearse_page(
        rehearser: Rehearser, failures: Sequence[Failure], compared: at.Compared
    ) -> None:
        pages.append(len(failures))
        await there(rehearser, failures, compared)

    async def rest(delay_s: float) -> None:
        rests.append(delay_s)

    monkeypatch.setattr(at, "_rehearse", rehearse_page)
    monkeypatch.setattr(asyncio, "sleep", rest)
    await rehearse(settings, pace=pace, as_json=True)
    assert max(pages) == at_once
    assert sum(pages) == len(IDS)
    assert all(delay_s <= at_once / pace for delay_s in rests)


async def test_nothing_is_posted_that_nobody_agreed_to(
    settings: Settings, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results hold what users have disclosed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(NotConfigured, match="--yes"):
        await rehearse(settings, yes=False)
    with pytest.raises(NotConfigured, match=r"^--shadow: it needs http or https"):
        await rehearse(settings, "candidate.example")
    assert candidate.asked == []
