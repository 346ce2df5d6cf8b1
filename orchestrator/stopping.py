"""Which signals end a process in good order, and who hears them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: What ends a process in good order.
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def hear(stop: Callable[[], None]) -> None:
    """Call `stop` on these signals, in the place of whoever heard them until now."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)


@contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on these signals; at the end nobody hears them any more."""
    hear(stop)
    try:
        yield
    finally:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
