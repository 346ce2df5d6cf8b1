"""Calls an ASGI application in process, as an HTTP server would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from pydantic import JsonValue
from starlette.types import ASGIApp, Message, Scope


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the application answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> JsonValue:
        """The body as JSON."""
        return cast("JsonValue", json.loads(self.body))

    @property
    def fields(self) -> dict[str, JsonValue]:
        """The body as a JSON object."""
        found = self.json
        assert isinstance(found, dict), found
        return found


@dataclass(kw_only=True)
class Exchange:
    """One request and what was sent as its answer."""

    method: str
    path: str
    parts: Sequence[bytes] = (b"",)
    headers: Mapping[str, str] = field(default_factory=dict)
    taken: int = 0
    sent: list[Message] = field(default_factory=list)

    async def receive(self) -> Message:
        """The next part of the body; `taken` counts them."""
        part = self.parts[self.taken]
        self.taken += 1
        more = self.taken < len(self.parts)
        return {"type": "http.request", "body": part, "more_body": more}

    async def send(self, message: Message) -> None:
        """Keep what is answered."""
        self.sent.append(message)

    async def by(self, app: ASGIApp) -> Answer:
        """Let the application answer."""
        headers = [(k.lower().encode(), v.encode()) for k, v in self.headers.items()]
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await app(scope, self.receive, self.send)
        return self.answer

    @property
    def answer(self) -> Answer:
        """What was sent so far."""
        start, *rest = self.sent
        return Answer(
            status=start["status"],
            headers={k.decode(): v.decode() for k, v in start["headers"]},
            body=b"".join(message.get("body", b"") for message in rest),
        )


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request with a body in one part."""
    exchange = Exchange(method=method, path=path, parts=(body,), headers=headers or {})
    return await exchange.by(app)
