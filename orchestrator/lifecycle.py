"""The life of a process: it says when it is ready, and how it is."""

import asyncio
import socket
from contextlib import suppress


async def notify_ready(address: str | None) -> None:
    """Send `READY=1` to the datagram socket at `address`; without one, nobody waits.

    The address is the value of `NOTIFY_SOCKET`, see sd_notify(3): a path, or a name in
    the abstract namespace with a leading `@`.
    """
    if address is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sender, _kernel_address(address))
        await loop.sock_sendall(sender, b"READY=1")


def notify_status(address: str | None, status: str) -> None:
    """Send `STATUS=`, a line for people, to whoever still listens.

    Some that start a process hear no more of it than that it is ready.
    """
    if address is None:
        return
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        suppress(OSError),
    ):
        sender.setblocking(False)
        sender.sendto(f"STATUS={status}".encode(), _kernel_address(address))


def _kernel_address(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
