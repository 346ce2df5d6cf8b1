"""POSTing to endpoints as an IRMA server's HTTP client does (reference irma.md §7.3).

Three attempts on transport errors only, redirects followed as Go follows them, one budget
for everything, a fresh client for each call.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from orchestrator.sandbox.faults import PostFailed

BUDGET_S: Final = 20.0
PAUSES_S: Final = (0.1, 0.2)
REDIRECTS_MAX: Final = 10

_BECOMES_GET: Final = frozenset({301, 302, 303})
_POSTED_AGAIN: Final = frozenset({307, 308})
_NOT_GOS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered."""

    status: int
    body: bytes


class Outbound:
    """The client that posts results."""

    def __init__(
        self, budget_s: float = BUDGET_S, pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._budget_s = budget_s
        self._pauses_s = pauses_s

    async def post(
        self, url: str, body: bytes, content_type: str, answers_lost: int = 0
    ) -> Answer:
        """Post a body and return whatever HTTP answer there is.

        So many answers get lost on their way, each an attempt for nothing (trap T9).
        """
        reason = "context deadline exceeded"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._budget_s), _client() as client:
                for pause_s in (*self._pauses_s, None):
                    try:
                        answer = await _follow(client, url, body, content_type)
                        if not answers_lost:
                            return answer
                        answers_lost, reason = answers_lost - 1, "EOF"
                    except (aiohttp.ClientError, OSError, ValueError) as fault:
                        reason = _reason(fault)
                    if pause_s is not None:
                        await asyncio.sleep(pause_s)
        attempts = len(self._pauses_s) + 1
        raise PostFailed(
            f'POST {url} giving up after {attempts} attempt(s): Post "{url}": {reason}'
        )


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        skip_auto_headers=_NOT_GOS,
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def _follow(
    client: aiohttp.ClientSession, url: str, body: bytes, content_type: str
) -> Answer:
    target = URL(url, encoded=True)
    headers = {
        "User-Agent": "irmago",
        "Content-Type": content_type,
        "Accept-Encoding": "gzip",
    }
    method, data = "POST", body
    for _ in range(REDIRECTS_MAX + 1):
        if target.scheme not in {"http", "https"}:
            raise PostFailed(f'Post "{url}": unsupported protocol scheme')
        async with client.request(
            method, target, data=data, headers=headers, allow_redirects=False
        ) as response:
            answer = Answer(response.status, await response.read())
            location = response.headers.get("Location")
        if location is None or answer.status not in _BECOMES_GET | _POSTED_AGAIN:
            return answer
        headers["Referer"] = str(target)
        target = target.join(URL(location))
        if answer.status in _BECOMES_GET:
            method, data = "GET", b""
            headers.pop("Content-Type", None)
    raise PostFailed(f'Post "{url}": stopped after {REDIRECTS_MAX} redirects')


def _reason(fault: Exception) -> str:
    """Go's word for a connection that ended without an answer, else the kind of fault."""
    if isinstance(fault, aiohttp.ServerDisconnectedError):
        return "EOF"
    return type(fault).__name__
