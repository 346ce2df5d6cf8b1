"""`chainctl replay`: what is shown, what is refused, and what an operator changes."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.app.tools import make_sealer
from orchestrator.cli import replay as cli
from orchestrator.cli.replay import How
from orchestrator.cli.replay_asked import Asked
from orchestrator.domain import replaying
from orchestrator.domain.chain import Chain, ChainState, Step, StepState
from orchestrator.domain.errors import NotConfigured, NotDone
from orchestrator.domain.failing import FailureFilter, FailureReason
from orchestrator.domain.replaying import Replay
from orchestrator.ports import Changes, Store, utc_now
from orchestrator.sealing import new_key
from orchestrator.settings import IrmaServer, Sealing, Settings
from orchestrator.store import open_store
from orchestrator.store.schema import migrate
from tests.support.replays import SHOP, a_failure, a_plan

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
IDS = tuple(f"01M80YVSQQKN1JP1SMFEKT79D{n}" for n in range(6))
URL = "https://other.example/next?secret=MARKER"


@pytest.fixture
async def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with a database and one requestor."""
    monkeypatch.setenv("COLUMNS", "250")
    url = f"sqlite:///{tmp_path / 'chains.db'}"
    await migrate(url)
    return Settings.model_validate(
        {
            "broker_url": "amqp://127.0.0.1:1/",
            "database_url": url,
            "public_url": "https://chains.example",
            "irma_server": IrmaServer(url="https://irma.example"),
            "sealing": Sealing.model_validate({"key": new_key(), "hash_key": new_key()}),
            "requestors": {
                "Acme": {"key": "the-requestors-secret", "auth_method": "token"}
            },
        }
    )


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """Its database."""
    async with open_store(settings.database_url.get_secret_value()) as opened:
        yield opened


async def fail(store: Store, *ids: str, purged_at: datetime | None = None) -> None:
    """Chains end as failed."""
    for chain_id in ids:
        failure = a_failure(chain_id)
        chain = Chain(
            id=chain_id,
            requestor="acme",
            backend="irma",
            state=ChainState.RUNNING,
            generation=0,
            created_at=NOW,
        )
        step = Step(
            slot=failure.slot, state=StepState.COMPLETED, created_at=NOW, check_at=None
        )
        await store.begin_chain(chain, step, [])
        ended = replace(chain, state=ChainState.FAILED, ended_at=NOW, purged_at=purged_at)
        await _write(store, failure.slot.chain_id, Changes(chain=ended, failure=failure))


async def _write(store: Store, chain_id: str, changes: Changes) -> None:
    await store.decide_chain(chain_id, lambda *_: (None, changes))


async def run(
    settings: Settings, asked: Asked, how: How | None = None, *, every: bool = False
) -> None:
    """Make a plan and do not follow it."""
    await cli.run_replay(
        settings, asked, how or How(), every=every, yes=True, detach=True, as_json=True
    )


async def the_plan(store: Store) -> Replay:
    """The only plan there is."""
    (plan,) = await store.replays.plans(limit=9)
    return plan


def test_a_filter_says_what_the_options_say(settings: Settings, tmp_path: Path) -> None:
    """A requestor by name or key, an endpoint by any URL there, chains from a file."""
    file = tmp_path / "chains"
    file.write_text(f"# of last night\n{IDS[0]}\n\n {IDS[1]} \n{IDS[0]}\n")
    asked = Asked(
        requestor="Acme",
        endpoint="https://shop.example/next",
        reason=FailureReason.STATUS,
        status=503,
        step=2,
        since="2h",
        until="2026-03-29T11:00:00Z",
        chains=(IDS[2],),
        chains_file=file,
    )
    assert asked.filter(settings, NOW) == FailureFilter(
        requestor="acme",
        endpoint=SHOP,
        reason=FailureReason.STATUS,
        status=503,
        step=2,
        since=NOW.replace(hour=10),
        until=NOW.replace(hour=11),
        chain_ids=(IDS[2], IDS[0], IDS[1]),
    )
    assert Asked(requestor="acme").filter(settings, NOW).requestor == "acme"


