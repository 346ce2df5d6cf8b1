"""Requestors as the operator admits them: in the configuration, and on the broker."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import JsonValue

from orchestrator.local.stack import Plan, Stack
from orchestrator.local.together import together
from orchestrator.proof.events_crowd import Requestor
from schemas.messages import Lane

#: As a requestor makes it for itself.
_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Member:
    """A requestor that subscribes in every way, and the secret that signs its events."""

    key: str
    token: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def named(cls, key: str) -> Member:
        """One with fresh secrets."""
        secret = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        return cls(
            key=key,
            token=secrets.token_urlsafe(_SECRET_BYTES),
            secret=f"whsec_{secret}",
        )

    @property
    def requestor(self) -> Requestor:
        """Who starts its chains."""
        return Requestor(key=self.key, token=self.token)


def plan(
    members: Sequence[Member], events_urls: Mapping[str, str], management_url: str
) -> Plan:
    """An installation whose requestors have URLs for their events."""
    requestors: dict[str, JsonValue] = {
        one.key: {
            "key": one.token,
            "webhook_secrets": [one.secret],
            "events_url": events_urls[one.key],
        }
        for one in members
    }
    return Plan(
        lanes=(Lane.EVENTS,),
        endpoint=False,
        overrides={
            "requestors": requestors,
            "management_url": management_url,
            "irma_server": {"check_attribute": ""},
        },
    )


@asynccontextmanager
async def granted(stack: Stack, keys: Sequence[str]) -> AsyncIterator[dict[str, str]]:
    """What `chainctl requestors grant` gives each, by key; taken back afterwards."""
    try:
        async with asyncio.TaskGroup() as granting:
            told = {key: granting.create_task(_grant(stack, key)) for key in keys}
        yield {key: task.result() for key, task in told.items()}
    finally:
        await together(
            *(_chainctl(stack, "revoke", key, "--queues", "--json") for key in keys)
        )


async def _grant(stack: Stack, key: str) -> str:
    told = await _chainctl(stack, "grant", key, "--stream", "--json")
    return str(json.loads(told.splitlines()[-1])["url"])


async def _chainctl(stack: Stack, verb: str, key: str, *options: str) -> str:
    """What a command prints; it may be a password, so it is not left in a file."""
    name = f"{verb}-{key}"
    argv = [sys.executable, "-m", "orchestrator.cli.main", "requestors", verb, key]
    argv += [*options, "--config", str(stack.config_file)]
    await stack.processes.run(name, argv)
    log = stack.processes.log(name)
    told = log.read_text()
    log.unlink()
    return told
