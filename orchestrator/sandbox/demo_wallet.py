"""The one wallet of the page: what it is doing, and who waits for its next change."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from pydantic import JsonValue

from orchestrator.sandbox.credentials import Way
from orchestrator.sandbox.user import Question
from orchestrator.sandbox.wallet import Outcome, Wallet
from schemas.irma import InvalidDocument, SessionPointer, StaticPointer
from schemas.irma.documents import built, decoded

#: How long a browser waits for news at a time; an answer is cut off only later.
NEWS_S: Final = 2.0


class Phase(StrEnum):
    """What the wallet is at."""

    IDLE = "idle"
    WORKING = "working"
    PAIRING = "pairing"
    ASKING = "asking"
    ENDED = "ended"


class InvalidPointer(ValueError):
    """What was scanned is no session."""


def parse_pointer(text: str) -> SessionPointer | StaticPointer:
    """The pointer in what a QR holds, or in a link that opens the app."""
    text = text.strip()
    if text.startswith(("https://", "http://")):
        text = text.partition("#")[2]
    if text.startswith("%"):
        text = unquote(text)
    try:
        pointer = _pointer(decoded(text, InvalidDocument))
    except InvalidDocument as fault:
        raise InvalidPointer(f"This is no session pointer: {fault.message}") from None
    if not pointer.u.startswith(("https://", "http://")):
        raise InvalidPointer("This is no session pointer: u is no web address")
    return pointer


def _pointer(document: JsonValue) -> SessionPointer | StaticPointer:
    match document:
        case {"irmaqr": "redirect"}:
            return built(StaticPointer, document, InvalidDocument)
        case _:
            return built(SessionPointer, document, InvalidDocument)


class Scan:
    """One chain in the hands of the person at the page, who is the wallet's user."""

    def __init__(
        self, pointer: SessionPointer | StaticPointer, changed: Callable[[], None]
    ) -> None:
        self.pointer = pointer
        self.code: str | None = None
        self.question: Question | None = None
        self.outcome: Outcome | None = None
        self._changed = changed
        self._declined = False
        self._answer: asyncio.Future[Sequence[Way] | None] | None = None

    @property
    def phase(self) -> Phase:
        """What the person sees."""
        if self.outcome is not None:
            return Phase.ENDED
        if self.question is not None:
            return Phase.ASKING
        return Phase.WORKING if self.code is None else Phase.PAIRING

    async def pairing(self, code: str) -> bool:
        """The code is shown until the frontend has it, or the person declines."""
        if code != self.code:
            self.code = code
            self._changed()
        return not self._declined

    async def answer(self, question: Question) -> Sequence[Way] | None:
        """Wait for the person to press a button."""
        if self._declined:
            return None
        self.code = None
        self.question = question
        self._answer = asyncio.get_running_loop().create_future()
        self._changed()
        return await self._answer

    def share(self, chosen: Sequence[Way]) -> None:
        """The person shares."""
        self._settle(chosen)

    def decline(self) -> None:
        """The person declines, this question and all that follow."""
        self._declined = True
        self._settle(None)

    def end(self, outcome: Outcome) -> None:
        """The chain is over."""
        self.outcome = outcome
        self._changed()

    def _settle(self, chosen: Sequence[Way] | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(chosen)
            self.question = None
            self._changed()


class DemoWallet:
    """A wallet, what was scanned last and the number of what is shown."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.revision = 1
        self.scan: Scan | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    @property
    def phase(self) -> Phase:
        """What the wallet is at."""
        return Phase.IDLE if self.scan is None else self.scan.phase

    def start(self, text: str, *, again: bool) -> None:
        """Scan a pointer; what was going on is declined.

        A link to one session that is opened twice is scanned once, unless somebody wants
        it again.
        """
        pointer = parse_pointer(text)
        if self.scan is not None:
            known = isinstance(pointer, SessionPointer) and pointer == self.scan.pointer
            if known and not again:
                return
            self.scan.decline()
        self.scan = Scan(pointer, self._changed)
        run = asyncio.create_task(self._play(self.scan))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        self._changed()

    async def news(self, after: str) -> None:
        """Wait until what is shown is not what the caller knows, but not for long."""
        if str(self.revision) == after:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NEWS_S):
                    await self._news.wait()

    async def close(self) -> None:
        """Stop whatever is going on."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def _play(self, scan: Scan) -> None:
        scan.end(await self.wallet.play(scan.pointer, scan))

    def _changed(self) -> None:
        self.revision += 1
        self._news.set()
        self._news = asyncio.Event()
