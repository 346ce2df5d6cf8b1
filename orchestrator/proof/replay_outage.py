"""Chains fail while two of five endpoints are out, and one plan replays them.

Live traffic goes on all the time. Once the endpoints are well, `chainctl replay run` or a
`POST /replays` does anew what has failed; windows in which the replay is paused alternate
with such in which it runs; then its worker and the broker are killed. In the end the
endpoints' journal, the rows and the plan's account are compared (`replay_judging`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.local.rabbitmq import PrivateNode
from orchestrator.local.stack import Plan
from orchestrator.proof.ground import Ground
from orchestrator.proof.names import ReplayWay
from orchestrator.proof.replay_books import Books, Kill, Victim, Window
from orchestrator.proof.replay_command import CommandError, Replays, Told
from orchestrator.proof.replay_http import http_replays, operators
from orchestrator.proof.replay_in_hand import Handling, in_hand
from orchestrator.proof.replay_judging import promises_of
from orchestrator.proof.replay_kept import failures_of, kept, memory_mb, remains
from orchestrator.proof.replay_plans import until_plan
from orchestrator.proof.replay_scene import ENDPOINTS, HIT, Course, Scene, scene_of
from orchestrator.proof.replay_sheets import figures, sheets
from orchestrator.proof.replay_traffic import latencies
from orchestrator.proof.report import Report
from orchestrator.settings import load_settings
from schemas.messages import Lane

Say = Callable[[str], None]

_LOOK_S: Final = 0.25
_SAY_S: Final = 20.0
#: For what takes no longer, on a busy machine.
_BOUND_S: Final = 300.0
_CLEARED_S: Final = 300.0
_ERROR_CHARS: Final = 300

_PLAN: Final = Plan(endpoint=False, lanes=(Lane.REPLAY,), replays=True)

#: As the outage of the proof of delivery has it.
_NOT_OURS: Final = "RABBITMQ_URL's is not ours to kill; unset it for a private node"


async def prove(ground: Ground, say: Say, chains: int, by: ReplayWay) -> Report:
    """One installation, one outage, one replay."""
    course, token = Course.of(chains), secrets.token_urlsafe(24)
    plan = replace(_PLAN, overrides=operators(token))
    async with (
        ground.stack(plan) as stack,
        http_replays(stack.gateway_url, token) as by_http,
    ):
        replays = by_http if by is ReplayWay.HTTP else Replays(stack=stack)
        async with scene_of(stack, course, replays) as scene:
            books = await Run(scene, course, ground.broker.node, say).books()
    return Report(
        proof="outage",
        promises=promises_of(books),
        sheets=sheets(books),
        figures={"by": by, **figures(books)},
    )


@dataclass
class Run:
    """One run: what is done, and what was seen of it."""

    scene: Scene
    course: Course
    node: PrivateNode | None
    say: Say
    windows: list[Window] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    killed: list[Kill] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    cut_short: str = ""

    async def books(self) -> Books:
        """The whole run."""
        scene, course = self.scene, self.course
        async with scene.live.flowing():
            failing_took_s = await self._outage()
            self.say(f"the replay worker has {self._worker_mb():.1f} MB")
            began_s = time.monotonic()
            plan, complaint = await self._replay()
            took_s = time.monotonic() - began_s
        left = await remains(scene.stack, scene.store, _CLEARED_S)
        self.rss_mb.append(self._worker_mb())
        return Books(
            pace=course.pace,
            rate=course.rate,
            failed=scene.failing.urls_of,
            live={
                one: url
                for one, url in scene.live.urls_of.items()
                if one in scene.live.sent
            },
            rows=await kept(scene.rows.database),
            posts=scene.endpoints.posted(),
            windows=self._timed(),
            windows_min=course.windows_min,
            cut_short=self.cut_short,
            plan=plan,
            complaint=complaint,
            took_s=took_s,
            failing_took_s=failing_took_s,
            rss_mb=self.rss_mb,
            left=left,
            died=[one.name for one in scene.stack.processes.exited()],
            killed=self.killed,
            spared=self.spared,
            in_hand=in_hand(
                self.killed,
                self._handling(),
                unconfirmed=scene.live.unconfirmed + scene.failing.unconfirmed,
            ),
        )

    def _handling(self) -> Handling:
        callbacks = load_settings(self.scene.stack.config_file, {}).callbacks
        return Handling.of(_PLAN, prefetch=callbacks.concurrency, pace=self.course.pace)

    async def _outage(self) -> float:
        """Chains fail while two endpoints are out; how long that took."""
        scene, count = self.scene, self.course.chains
        await scene.endpoints.out(*HIT)
        self.say(f"{len(HIT)} of {ENDPOINTS} endpoints out; {count:,} chains fail")
        began_s = time.monotonic()
        await scene.failing.come(count)
        await _until(lambda: self._failed(count), _BOUND_S)
        took_s = time.monotonic() - began_s
        await scene.endpoints.out()
        self.say(f"all endpoints are well again; the chains failed in {took_s:.0f} s")
        return took_s

    async def _failed(self, count: int) -> bool:
        return await failures_of(self.scene.rows.database) >= count

    async def _replay(self) -> tuple[Told, str]:
        """One plan replays all, whatever is done meanwhile; a command follows it."""
        scene, course = self.scene, self.course
        preview = await scene.replays.preview()
        for group in preview.groups:
            told = f"{group.reason}, status {group.status}"
            self.say(f"to replay: {group.to_replay:,} ({told})")
        plan = await scene.replays.made(course.pace)
        self.say(f"plan {plan.id}: {course.pace:.3g} chains/s")
        telling = asyncio.create_task(self._tell(plan.id))
        try:
            # Whoever follows a plan is told when it is paused, and that ends the command.
            await self.look(plan.id)
            command_line = Replays(stack=scene.stack)
            async with command_line.following(plan.id) as command:
                await self.kill_both(plan.id, command)
                complaint = await self._complaint(plan.id, command)
        finally:
            telling.cancel()
        return await scene.replays.show(plan.id), complaint

    async def _complaint(self, replay_id: str, command: Process) -> str:
        """What the command complains of in the end, if it does; the plan is over then."""
        _, errors = await asyncio.wait_for(command.communicate(), self._patience_s)
        over = ("done", "paused", "cancelled")
        await until_plan(
            self.scene.rows.database,
            replay_id,
            lambda plan: plan.state in over,
            self._patience_s,
        )
        if not command.returncode:
            return ""
        return errors.decode()[-_ERROR_CHARS:].strip() or f"exit {command.returncode}"

    @property
    def _patience_s(self) -> float:
        return _BOUND_S + 3 * self.course.chains / self.course.pace

    async def look(self, replay_id: str) -> None:
        """The replay paused, then running, again and again."""
        replays = self.scene.replays
        for number in range(self.course.pairs):
            try:
                await replays.pause(replay_id)
                without = await self._window(replay_id, replaying=False)
                await replays.resume(replay_id)
            except CommandError as error:  # a busy machine, and few chains
                self.cut_short = str(error)
                self.say(f"no more than {number} pairs of windows: {error}")
                return
            beside = await self._window(replay_id, replaying=True)
            self.windows += [without, beside]

    async def _window(self, replay_id: str, *, replaying: bool) -> Window:
        """Some seconds of live traffic."""
        await asyncio.sleep(self.course.settle_s)
        before, from_s = await self._replayed(replay_id), time.monotonic()
        await asyncio.sleep(self.course.window_s)
        to_s, after = time.monotonic(), await self._replayed(replay_id)
        return Window(
            replaying=replaying,
            from_s=from_s,
            to_s=to_s,
            latencies_s=(),
            replayed=after - before,
        )

    def _timed(self) -> list[Window]:
        """The windows, once all that was sent has had the time to arrive."""
        received: dict[str, float] = {}
        for post in self.scene.endpoints.posted():
            received.setdefault(post.chain_id, post.at_s)
        sent = self.scene.live.sent
        return [
            replace(one, latencies_s=latencies(sent, received, one.from_s, one.to_s))
            for one in self.windows
        ]

    async def kill_both(self, replay_id: str, command: Process) -> None:
        """Kill -9 of the worker, then of the broker, in the middle."""
        course, processes = self.course, self.scene.stack.processes
        await self._until_replayed(replay_id, course.worker_at, command)
        self.rss_mb.append(self._worker_mb())
        await processes.kill("replay")
        await self._note(Victim.WORKER, replay_id)
        await self.scene.stack.start_worker("replay")
        await self._until_replayed(replay_id, course.broker_at, command)
        if self.node is None:
            self.spared.append(_NOT_OURS)
            self.say(f"{Victim.BROKER}: {_NOT_OURS}")
            return
        await self.node.kill()
        await self._note(Victim.BROKER, replay_id)
        await asyncio.sleep(course.broker_away_s)
        await self.node.start()
        self.say("the broker is back")

    async def _note(self, what: Victim, replay_id: str) -> None:
        kill = Kill(what=what, replayed=await self._replayed(replay_id))
        self.killed.append(kill)
        self.say(f"kill -9 of {kill} replayed")

    async def _until_replayed(
        self, replay_id: str, share: float, command: Process
    ) -> None:
        wanted = share * self.course.chains

        async def there() -> bool:
            over = command.returncode is not None
            return over or await self._replayed(replay_id) >= wanted

        await _until(there, self._patience_s)

    async def _replayed(self, replay_id: str) -> int:
        plan = await self.scene.store.replays.plan(replay_id)
        return 0 if plan is None else plan.replayed

    async def _tell(self, replay_id: str) -> None:
        while True:
            await asyncio.sleep(_SAY_S)
            self.say(f"{await self._replayed(replay_id):,} replayed")

    def _worker_mb(self) -> float:
        return memory_mb(self.scene.stack.processes.pid("replay"), "VmHWM")


async def _until(there: Callable[[], Awaitable[bool]], bound_s: float) -> None:
    async with asyncio.timeout(bound_s):
        while not await there():  # noqa: ASYNC110 - rows make no noise
            await asyncio.sleep(_LOOK_S)
