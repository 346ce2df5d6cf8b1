"""`chainctl replay`: what is shown, what is refused, and what an operator changes."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.app.tools import make_sealer
from orchestrator.cli import replay as cli
from orchestrator.cli.replay_asked import Asked
from orchestrator.domain import replaying
from orchestrator.domain.errors import NotConfigured, NotDone
from orchestrator.domain.replaying import Replay, ReplayKind
from orchestrator.domain.selecting import How
from orchestrator.ports import Store, utc_now
from orchestrator.settings import Settings
from tests.support.replays import SHOP, a_plan, fail_chain

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
IDS = tuple(f"01M80YVSQQKN1JP1SMFEKT79D{n}" for n in range(6))
DEAD_LETTERS = "dead letters are not counted here: chainctl dead list\n"
URL = "https://other.example/next?secret=MARKER"


async def fail(store: Store, *ids: str, purged_at: datetime | None = None) -> None:
    """Chains end as failed."""
    for chain_id in ids:
        await fail_chain(store, chain_id, NOW, purged_at=purged_at)


async def run(
    settings: Settings, asked: Asked, how: How | None = None, *, every: bool = False
) -> None:
    """Make a plan and do not follow it."""
    await cli.run_replay(
        settings, asked, how or How(), every=every, yes=True, detach=True, as_json=True
    )


async def handle(settings: Settings, asked: Asked, note: str = "by hand") -> None:
    """Give failures up and do not follow that."""
    await cli.handle_failures(
        settings, asked, note, every=False, yes=True, detach=True, as_json=True
    )


async def the_plan(store: Store) -> Replay:
    """The only plan there is."""
    (plan,) = await store.replays.plans(limit=9)
    return plan


def test_chains_are_read_from_a_file(tmp_path: Path) -> None:
    """Besides those that are named; comments and empty lines are none."""
    file = tmp_path / "chains"
    file.write_text(f"# of last night\n{IDS[0]}\n\n {IDS[1]} \n{IDS[0]}\n")
    asked = Asked(requestor="Acme", chains=(IDS[2],), chains_file=file)
    found = asked.selection()
    assert found.chains == [IDS[2], IDS[0], IDS[1], IDS[0]]
    assert found.requestor == "Acme"


def test_chains_are_read_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """As other programs write them."""
    stdin = io.TextIOWrapper(io.BytesIO(f"{IDS[0]}\r\n{IDS[1]}".encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert Asked(chains_file=Path("-")).selection().chains == list(IDS[:2])


@pytest.mark.parametrize(
    "asked, why",
    [
        (
            Asked(requestor="nobody"),
            "--requestor: 'nobody' is not configured; there are: acme",
        ),
        (
            Asked(since="2026-03-29T11:00Z", until="2026-03-29T10:00Z"),
            (
                "--since: 2026-03-29T11:00:00+00:00 is not before until, which is"
                " 2026-03-29T10:00:00+00:00"
            ),
        ),
        (Asked(until="MARKER"), "--until: it needs a span as 30s, 10m, 2h, 1d, or"),
        (
            Asked(endpoint="shop.example"),
            "--endpoint: it needs http or https and a host, as https://HOST:PORT",
        ),
        (Asked(step=1_001), "--step: it needs 1 to 1000"),
        (Asked(chains=("MARKER",)), "--chain: that is no id of a chain"),
        (Asked(), "say which failures are meant, or else all"),
        (Asked(step=9), "nothing to replay: no failure is meant by that"),
        (
            Asked(chains=(IDS[1],)),
            "nothing to replay: 1 are too old: their results were deleted",
        ),
        (
            Asked(chains=(IDS[0], IDS[5])),
            f"--chains: no failure of these is known: {IDS[5]}",
        ),
    ],
)
async def test_a_bad_selection_is_told_exactly_and_starts_nothing(
    settings: Settings, installed: Store, asked: Asked, why: str
) -> None:
    """Which option, and what is wrong with it."""
    await fail(installed, IDS[0])
    await fail(installed, IDS[1], purged_at=NOW)
    with pytest.raises(NotConfigured) as told:
        await run(settings, asked)
    assert str(told.value).startswith(why)
    assert "MARKER" not in str(told.value)
    assert await installed.replays.plans(limit=9) == []


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "there is no chain in it"),
        (b"# only words\n", "there is no chain in it"),
        (IDS[0].encode() + b"\n<html>MARKER\n", "line 2: that is no id of a chain"),
        (b"\xff\xfe\x00", "it is no text (UTF-8)"),
        (b"x" * 1_000_001, "longer than 1000000 bytes"),
        (b"\n" * 20_001, "more than 20000 lines"),
        (f"{IDS[0]}\n".encode() * 10_001, None),
        (None, "No such file or directory"),
    ],
)
async def test_a_file_with_garbage_is_told_by_its_line(
    settings: Settings,
    installed: Store,
    tmp_path: Path,
    content: bytes | None,
    why: str | None,
) -> None:
    """What stands there is not repeated: it may be anything; one id often is one."""
    await fail(installed, IDS[0])
    file = tmp_path / "chains"
    if content is not None:
        file.write_bytes(content)
    if why is None:
        await run(settings, Asked(chains_file=file))
        return
    with pytest.raises(NotConfigured) as told:
        await run(settings, Asked(chains_file=file))
    assert str(told.value).endswith(why)
    assert "MARKER" not in str(told.value)
    assert await installed.replays.plans(limit=9) == []


async def test_a_dry_run_shows_groups_and_changes_nothing(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, which, and what is too old."""
    await fail(installed, *IDS[:3])
    await fail(installed, IDS[3], purged_at=NOW)
    await cli.plan_replay(settings, Asked(), as_json=False)
    told = capsys.readouterr().out
    assert SHOP in told
    assert told.endswith(
        "3 to replay; 1 too old: their results were deleted\n" + DEAD_LETTERS
    )
    await cli.plan_replay(settings, Asked(status=503), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["toReplay"], shown["tooOld"], shown["inReplay"]) == (3, 1, 0)
    assert shown["groups"][0]["reason"] == "status"
    assert await installed.replays.plans(limit=9) == []


