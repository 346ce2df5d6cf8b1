"""Real processes under test: what they run, and how their end is awaited."""

import asyncio
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: Longer than a process of ours needs to end on a busy machine.
SOON_S = 20.0

#: 127.0.0.1 and ::1 as /proc/net writes them, see proc(5).
IPV4, IPV6 = "0100007F", "00000000000000000000000001000000"
#: The state TCP_LISTEN there.
LISTENING = "0A"

#: Says it is ready; on SIGTERM writes its name to the journal and ends with code 7.
OBEDIENT = """
import asyncio, os, signal, sys
from pathlib import Path
from orchestrator.lifecycle import notify_ready

async def main() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print("here I am", flush=True)
    await notify_ready(os.environ.get("NOTIFY_SOCKET"))
    await told.wait()
    with Path("journal").open("a") as journal:
        journal.write(os.environ.get("NAME", "?") + "\\n")
    sys.exit(7)

asyncio.run(main())
"""

#: Says it is ready and takes no notice of SIGTERM.
DEAF = """
import asyncio, os, signal
from orchestrator.lifecycle import notify_ready

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background jobs ignore it
asyncio.run(notify_ready(os.environ.get("NOTIFY_SOCKET")))
while True:
    signal.pause()
"""


def python(code: str, *arguments: str) -> list[str]:
    """The command line that runs this Python program."""
    return [sys.executable, "-c", code, *arguments]


async def ended(pids: Iterable[int], within_s: float = SOON_S) -> None:
    """Wait until all processes have ended; they need not be children of ours."""
    async with asyncio.timeout(within_s):
        for pid in pids:
            await _ended(pid)


async def _ended(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, end.set)
    try:
        await end.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def processes_of(run_dir: Path) -> dict[int, str]:
    """Every process of this machine whose environment names the folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            name = (process / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(run_dir).encode() in environment:
            found[int(process.name)] = name
    return found


def listening_addresses(pids: Iterable[int]) -> set[str]:
    """The addresses on which these processes accept TCP, as /proc/net writes them."""
    sockets: set[str] = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                sockets.add(f"{link.readlink()}")
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {
        row[1].partition(":")[0]
        for row in rows
        if row[3] == LISTENING and f"socket:[{row[9]}]" in sockets
    }
