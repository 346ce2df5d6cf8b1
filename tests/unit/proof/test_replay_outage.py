"""What a run of the proof notes of kills and of windows that it could not have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from orchestrator.proof import replay_outage
from orchestrator.proof.replay_books import Kill, Victim
from orchestrator.proof.replay_command import CommandError
from orchestrator.proof.replay_outage import Run
from orchestrator.proof.replay_scene import Course, Scene

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from orchestrator.local.rabbitmq import PrivateNode

COURSE = Course(chains=100, pace=20.0, broker_away_s=0.0)


class Installation:
    """Notes what is done to it; its plan has replayed more each time one looks."""

    def __init__(self) -> None:
        """Nothing was done."""
        self.did: list[str] = []
        self.looks = 0
        self.processes = SimpleNamespace(kill=self.kill, pid=lambda _: 1)
        self.replays = SimpleNamespace(plan=self.plan)
        self.start_worker = self.started

    async def kill(self, name: str) -> None:
        """A process."""
        self.did.append(f"kill {name}")

    async def started(self, name: str) -> None:
        """A process again."""
        self.did.append(f"start {name}")

    async def plan(self, _: str) -> SimpleNamespace:
        """It goes on."""
        self.looks += 1
        return SimpleNamespace(replayed=self.looks * 40)


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Nothing runs."""
    monkeypatch.setattr(replay_outage, "_LOOK_S", 0.0)
    monkeypatch.setattr(replay_outage, "memory_mb", lambda *_: 80.0)
    return Installation()


def run_of(
    installation: Installation, said: list[str], node: PrivateNode | None = None
) -> Run:
    """A run on it."""
    scene = SimpleNamespace(
        stack=installation, store=installation, replays=installation.replays
    )
    return Run(cast("Scene", scene), COURSE, node, said.append)


COMMAND = cast("Process", SimpleNamespace(returncode=None))


async def test_a_broker_that_is_not_ours_is_spared(installation: Installation) -> None:
    """The worker is killed all the same; what to do about the broker is told."""
    said: list[str] = []
    run = run_of(installation, said)
    await run.kill_both("R", COMMAND)
    assert installation.did == ["kill replay", "start replay"]
    assert [kill.what for kill in run.killed] == [Victim.WORKER]
    (why,) = run.spared
    assert "RABBITMQ_URL" in why
    assert "unset it" in why
    assert said[-1].endswith(why)


async def test_each_kill_is_noted_with_what_was_replayed(
    installation: Installation,
) -> None:
    """As the plan stands when it is dead."""

    async def kill() -> None:
        installation.did.append("kill broker")

    async def start() -> None:
        installation.did.append("start broker")

    node = cast("PrivateNode", SimpleNamespace(kill=kill, start=start))
    run = run_of(installation, [], node)
    await run.kill_both("R", COMMAND)
    assert installation.did == [
        "kill replay",
        "start replay",
        "kill broker",
        "start broker",
    ]
    assert run.killed == [
        Kill(what=Victim.WORKER, replayed=120),
        Kill(what=Victim.BROKER, replayed=200),
    ]
    assert run.spared == []


async def test_a_command_that_fails_ends_the_windows_and_is_told(
    installation: Installation,
) -> None:
    """So that the promise which is broken by it says why."""

    async def pause(_: str) -> None:
        raise CommandError("it is done")

    installation.replays = SimpleNamespace(pause=pause)
    run = run_of(installation, [])
    await run.look("R")
    assert (run.windows, run.cut_short) == ([], "it is done")
