"""RabbitMQ's management API: the few words that we speak with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from yarl import URL

from orchestrator.domain.errors import ManagementError

T = TypeVar("T")

#: Removing a vhost with many quorum queues takes a busy node seconds.
TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)

#: Where the plugin listens unless configured, without TLS and with it.
PORT: Final = 15672
TLS_PORT: Final = 15671

_DONE: Final = frozenset({200, 201, 204})
_GONE: Final = frozenset({404})


class Overview(BaseModel):
    """The part of `GET /api/overview` that is of use here."""

    model_config = ConfigDict(frozen=True)

    rabbitmq_version: str


@dataclass(frozen=True)
class Management:
    """One node's management API at `url`, which holds neither path nor credentials.

    Attributes:
        setting: what its URL is called where somebody can correct it.
    """

    url: str
    user: str
    password: str = field(repr=False)
    setting: str = "management_url"

    @classmethod
    def beside(
        cls, broker_url: str, url: str | None, *, setting: str = "management_url"
    ) -> Management:
        """That of a broker: at this URL, else where the plugin listens on its host.

        Credentials that the URL does not hold are those of the broker's. By default a
        broker that is reached by TLS is managed by TLS.
        """
        amqp = URL(broker_url)
        scheme, port = ("https", TLS_PORT) if amqp.scheme == "amqps" else ("http", PORT)
        host = amqp.host or ""
        named = URL(url) if url else URL.build(scheme=scheme, host=host, port=port)
        return cls(
            str(named.origin()),
            named.user or amqp.user or "guest",
            named.password or amqp.password or "guest",
            setting,
        )

    @property
    def login_url(self) -> str:
        """The URL with the credentials, as a configuration has it."""
        return str(URL(self.url).with_user(self.user).with_password(self.password))

    async def version(self) -> str:
        """The broker's version."""
        return (await self.get(TypeAdapter(Overview), "overview")).rabbitmq_version

    async def make_vhost(self, name: str, *, for_user: str) -> None:
        """Make a vhost and give a user every permission in it."""
        if await self.put("vhosts", name) == HTTPStatus.NO_CONTENT:
            raise ManagementError(f"the vhost {name} is there already: name another one")
        permissions = {"configure": ".*", "write": ".*", "read": ".*"}
        await self.put("permissions", name, for_user, content=permissions)

    async def remove_vhost(self, name: str) -> None:
        """Remove a vhost with everything in it."""
        await self.delete("vhosts", name)

    async def get(
        self, kind: TypeAdapter[T], *path: str, columns: tuple[str, ...] = ()
    ) -> T:
        """What is there, or these columns of it."""
        found = await self.find(kind, *path, columns=columns)
        if found is None:
            raise ManagementError(
                f"RabbitMQ's management API at {self.url} has no {path[0]};"
                f" correct {self.setting}, or the virtual host in the broker's URL"
            )
        return found

    async def find(
        self, kind: TypeAdapter[T], *path: str, columns: tuple[str, ...] = ()
    ) -> T | None:
        """What is there, or None if it is not."""
        query = {"columns": ",".join(columns)} if columns else {}
        status, body = await self._call("GET", path, _DONE | _GONE, query=query)
        if status in _GONE:
            return None
        try:
            return kind.validate_json(body)
        except ValidationError:
            raise ManagementError(
                f"what answers at {self.url} is not RabbitMQ's management API;"
                f" correct {self.setting}"
            ) from None

    async def put(
        self, *path: str, content: Mapping[str, JsonValue] | None = None
    ) -> int:
        """Make or change something; the status says which it was."""
        status, _ = await self._call("PUT", path, _DONE, content=content)
        return status

    async def delete(self, *path: str) -> None:
        """Remove something, if it is there."""
        await self._call("DELETE", path, _DONE | _GONE)

    async def _call(
        self,
        method: str,
        path: tuple[str, ...],
        expected: frozenset[int],
        *,
        content: Mapping[str, JsonValue] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        login = {"Authorization": aiohttp.encode_basic_auth(self.user, self.password)}
        parts = "/".join(quote(part, safe="") for part in path)
        url = URL(f"{self.url}/api/{parts}", encoded=True).update_query(query or {})
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, headers=login) as session,
                session.request(method, url, json=content) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ManagementError(
                f"RabbitMQ's management API at {self.url} does not answer"
                f" ({type(error).__name__}); enable the plugin rabbitmq_management, or"
                f" name where it is in {self.setting}"
            ) from error
        if answer.status not in expected:
            raise ManagementError(
                f"RabbitMQ's management API at {self.url} answered {answer.status} to"
                f" {method}; the user needs the tag administrator"
            )
        return answer.status, body
