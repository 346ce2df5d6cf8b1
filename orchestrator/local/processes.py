"""Child processes of one machine: started ready, watched, stopped in order, none left.

Each child is tethered (`tether.py`): it leads a group of its own, so that Ctrl-C reaches
only the one who stops them in order, and where this process dies, even by kill -9, the
kernel kills the child.
"""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from orchestrator.local import tether
from orchestrator.local.notifications import NotifySocket
from orchestrator.local.together import together

#: A process has 25 s to finish what is in hand after SIGTERM (DESIGN G9), and some to go.
STOP_TIMEOUT_S = 30.0
#: Interpreter, imports and first connections on a busy machine of two cores.
READY_TIMEOUT_S = 30.0
#: A child gets this and what its starter names; our own environment is not passed on, so
#: that a run depends on nothing that was not said.
BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
#: Enough of a log to hold a traceback.
TAIL_LINES = 40
#: How far from its end a log is read for its tail.
TAIL_BYTES = 16_384


class ProcessError(Exception):
    """A process that did not start; the text says why and quotes the end of its log."""


@dataclass(frozen=True)
class Exited:
    """A process that ended though nobody had stopped it; code -N stands for signal N."""

    name: str
    exit_code: int
    log: Path

    def __str__(self) -> str:
        """Who ended, how, and the last words."""
        return f"{self.name} ended by itself ({_how(self.exit_code)}){_tail(self.log)}"


@dataclass
class _Child:
    name: str
    process: asyncio.subprocess.Process
    log: Path
    #: Nobody stopped it, so its end would be news.
    is_watched: bool = False
    #: What it was asked to end by: a second time would hit its last moments.
    asked: signal.Signals | None = None
    ended: asyncio.Task[int] = field(init=False)


