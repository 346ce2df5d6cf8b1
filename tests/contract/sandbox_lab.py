"""A pretend IRMA server and a scripted endpoint in one process, on free ports."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web

from orchestrator.proof.endpoints import listening, serving
from orchestrator.sandbox import SandboxConfig, create_app

VECTORS = Path(__file__).parent / "vectors"

#: When the recordings' first credentials were issued in the course of a chain.
RECORDED_NOW = 1_795_296_044.0

#: How long a test waits for something that has to happen.
BOUND_S = 10.0

#: JSON of recordings and answers, looked into freely.
Json = Any


def vectors(name: str) -> Json:
    """A recorded file."""
    return json.loads((VECTORS / name).read_text())


@asynccontextmanager
async def sandbox_at_work(
    clock: Callable[[], float] = lambda: RECORDED_NOW, **options: Json
) -> AsyncIterator[tuple[web.Application, str]]:
    """A pretend IRMA server and its base URL."""
    listener, url = listening()
    config = SandboxConfig(**{"url": url, "jwt_issuer": "labserver", **options})
    app = create_app(config, clock=clock)
    async with serving(app, listener):
        yield app, url


def claims_of(token: str) -> Json:
    """The claims of a JWT, its signature not checked."""
    return jwt.decode(token, options={"verify_signature": False})


def anonymous(document: Json) -> Json:
    """The same document with every token replaced by its number of appearance."""
    seen: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return seen.setdefault(match[0], f"token {len(seen)}")

    return json.loads(re.sub(r"\b[A-Za-z0-9]{20}\b", numbered, json.dumps(document)))


def localised(document: Json, **addresses: str) -> Json:
    """The same document with `{server}` and the like replaced by real addresses."""
    text = json.dumps(document)
    for name, address in addresses.items():
        text = text.replace(f"{{{name}}}", address)
    return json.loads(text)
