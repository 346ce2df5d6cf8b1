"""An app that repeats a request gets the same answer again (reference irma.md §4.5).

One answer is kept per session: for the same path and body, soon enough, and while the
session is what that answer left behind. Nothing is done twice, errors are kept as well.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import SANDBOX, body_of, refusal_response
from orchestrator.sandbox.sessions import Session
from schemas.irma import ErrorKind, Status

#: How long after a session's last activity its last answer is given again.
KEPT_S: Final = 10


@dataclass(frozen=True)
class Given:
    """An answer, and what it was the answer to."""

    path: str
    body: bytes
    left: Status
    active_at: float
    http_status: int
    answer: bytes

    def answers(self, path: str, body: bytes, session: Session, now: float) -> bool:
        """Whether a request gets this answer once more."""
        return (path, body, session.status) == (
            self.path,
            self.body,
            self.left,
        ) and now - session.last_active <= KEPT_S


#: The last answer of each session, by its client token.
GIVEN: Final = web.AppKey("given", dict[str, Given])


async def repeatable(
    request: web.Request,
    session: Session,
    handler: Callable[[web.Request, Session], Awaitable[web.Response]],
) -> web.Response:
    """Answer an app's request, or give the answer it did not get."""
    body = await body_of(request, ErrorKind.MALFORMED_INPUT)
    given = request.app[GIVEN].get(session.client_token)
    now = request.app[SANDBOX].clock()
    if given is not None and given.answers(request.path, body, session, now):
        # The server does not say what it is that it kept; its library takes it for text.
        return web.Response(
            status=given.http_status,
            text=given.answer.decode(),
            content_type="text/plain",
        )
    try:
        response = await handler(request, session)
    except Refused as refusal:
        response = refusal_response(refusal)
    _keep(request, session.client_token, body, response)
    return response


def _keep(request: web.Request, token: str, body: bytes, response: web.Response) -> None:
    sandbox = request.app[SANDBOX]
    session = sandbox.store.by_client(token)
    if session is None:
        return
    kept = request.app[GIVEN]
    forgotten = sandbox.clock() - KEPT_S
    for other in [one for one in kept if kept[one].active_at < forgotten]:
        del kept[other]
    answer = response.body if isinstance(response.body, bytes) else b""
    kept[token] = Given(
        request.path, body, session.status, session.last_active, response.status, answer
    )