class Processes:
    """Starts, watches and stops named child processes; on leaving, in reverse order."""

    def __init__(
        self, run_dir: Path, *, on_exit: Callable[[Exited], None] | None = None
    ) -> None:
        self._run_dir = run_dir
        self._on_exit = on_exit
        self._children: dict[str, _Child] = {}
        self._exited: list[Exited] = []
        self._lock: IO[str] | None = None

    async def __aenter__(self) -> Self:
        """Take the run folder for this run alone."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._run_dir.chmod(0o700)  # logs and data are for nobody else's eyes
        (self._run_dir / "logs").mkdir(exist_ok=True)
        self._lock = _locked(self._run_dir / "lock")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what still runs, the youngest first; kill it if even that is cut short."""
        try:
            for name in reversed(tuple(self._children)):
                await self.stop(name)
        finally:
            for name in reversed(tuple(self._children)):
                await self.kill(name)
            if self._lock is not None:
                self._lock.close()

    async def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], Awaitable[None]] | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
        cwd: Path | None = None,
        user: str | None = None,
        niceness: int = 0,
    ) -> int:
        """Start a program and return its process id once it is ready.

        Ready is what `ready` waits for, or the program's own `READY=1` (sd_notify). It
        runs in the run folder and as ourselves, unless `cwd` and `user` say otherwise;
        the nicer it is, the more it leaves to others where all want the processors.

        Raises:
            ProcessError: the name is taken, or the program ended or said nothing in time.
        """
        if self.runs(name):
            raise ProcessError(f"{name} runs already")
        self._children.pop(name, None)  # one that ended: the new one is the youngest
        with NotifySocket() as notify:
            said = {} if ready else {"NOTIFY_SOCKET": notify.address}
            child = await self._spawn(
                name,
                argv,
                {**BASE_ENV, **(env or {}), **said},
                cwd=cwd,
                user=user,
                niceness=niceness,
            )
            async with AsyncExitStack() as unless_ready:
                # Also when cancelled: nothing half-started is left behind.
                unless_ready.push_async_callback(self._killed, child)
                await _until_ready(child, ready or notify.ready, ready_timeout_s)
                unless_ready.pop_all()
        child.is_watched = True
        return child.process.pid

    async def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        """Run a program to its end.

        Raises:
            ProcessError: it failed; the text quotes the end of its log.
        """
        child = await self._spawn(name, argv, BASE_ENV, cwd=cwd, user=user)
        try:
            exit_code = await asyncio.shield(child.ended)
        finally:
            await self._killed(child)
        if exit_code:
            raise ProcessError(f"{name} failed ({_how(exit_code)}){_tail(child.log)}")

    async def stop(
        self,
        name: str,
        *,
        timeout_s: float = STOP_TIMEOUT_S,
        by: signal.Signals = signal.SIGTERM,
    ) -> int | None:
        """Ask a process to end and kill it after `timeout_s`; its exit code.

        None if it is gone already: a start that was cut short ends its own.
        """
        child = self._children.get(name)
        if child is None:
            return None
        child.is_watched = False
        if child.asked is not by:
            child.asked = by
            _signal(child, by)
        _signal(child, signal.SIGCONT)  # a frozen process could not hear the other
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(child.ended)
        except TimeoutError:
            pass
        return await self._killed(child)

    async def stop_all(self) -> None:
        """Stop everything at once, for children that do not need each other to stop."""
        await together(*(self.stop(name) for name in tuple(self._children)))

    async def kill(self, name: str) -> int | None:
        """End a process by SIGKILL, with whatever is left of its group; as `stop`."""
        child = self._children.get(name)
        return None if child is None else await self._killed(child)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process; one that has ended takes no notice."""
        _signal(self._child(name), number)

    async def wait(self, name: str) -> int:
        """Wait until a process ends; its exit code."""
        return await asyncio.shield(self._child(name).ended)

    def runs(self, name: str) -> bool:
        """Whether a process was started and has not ended."""
        return name in self._children and not self._children[name].ended.done()

    def pid(self, name: str) -> int:
        """The process id, which is also that of its group."""
        return self._child(name).process.pid

    def log(self, name: str) -> Path:
        """Where the process' output goes, all its runs in one file."""
        return self._run_dir / "logs" / f"{name}.log"

    def exited(self) -> tuple[Exited, ...]:
        """What ended so far though nobody had stopped it, the first one first."""
        return tuple(self._exited)

    async def _spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: Path | None,
        user: str | None,
        niceness: int = 0,
    ) -> _Child:
        log = self.log(name)
        as_user = user or tether.SAME_USER
        tethered = (tether.__file__, str(os.getpid()), as_user, str(niceness))
        with _appending(log) as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", *tethered, *argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd or self._run_dir,
            )
        child = _Child(name, process, log)
        child.ended = asyncio.create_task(self._watch(child), name=f"watch {name}")
        self._children[name] = child
        return child

    async def _watch(self, child: _Child) -> int:
        exit_code = await child.process.wait()
        _kill_group(child.process.pid)
        if child.is_watched:
            news = Exited(child.name, exit_code, child.log)
            self._exited.append(news)
            if self._on_exit is not None:
                self._on_exit(news)
        return exit_code

    async def _killed(self, child: _Child) -> int:
        child.is_watched = False
        _signal(child, signal.SIGKILL)  # it may not have a group of its own yet
        _kill_group(child.process.pid)
        exit_code = await asyncio.shield(child.ended)
        if self._children.get(child.name) is child:
            del self._children[child.name]
        return exit_code

    def _child(self, name: str) -> _Child:
        try:
            return self._children[name]
        except KeyError:
            raise ProcessError(f"no process is named {name}") from None


async def _until_ready(
    child: _Child, ready: Callable[[], Awaitable[None]], timeout_s: float
) -> None:
    waiting = asyncio.ensure_future(ready())
    try:
        await asyncio.wait(
            {waiting, child.ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if child.ended.done():
            how = _how(child.ended.result())
            raise ProcessError(
                f"{child.name} ended before it was ready ({how}){_tail(child.log)}"
            )
        if not waiting.done():
            raise ProcessError(
                f"{child.name} was not ready within {timeout_s:g} s{_tail(child.log)}"
            )
        await waiting
    finally:
        waiting.cancel()


def _signal(child: _Child, number: signal.Signals) -> None:
    # Not process.send_signal: up to Python 3.12 it may reap the child before asyncio
    # does, and the exit code is lost.
    if not child.ended.done():
        with suppress(ProcessLookupError):
            os.kill(child.process.pid, number)


def _kill_group(leader_pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader_pid, signal.SIGKILL)


def _locked(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ProcessError(
            f"another run uses {path.parent}: end that one, or name another run folder"
        ) from None
    return file


def _appending(log: Path) -> IO[bytes]:
    return log.open("ab")


def _how(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    if not lines:
        return f"; it wrote nothing to {log}"
    return "\n".join([f"; the end of {log}:", *(f"  {line}" for line in lines)])
