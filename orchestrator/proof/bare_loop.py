"""What a hop costs at least: aio-pika, aiohttp, a signature, and nothing else.

It takes the same durable steps as a callback worker, written as one would in a short
script: consume from a quorum queue, sign by the same key in a thread, POST, publish event
and work with pipelined confirms, acknowledge. There is no model of any message, no seal,
no limit, no check of where it goes, no log, no retry and no answer but 204. Bodies and
headers have the lengths that the worker's have.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import aio_pika
import aiohttp
import jwt
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from pydantic import JsonValue

from orchestrator.app.signing import jwt_key
from orchestrator.callbacks import PrivateKey
from orchestrator.callbacks.egress_outlets import KEEPALIVE_S
from orchestrator.callbacks.signing import SIGNING_THREADS
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import Queues
from orchestrator.settings import load_settings
from orchestrator.stopping import on_signals
from schemas.events import CLOUDEVENTS_JSON, SOURCE

Json = dict[str, JsonValue]

#: As long as a sealed one.
_REPLY_TO: Final = f"http://127.0.0.1:20000/reply/v1.k1.{'x' * 420}"

_TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True, kw_only=True)
class Names:
    """The queues of one bare loop, each like the worker's of that name."""

    loop: str

    @property
    def callbacks(self) -> str:
        """Where it consumes."""
        return f"{self.loop}.{Queues.CALLBACKS}"

    @property
    def history(self) -> str:
        """Where it publishes events."""
        return f"{self.loop}.{Queues.HISTORY}"

    @property
    def sessions(self) -> str:
        """Where it publishes work."""
        return f"{self.loop}.{Queues.SESSIONS}"


@dataclass(frozen=True, kw_only=True)
class BareLoop:
    """One hop after the other, as many at a time as the channel's prefetch lets in."""

    http: aiohttp.ClientSession
    exchange: AbstractExchange
    names: Names
    executor: Executor
    key: PrivateKey | None

    async def hop(self, message: AbstractIncomingMessage) -> None:
        """From consumed to acknowledged."""
        work = json.loads(message.body)
        now = datetime.now(UTC)
        body = await self._body(work["result"], int(now.timestamp()))
        began = time.perf_counter()
        async with self.http.post(
            work["url"],
            data=body,
            headers=headers_of(work, now),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=20.0),
        ) as response:
            status = response.status
        duration_ms = round((time.perf_counter() - began) * 1000)
        event_id, end_id = f"{work['id']}-callback_answered-1", f"{work['id']}-end"
        event = event_of(work, event_id, status, duration_ms)
        end = end_of(work, end_id, event_id)
        await asyncio.gather(
            self._publish(event_id, event, self.names.history, CLOUDEVENTS_JSON),
            self._publish(f"{end_id}:work", end, self.names.sessions),
        )
        await message.ack()

    async def _body(self, result: Json, now: int) -> bytes:
        if self.key is None:
            return json.dumps(result, separators=(",", ":")).encode()
        sign = partial(self._signed, self.key, result, now)
        return await asyncio.get_running_loop().run_in_executor(self.executor, sign)

    @staticmethod
    def _signed(key: PrivateKey, result: Json, now: int) -> bytes:
        claims = {
            "exp": now + 120,
            "iat": now,
            "iss": "irmaserver",
            "sub": f"{result['type']}_result",
            **result,
        }
        return jwt.encode(claims, key, algorithm="RS256").encode()

    async def _publish(
        self, id_: str, content: Json, queue: str, content_type: str = "application/json"
    ) -> None:
        message = aio_pika.Message(
            json.dumps(content, separators=(",", ":")).encode(),
            message_id=id_,
            content_type=content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self.exchange.publish(message, queue, mandatory=True)


def headers_of(work: Json, now: datetime) -> dict[str, str]:
    """The headers that a callback worker sends, as long as its."""
    return {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "irmago",
        "Accept-Encoding": "gzip",
        "webhook-id": str(work["id"]),
        "webhook-timestamp": str(int(now.timestamp())),
        "Chain-Id": str(work["chain_id"]),
        "Chain-Step": str(work["step"]),
        "traceparent": _TRACEPARENT,
        "Chain-Reply-To": _REPLY_TO,
    }


def event_of(work: Json, event_id: str, status: int, duration_ms: int) -> Json:
    """What a callback worker tells of a 204."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "subject": work["chain_id"],
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "chainid": work["chain_id"],
        "step": work["step"],
        "generation": work["generation"],
        "requestor": work["requestor"],
        "causationid": work["cause"],
        "traceparent": _TRACEPARENT,
        "type": "callback.answered",
        "data": {
            "endpoint": work["endpoint"],
            "purpose": work["purpose"],
            "attempt": work["attempt"],
            "status": status,
            "durationMs": duration_ms,
            "answer": "end",
        },
    }


def end_of(work: Json, end_id: str, cause: str) -> Json:
    """What a callback worker leaves to be done: the chain ends."""
    kept = ("chain_id", "step", "generation", "requestor")
    return {
        "id": end_id,
        **{name: work[name] for name in kept},
        "cause": cause,
        "kind": "end",
        "end": "completed",
        "sealed": work["sealed"],
    }


async def run(config_file: Path, names: Names, *, signed: bool) -> None:
    """Work until SIGTERM."""
    settings = load_settings(config_file, {})
    key = jwt_key(settings) if signed else None
    if signed and key is None:
        raise NotConfigured("there is no key to sign with")
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=10
    )
    stopped = asyncio.Event()
    with (
        on_signals(stopped.set),
        ThreadPoolExecutor(SIGNING_THREADS) as executor,
    ):
        async with (
            await aio_pika.connect(settings.broker_url.get_secret_value()) as connection,
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=20.0),
                skip_auto_headers=("Accept",),
                auto_decompress=False,
            ) as http,
        ):
            publishing = await connection.channel(on_return_raises=True)
            consuming = await connection.channel(publisher_confirms=False)
            await consuming.set_qos(prefetch_count=settings.callbacks.concurrency)
            bare = BareLoop(
                http=http,
                exchange=publishing.default_exchange,
                names=names,
                executor=executor,
                key=key,
            )
            queue = await consuming.get_queue(names.callbacks)
            await queue.consume(bare.hop)
            await stopped.wait()


def main() -> None:
    """Run one bare loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--names", required=True)
    parser.add_argument("--unsigned", action="store_true")
    options = parser.parse_args()
    names = Names(loop=options.names)
    uvloop.run(run(options.config, names, signed=not options.unsigned))


if __name__ == "__main__":
    main()
