"""The listening end of systemd's sd_notify protocol."""

import asyncio
import secrets
import socket
from types import TracebackType
from typing import Self

#: Far more than the few words of one message.
MESSAGE_BYTES_MAX = 4_096


class NotifySocket:
    """Hears one process say that it is ready.

    The socket has an unguessable name in Linux's abstract namespace: no length limit of
    paths, and no file that could be left behind.
    """

    def __init__(self) -> None:
        self.address = f"@session-chain-{secrets.token_hex(16)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        """Open the ear."""
        self._socket.setblocking(False)
        self._socket.bind("\0" + self.address[1:])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hear no more."""
        self._socket.close()

    async def ready(self) -> None:
        """Wait for `READY=1`; other news is passed over."""
        loop = asyncio.get_running_loop()
        said = b""
        while b"READY=1" not in said.split(b"\n"):
            said = await loop.sock_recv(self._socket, MESSAGE_BYTES_MAX)
