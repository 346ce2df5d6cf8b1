"""Free TCP ports on the loopback interface."""

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
#: Below Linux's range for outgoing connections (32768 on), which takes ports any time.
PORTS = range(20_000, 32_000)
#: With a random start, more misses than this mean a machine without free ports.
TRIES = 1_000


def free_ports(count: int, chance: random.Random) -> tuple[int, ...]:
    """`count` different ports that were free a moment ago; another may be quicker."""
    with ExitStack() as held:
        return tuple(_hold_one(held, chance) for _ in range(count))


def taken(ports: Iterable[int]) -> tuple[int, ...]:
    """Which of the ports someone listens on."""
    return tuple(port for port in ports if not _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: what is left of closed connections takes no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _hold_one(held: ExitStack, chance: random.Random) -> int:
    for _ in range(TRIES):
        port = chance.choice(PORTS)
        holder = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        try:
            holder.bind((LOOPBACK, port))
        except OSError:
            continue
        return port
    message = f"no free port on {LOOPBACK} between {PORTS.start} and {PORTS.stop}"
    raise OSError(message)
