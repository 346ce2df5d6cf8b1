"""Whole installations of the product, one for each configuration of the recordings.

The recorded options go to our gateway. The IRMA server behind it knows one requestor,
us, who may do everything: what is refused is refused by the gateway.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from yarl import URL

from orchestrator.local.keys import local_secrets
from orchestrator.local.rabbitmq import Broker
from orchestrator.local.stack import OURSELVES, Plan
from orchestrator.proof.lab import Lab, lab_at_work
from schemas.irma import SessionPointer
from tests.contract.probing import Addresses, configuration
from tests.contract.request_jwts import Json, Keys

#: The key of a requestor that may start what the recorded chains ask for.
ALLOWED: Final[Mapping[str, str | None]] = {
    "A": "secret1",
    "P": "s-one",
    "N": None,
    "U": None,
}

#: Retries that a test can wait for; the app's clock is as patient as in production.
RETRY: Final[JsonValue] = {
    "live_delays_s": [0.05, 0.1, 0.2],
    "background_delays_s": [0.1] * 8,
    "jitter": 0,
}

#: Attempts before a callback waits as a row: the first one and one for each live delay.
LIVE_ATTEMPTS: Final = 4

#: Most integrators get their URL as they wrote it; this one has the switch on.
SLASHED: Final = "U"


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The IRMA server behind the gateway: our sandbox unless another one is given."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What a report calls it: no credentials, no path."""
        return "sandbox" if self.url is None else str(URL(self.url).origin())

    def settings(self) -> dict[str, JsonValue]:
        """What of the gateway's settings differs for it."""
        if self.url is None:
            return {}
        return {"irma_server": {"url": self.url, "key": self.token}}


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A chain as its requestor knows it: by the answer to `POST /session`."""

    chain_id: str
    package: Json

    @property
    def token(self) -> str:
        """The requestor token of its first session."""
        token: str = self.package["token"]
        return token

    @property
    def pointer(self) -> SessionPointer:
        """What the app scans."""
        return SessionPointer.model_validate(self.package["sessionPtr"])


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A running installation and what its configuration is called."""

    configuration: str
    lab: Lab
    irma_server_url: str

    @property
    def gateway_url(self) -> str:
        """The requestor's server; no other name has to change for an integrator."""
        return self.lab.stack.gateway_url

    @property
    def credentials(self) -> dict[str, str]:
        """The header of a requestor, if requestors have to say who they are."""
        key = ALLOWED[self.configuration]
        return {} if key is None else {"Authorization": key}

    async def start(self, request: Json) -> Begun:
        """Start a chain as that requestor."""
        async with self.lab.http.post(
            f"{self.gateway_url}/session", json=request, headers=self.credentials
        ) as response:
            assert response.status == 200, await response.text()
            chain_id = response.headers["Chain-Id"]
            return Begun(chain_id=chain_id, package=await response.json())

    async def call(self, method: str, url: str, **options: Json) -> Json:
        """One call: the JSON of its answer, or None."""
        async with self.lab.http.request(method, url, **options) as response:
            text = await response.text()
            assert response.status == 200, text
            return json.loads(text) if text else None

    async def result(self, token: str) -> Json:
        """The result of a session, as the gateway has it now."""
        return await self.call("GET", f"{self.gateway_url}/session/{token}/result")

    async def results(self, token: str) -> list[Json]:
        """The results of a chain from this session on."""
        results = [await self.result(token)]
        while following := results[-1].get("nextSession"):
            results.append(await self.result(following))
        return results

    async def frontend(self, begun: Begun, u: str | None = None) -> Json:
        """What the browser is told of a session, by the chain's one frontend token."""
        authorization = begun.package["frontendRequest"]["authorization"]
        url = f"{u or begun.pointer.u}/frontend/status"
        return await self.call("GET", url, headers={"Authorization": authorization})

    @asynccontextmanager
    async def faults(self, **faults: Json) -> AsyncIterator[None]:
        """The sandbox with these faults switched on."""
        url = f"{self.irma_server_url}/sandbox/faults"
        await self.call("PUT", url, json=faults)
        try:
            yield
        finally:
            await self.call("PUT", url, json={})


class Installations:
    """One installation at a time, the one that was asked for last."""

    def __init__(
        self, broker: Broker, folder: Path, keys: Keys, backend: Backend
    ) -> None:
        self._broker = broker
        self._folder = folder
        self._keys = keys
        self._backend = backend
        self._open = AsyncExitStack()
        self._current: Installation | None = None
        #: One that did not start would not the next time, for any of a hundred tests.
        self._broken: dict[str, str] = {}

    async def of(self, name: str) -> Installation:
        """The installation of a configuration, started if another one was at work."""
        if self._current is not None and self._current.configuration == name:
            return self._current
        assert name not in self._broken, self._broken[name]
        await self.close()
        try:
            self._current = await self._started(name)
        except Exception as error:
            self._broken[name] = f"configuration {name} did not start: {error}"
            raise
        return self._current

    async def close(self) -> None:
        """Stop what is at work."""
        self._current = None
        await self._open.aclose()

    async def _started(self, name: str) -> Installation:
        run_dir = self._folder / name
        run_dir.mkdir()
        plan = Plan(
            endpoint=False,
            overrides=self._settings(name),
            sandbox=_sandbox(run_dir),
        )
        url = await self._open.enter_async_context(
            self._broker.vhost(f"contract-{name}-{secrets.token_hex(6)}")
        )
        lab = await self._open.enter_async_context(lab_at_work(run_dir, url, plan))
        server = self._backend.url or lab.stack.irma_server_url
        return Installation(
            configuration=name, lab=lab, irma_server_url=server.rstrip("/")
        )

    def _settings(self, name: str) -> dict[str, JsonValue]:
        """The recorded options; a key to sign with is there already, or must not be."""
        options: dict[str, Json] = configuration(
            name, keys=self._keys, jwt_privkey="", addresses=Addresses("")
        )
        unsigned: dict[str, JsonValue] = {"jwt_privkey_file": None}
        signed = options.pop("jwt_privkey", None) is not None
        return {
            "requestors": {},
            **options,
            **({} if signed else unsigned),
            "callback_url_slash": name == SLASHED,
            "retry": RETRY,
            **self._backend.settings(),
        }


def _sandbox(run_dir: Path) -> dict[str, JsonValue]:
    """A server that refuses us nothing, and finds out soon that nobody came."""
    everything: dict[str, JsonValue] = {
        f"{kind}_perms": ["*"] for kind in ("disclose", "sign", "issue", "revoke", "host")
    }
    key = local_secrets(run_dir / "secrets").irma_server_key
    return {
        "requestors": {OURSELVES: {"key": key, **everything}},
        "sse": True,
        "augment_client_return_url": True,
        "sweep_s": 0.2,
    }