async def test_a_plan_is_made_of_what_was_shown(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cut-off is that of the dry run; another URL is sealed, and shown by origin."""
    await fail(installed, *IDS[:2])
    how = How(pace=5, endpoint_pace=2, canary=False, url=URL, note="the night's")
    await run(settings, Asked(requestor="acme"), how)
    told = capsys.readouterr().out
    plan = await the_plan(installed)
    assert json.loads(told)["id"] == plan.id
    assert (plan.state, plan.cut_off.number, plan.note) == ("planned", 2, "the night's")
    assert (plan.pace, plan.endpoint_pace, plan.canary) == (5, 2, False)
    assert plan.made_by == cli.who()
    assert plan.endpoint == "https://other.example:443"
    assert plan.sealed_url is not None
    bound_to = replaying.url_bound_to(plan.id)
    opened = make_sealer(settings).open(plan.sealed_url, bound_to=bound_to)
    assert opened.decode() == URL
    assert "MARKER" not in told


async def test_all_is_said_without_a_filter(settings: Settings) -> None:
    """Who says both may mean either."""
    with pytest.raises(NotConfigured, match=r"^--all: say all, or which failures"):
        await run(settings, Asked(step=1), every=True)


async def test_what_is_in_another_replay_is_told(
    settings: Settings, installed: Store
) -> None:
    """Nobody can start it twice."""
    await fail(installed, IDS[0])
    await run(settings, Asked(), every=True)
    plan = replace(
        await the_plan(installed), state=replaying.ReplayState.RUNNING, version=1
    )
    assert await installed.replays.change(await the_plan(installed), plan)
    assert await installed.replays.claim(plan, limit=9) == 1
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


@pytest.mark.parametrize(
    "note, why",
    [
        (" ", "--note: needed: why these are not replayed"),
        ("x" * 501, "--note: at most 500 characters, has 501"),
        ("MARKER\0", "--note: it holds what is no text"),
    ],
)
async def test_who_gives_failures_up_says_why(
    settings: Settings, installed: Store, note: str, why: str
) -> None:
    """Or nothing is."""
    await fail(installed, IDS[0])
    with pytest.raises(NotConfigured) as told:
        await handle(settings, Asked(status=503), note)
    assert str(told.value) == why
    assert await installed.replays.plans(limit=9) == []


async def test_failures_are_given_up_by_a_plan_of_their_own(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those that are too old; they count apart, and no replay means them."""
    await fail(installed, IDS[0])
    await fail(installed, IDS[1], purged_at=NOW)
    await handle(settings, Asked(status=503), "refunded by hand")
    plan = await the_plan(installed)
    assert (plan.kind, plan.note, plan.made_by) == (
        ReplayKind.HANDLE,
        "refunded by hand",
        cli.who(),
    )
    running = replaying.taken_up(plan, NOW)
    assert running is not None
    assert await installed.replays.change(plan, running)
    assert await installed.replays.claim(running, limit=9) == 2
    assert (await the_plan(installed)).left == 0
    capsys.readouterr()
    with pytest.raises(NotConfigured, match=r"nothing to replay: 2 are marked as hand"):
        await run(settings, Asked(status=503))
    with pytest.raises(NotConfigured, match=r"nothing to handle: 2 are marked as hand"):
        await handle(settings, Asked(status=503))
    await cli.plan_replay(settings, Asked(), as_json=False)
    told = capsys.readouterr().out
    assert told.endswith("0 to replay; 2 marked as handled\n" + DEAD_LETTERS)
    await cli.list_replays(settings, limit=9, as_json=False)
    await cli.show_replay(settings, plan.id, as_json=False)
    told = capsys.readouterr().out
    assert f"by {cli.who()}" in told
    assert "gives failures up" in told
    assert "handled   2" in told
    assert told.count("refunded by hand") == 2


async def test_nobody_is_asked_where_nobody_is(
    settings: Settings, installed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script has to say --yes."""
    await fail(installed, IDS[0])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(NotConfigured, match="--yes"):
        await cli.run_replay(
            settings, Asked(), How(), every=True, yes=False, detach=True, as_json=False
        )
    assert await installed.replays.plans(limit=9) == []


async def test_an_operator_pauses_resumes_and_cancels(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done as it stands is refused with its state."""
    await installed.replays.add(replace(a_plan(), claimed=5, replayed=2))
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
    assert (await the_plan(installed)).changed_by == cli.who()
    given_up = replace(a_plan("H1"), kind=ReplayKind.HANDLE, claimed=2, handled=2)
    await installed.replays.add(given_up)
    await cli.cancel_replay(settings, "H1")
    assert "H1 is cancelled: 2 stay marked as handled" in capsys.readouterr().out


async def test_who_asks_is_the_user_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By number where it has no name, as in a container."""
    monkeypatch.setattr("os.getuid", lambda: 4_294_967_000)
    assert cli.who() == "cli:4294967000"
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert cli.who() == "cli:root"


async def test_plans_are_listed_and_shown(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, one in words, and both as JSON."""
    await cli.list_replays(settings, limit=9, as_json=False)
    assert capsys.readouterr().out == "no replay was made yet\n"
    plan = replace(a_plan(), claimed=5, replayed=3, well=2, ill=1, note="the night's")
    await installed.replays.add(plan)
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
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Done is well; a canary that has stopped it is told as such."""
    plan = replace(a_plan(state=replaying.ReplayState.RUNNING), made_at=utc_now())
    await installed.replays.add(plan)
    following = asyncio.create_task(cli.follow_replay(settings, "R1", as_json=False))
    await asyncio.sleep(0)
    assert await installed.replays.change(plan, replaying.finished(plan, NOW))
    await asyncio.wait_for(following, 10)
    told = capsys.readouterr().out
    assert "state     done" in told
    assert told.endswith(DEAD_LETTERS)

    stopped = replaying.stopped(replace(plan, id="R2"), "1 of 1 failed again")
    await installed.replays.add(stopped)
    with pytest.raises(NotDone, match="R2 is paused, 0 left"):
        await cli.follow_replay(settings, "R2", as_json=False)
    assert "paused: 1 of 1 failed again" in capsys.readouterr().out
