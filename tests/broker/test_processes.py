"""Supervising real child processes."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.local import tether
from orchestrator.local.processes import Exited, ProcessError, Processes
from tests.broker.local_support import DEAF, OBEDIENT, SOON_S, ended, python


async def test_a_started_process_is_ready_and_logs(tmp_path: Path) -> None:
    """After the start the program has said READY=1, and its output is in its log."""
    async with Processes(tmp_path) as processes:
        pid = await processes.start("one", python(OBEDIENT))
        assert processes.pid("one") == pid
        assert processes.log("one").read_text() == "here I am\n"
        assert processes.runs("one")


async def test_stop_lets_a_process_finish(tmp_path: Path) -> None:
    """A stopped process gets SIGTERM, and its own exit code is handed back."""
    async with Processes(tmp_path) as processes:
        await processes.start("one", python(OBEDIENT))
        assert await processes.stop("one") == 7
        assert not processes.runs("one")


async def test_stop_kills_a_process_that_does_not_listen(tmp_path: Path) -> None:
    """After its time a process that ignores SIGTERM is killed."""
    async with Processes(tmp_path) as processes:
        await processes.start("deaf", python(DEAF))
        assert await processes.stop("deaf", timeout_s=0.1) == -signal.SIGKILL


async def test_stop_wakes_a_frozen_process(tmp_path: Path) -> None:
    """A process that was frozen by SIGSTOP still ends in order."""
    async with Processes(tmp_path) as processes:
        await processes.start("one", python(OBEDIENT))
        processes.signal("one", signal.SIGSTOP)
        assert await processes.stop("one") == 7


async def test_an_early_end_is_an_error_with_the_last_words(tmp_path: Path) -> None:
    """A program that ends before it is ready is an error that quotes its log."""
    async with Processes(tmp_path) as processes:
        with pytest.raises(ProcessError, match=r"exit code 3(?s:.)*no such table"):
            await processes.start("one", python("print('no such table'); exit(3)"))
        assert not processes.runs("one")
        assert processes.exited() == ()


async def test_a_missing_program_is_an_error_with_its_name(tmp_path: Path) -> None:
    """A program that does not exist is named."""
    async with Processes(tmp_path) as processes:
        with pytest.raises(ProcessError, match="no-such-program cannot be run"):
            await processes.start("one", ["no-such-program"])


async def test_a_program_is_run_to_its_end(tmp_path: Path) -> None:
    """It runs where it was told; one that fails is an error that quotes its log."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    async with Processes(tmp_path) as processes:
        await processes.run("good", python("open('here', 'w')"), cwd=folder)
        assert (folder / "here").exists()
        assert not processes.runs("good")
        with pytest.raises(
            ProcessError, match=r"bad failed \(exit code 3\)(?s:.)*no disk"
        ):
            await processes.run("bad", python("print('no disk'); exit(3)"))


async def test_stop_asks_by_the_signal_that_the_program_knows(tmp_path: Path) -> None:
    """Not every program takes SIGTERM for a wish to end at once."""
    async with Processes(tmp_path) as processes:
        await processes.start("one", python(DEAF))
        assert await processes.stop("one", by=signal.SIGQUIT) == -signal.SIGQUIT


async def test_a_silent_process_is_killed(tmp_path: Path) -> None:
    """A program that is never ready is an error after its time, and is gone."""
    async with Processes(tmp_path) as processes:
        with pytest.raises(
            ProcessError, match=r"not ready within 0\.2 s; it wrote nothing"
        ):
            await processes.start(
                "mute", python("import signal; signal.pause()"), ready_timeout_s=0.2
            )
        assert not processes.runs("mute")


async def test_an_unexpected_end_is_reported(tmp_path: Path) -> None:
    """A process that is killed from outside is reported once, one that we stop is not."""
    reported: list[Exited] = []
    async with Processes(tmp_path, on_exit=reported.append) as processes:
        await processes.start("stopped", python(OBEDIENT))
        await processes.start("killed", python(OBEDIENT))
        await processes.stop("stopped")
        processes.signal("killed", signal.SIGKILL)
        assert await processes.wait("killed") == -signal.SIGKILL
    assert [(news.name, news.exit_code) for news in reported] == [("killed", -9)]
    assert processes.exited() == tuple(reported)
    assert "killed ended by itself (signal 9)" in str(reported[0])
    assert "here I am" in str(reported[0])


async def test_a_name_is_free_again_after_the_end(tmp_path: Path) -> None:
    """A running name is refused; after its end the next run adds to the same log."""
    async with Processes(tmp_path) as processes:
        await processes.start("one", python(OBEDIENT))
        with pytest.raises(ProcessError, match="one runs already"):
            await processes.start("one", python(OBEDIENT))
        processes.signal("one", signal.SIGKILL)
        await processes.wait("one")
        await processes.start("one", python(OBEDIENT))
        assert processes.log("one").read_text() == "here I am\n" * 2