def test_chains_are_read_from_stdin(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As other programs write them."""
    stdin = io.TextIOWrapper(io.BytesIO(f"{IDS[0]}\r\n{IDS[1]}".encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    found = Asked(chains_file=Path("-")).filter(settings, NOW)
    assert found.chain_ids == IDS[:2]


@pytest.mark.parametrize(
    "asked, why",
    [
        (
            Asked(requestor="nobody"),
            "--requestor 'nobody': not configured; there are: acme",
        ),
        (
            Asked(since="1h", until="2h"),
            (
                "--since 2026-03-29T11:00:00+00:00 is not before"
                " --until 2026-03-29T10:00:00+00:00"
            ),
        ),
        (
            Asked(endpoint="shop.example"),
            "--endpoint: it needs http or https and a host, as https://HOST:PORT",
        ),
        (Asked(chains=("C1",)), "--chain: that is no id of a chain"),
    ],
)
def test_a_bad_selection_is_told_exactly(
    settings: Settings, asked: Asked, why: str
) -> None:
    """Which option, and what is wrong with it."""
    with pytest.raises(NotConfigured) as told:
        asked.filter(settings, NOW)
    assert str(told.value) == why


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "there is no chain in it"),
        (b"# only words\n", "there is no chain in it"),
        (IDS[0].encode() + b"\n<html>MARKER\n", "line 2: that is no id of a chain"),
        (b"\xff\xfe\x00", "it is no text (UTF-8)"),
        (b"x" * 1_000_001, "longer than 1000000 bytes"),
        (b"\n" * 20_001, "more than 20000 lines"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_with_garbage_is_told_by_its_line(
    settings: Settings, tmp_path: Path, content: bytes | None, why: str
) -> None:
    """What stands there is not repeated: it may be anything."""
    file = tmp_path / "chains"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotConfigured) as told:
        Asked(chains_file=file).filter(settings, NOW)
    assert str(told.value).endswith(why)
    assert "MARKER" not in str(told.value)


async def test_a_dry_run_shows_groups_and_changes_nothing(
    settings: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, which, and what is too old."""
    await fail(store, *IDS[:3])
    await fail(store, IDS[3], purged_at=NOW)
    await cli.plan_replay(settings, Asked(), as_json=False)
    told = capsys.readouterr().out
    assert SHOP in told
    assert told.endswith("3 to replay; 1 too old: their results were deleted\n")
    await cli.plan_replay(settings, Asked(status=503), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["toReplay"], shown["tooOld"], shown["inReplay"]) == (3, 1, 0)
    assert shown["groups"][0]["reason"] == "status"
    assert await store.replays.plans(limit=9) == []


async def test_a_plan_is_made_of_what_was_shown(
    settings: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cut-off is that of the dry run; another URL is sealed, and shown by origin."""
    await fail(store, *IDS[:2])
    how = How(pace=5, endpoint_pace=2, canary=False, url=URL, note="the night's")
    await run(settings, Asked(requestor="acme"), how)
    told = capsys.readouterr().out
    plan = await the_plan(store)
    assert json.loads(told)["id"] == plan.id
    assert (plan.state, plan.cut_off.number, plan.note) == ("planned", 2, "the night's")
    assert (plan.pace, plan.endpoint_pace, plan.canary) == (5, 2, False)
    assert plan.endpoint == "https://other.example:443"
    assert plan.sealed_url is not None
    bound_to = replaying.url_bound_to(plan.id)
    opened = make_sealer(settings).open(plan.sealed_url, bound_to=bound_to)
    assert opened.decode() == URL
    assert "MARKER" not in told


@pytest.mark.parametrize(
    "asked, every, why",
    [
        (Asked(), False, "say which failures by options, or else --all"),
        (Asked(step=1), True, "say which failures by options, or else --all"),
        (Asked(step=9), False, "nothing to replay: no failure is meant by that"),
        (
            Asked(chains=(IDS[1],)),
            False,
            "nothing to replay: 1 are too old: their results were deleted",
        ),
        (
            Asked(chains=(IDS[0], IDS[5])),
            False,
            f"no failure of these chains is known: {IDS[5]}",
        ),
    ],
)
async def test_a_selection_of_nothing_starts_nothing(
    settings: Settings, store: Store, asked: Asked, *, every: bool, why: str
) -> None:
    """The text says why there is nothing."""
    await fail(store, IDS[0])
    await fail(store, IDS[1], purged_at=NOW)
    with pytest.raises(NotConfigured) as told:
        await run(settings, asked, every=every)
    assert str(told.value) == why
    assert await store.replays.plans(limit=9) == []


async def test_what_is_in_another_replay_is_told(
    settings: Settings, store: Store
) -> None:
    """Nobody can start it twice."""
    await fail(store, IDS[0])
    await run(settings, Asked(), every=True)
    plan = replace(await the_plan(store), state=replaying.ReplayState.RUNNING, version=1)
    assert await store.replays.change(await the_plan(store), plan)
    assert await store.replays.claim(plan, limit=9) == 1
    with pytest.raises(NotConfigured, match=r"1 are in another replay$"):
        await run(settings, Asked(), every=True)


@pytest.mark.parametrize(
    "how, why",
    [
        (How(url="ftp://x"), "--url: it needs http or https and a host"),
        (How(note="x" * 501), "--note: at most 500 characters, has 501"),
    ],
)
async def test_a_plan_that_cannot_go_on_is_refused(
    settings: Settings, how: How, why: str
) -> None:
    """Before anything is looked at."""
    with pytest.raises(NotConfigured, match=why):
        await run(settings, Asked(), how, every=True)


async def test_nobody_is_asked_where_nobody_is(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script has to say --yes."""
    await fail(store, IDS[0])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(NotConfigured, match="--yes"):
        await cli.run_replay(
            settings, Asked(), How(), every=True, yes=False, detach=True, as_json=False
        )
    assert await store.replays.plans(limit=9) == []


async def test_an_operator_pauses_resumes_and_cancels(
    settings: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done as it stands is refused with its state."""
    await store.replays.add(replace(a_plan(), claimed=5, replayed=2))
    await cli.pause_replay(settings, "R1")
    with pytest.raises(NotDone, match="R1 is paused, so it cannot be paused"):
        await cli.pause_replay(settings, "R1")
    await cli.resume_replay(settings, "R1")
    await cli.cancel_replay(settings, "R1")
    assert "2 replayed, 0 refused, 3 left" in capsys.readouterr().out
    with pytest.raises(NotDone, match="R1 is cancelled, so it cannot be resumed"):
        await cli.resume_replay(settings, "R1")
    with pytest.raises(NotConfigured, match="there is no such replay"):
        await cli.pause_replay(settings, "R9")


async def test_plans_are_listed_and_shown(
    settings: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, one in words, and both as JSON."""
    await cli.list_replays(settings, limit=9, as_json=False)
    assert capsys.readouterr().out == "no replay was made yet\n"
    plan = replace(a_plan(), claimed=5, replayed=3, well=2, ill=1, note="the night's")
    await store.replays.add(plan)
    await cli.list_replays(settings, limit=9, as_json=False)
    await cli.show_replay(settings, "R1", as_json=False)
    told = capsys.readouterr().out
    for words in ("R1", "the night's", "2 went well, 1 failed again", "2, never started"):
        assert words in told
    await cli.list_replays(settings, limit=9, as_json=True)
    (listed,) = json.loads(capsys.readouterr().out)
    await cli.show_replay(settings, "R1", as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown == listed | {"refusals": {}}
    assert (shown["claimed"], shown["left"], shown["failedAgain"]) == (5, 2, 1)


async def test_a_plan_is_followed_until_it_stops(
    settings: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Done is well; a canary that has stopped it is told as such."""
    plan = replace(a_plan(state=replaying.ReplayState.RUNNING), made_at=utc_now())
    await store.replays.add(plan)
    following = asyncio.create_task(cli.follow_replay(settings, "R1", as_json=False))
    await asyncio.sleep(0)
    assert await store.replays.change(plan, replaying.finished(plan, NOW))
    await asyncio.wait_for(following, 10)
    assert "state     done" in capsys.readouterr().out

    stopped = replaying.stopped(replace(plan, id="R2"), "1 of 1 failed again")
    await store.replays.add(stopped)
    with pytest.raises(NotDone, match="R2 is paused, 0 left"):
        await cli.follow_replay(settings, "R2", as_json=False)
    assert "paused: 1 of 1 failed again" in capsys.readouterr().out