async def test_all_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    """On leaving, the youngest process ends first, each before the next is told."""
    async with Processes(tmp_path) as processes:
        for name in ("broker", "worker", "gateway"):
            await processes.start(name, python(OBEDIENT), env={"NAME": name})
    journal = (tmp_path / "journal").read_text()
    assert journal.split() == ["gateway", "worker", "broker"]


async def test_independent_processes_are_stopped_at_once(tmp_path: Path) -> None:
    """Each waits with its end until the other was told too; neither has to be killed."""
    waits_for_all = OBEDIENT.replace(
        "sys.exit(7)",
        "while Path('journal').read_text().count('\\n') < 2:\n"
        "        await asyncio.sleep(0.01)",
    )
    async with Processes(tmp_path) as processes:
        for name in ("one", "two"):
            await processes.start(name, python(waits_for_all), env={"NAME": name})
        async with asyncio.timeout(SOON_S):
            await processes.stop_all()
        assert not processes.runs("one")
        assert not processes.runs("two")


async def test_a_name_that_is_gone_is_ended_already(tmp_path: Path) -> None:
    """Whoever ends a process that somebody else has ended learns no exit code."""
    async with Processes(tmp_path) as processes:
        await processes.start("one", python(OBEDIENT))
        both = tuple(await asyncio.gather(processes.stop("one"), processes.stop("one")))
        assert both == (7, 7)
        assert await processes.stop("one") is None
        assert await processes.kill("one") is None


async def test_a_start_that_is_cut_short_leaves_in_peace(tmp_path: Path) -> None:
    """A cancelled start kills what it started, however that meets the end of all."""
    spawned = asyncio.Event()

    async def never() -> None:
        spawned.set()
        await asyncio.Event().wait()

    async with Processes(tmp_path) as processes:
        starting = asyncio.create_task(processes.start("slow", python(DEAF), ready=never))
        await spawned.wait()
        pid = processes.pid("slow")
        starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    assert starting.cancelled()
    await ended([pid])


async def test_logs_are_for_nobody_elses_eyes(tmp_path: Path) -> None:
    """The run folder is ours alone, also where it was there before."""
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o755)
    async with Processes(run_dir):
        assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700


async def test_a_nice_process_leaves_the_processors_to_others(tmp_path: Path) -> None:
    """Also where the kernel weighs sessions first: it stays in ours."""
    async with Processes(tmp_path) as processes:
        pid = await processes.start("nice", python(OBEDIENT), niceness=7)
        ours = os.getpriority(os.PRIO_PROCESS, 0)  # these tests may be nice themselves
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(ours + 7, 19)
        assert os.getsid(pid) == os.getsid(0)
        assert os.getpgid(pid) == pid  # and Ctrl-C does not reach it


async def test_an_idle_process_runs_only_while_nobody_else_wants_to(
    tmp_path: Path,
) -> None:
    """The kernel knows it by its scheduling policy, not by a niceness."""
    async with Processes(tmp_path) as processes:
        pid = await processes.start("idle", python(OBEDIENT), niceness=tether.IDLE)
        assert os.sched_getscheduler(pid) == os.SCHED_IDLE


async def test_a_process_takes_its_helpers_along(tmp_path: Path) -> None:
    """What a program started in its own group does not outlive it."""
    starts_one = f"""
import subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", {DEAF!r}])
print(helper.pid, flush=True)
"""
    async with Processes(tmp_path) as processes:
        # The helper says that it is ready, by the socket that it inherits.
        await processes.start("one", python(starts_one + "helper.wait()"))
        helper_pid = int(processes.log("one").read_text())
        processes.signal("one", signal.SIGKILL)
        await ended([helper_pid])


async def test_a_run_folder_serves_one_run(tmp_path: Path) -> None:
    """While one run uses the folder, another one is refused and told what to do."""
    async with Processes(tmp_path):
        with pytest.raises(ProcessError, match="another run uses"):
            await Processes(tmp_path).__aenter__()
    async with Processes(tmp_path):
        pass  # free again


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from orchestrator.local.processes import Processes

async def main(run_dir: Path, programs: list[str]) -> None:
    async with Processes(run_dir) as processes:
        for number, program in enumerate(programs):
            print(await processes.start(str(number), [sys.executable, "-c", program]))
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
"""


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """After kill -9 of the supervising process its children are gone, even deaf ones."""
    supervisor = await asyncio.create_subprocess_exec(
        *python(SUPERVISOR, str(tmp_path), OBEDIENT, DEAF), stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    said = (await supervisor.stdout.readuntil(b"ready")).split()
    supervisor.kill()
    await supervisor.wait()
    await ended(int(pid) for pid in said[:2])
    assert not (tmp_path / "journal").exists()


async def test_a_tether_to_a_dead_process_starts_nothing(tmp_path: Path) -> None:
    """If the supervisor died before the tether held, the program never runs."""
    sign_of_life = tmp_path / "ran"
    nobody = str(2**22 + 1)  # above the highest process id there can be
    late = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", tether.__file__, nobody, tether.SAME_USER, "0"),
        *("touch", str(sign_of_life)),
    )
    assert await late.wait() == 1
    assert not sign_of_life.exists()
