"""The few words we speak with RabbitMQ's management API to make a vhost and remove it."""

from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ConfigDict
from yarl import URL

#: Removing a vhost with many quorum queues takes a busy node seconds.
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


class ManagementError(Exception):
    """The management API did not do what we asked; the text says what to look at."""


class Overview(BaseModel):
    """The part of `GET /api/overview` that is of use here."""

    model_config = ConfigDict(frozen=True)

    rabbitmq_version: str


@dataclass(frozen=True)
class Management:
    """One node's management API at `url`, which holds neither path nor credentials."""

    url: str
    user: str
    password: str = field(repr=False)

    async def version(self) -> str:
        """The broker's version."""
        _, body = await self._call("GET", "/api/overview", expected={200})
        return Overview.model_validate_json(body).rabbitmq_version

    async def make_vhost(self, name: str, *, for_user: str) -> None:
        """Make a vhost and give a user every permission in it."""
        status, _ = await self._call("PUT", _vhost(name), expected={201, 204})
        if status == HTTPStatus.NO_CONTENT:
            raise ManagementError(f"the vhost {name} is there already: name another one")
        permissions = {"configure": ".*", "write": ".*", "read": ".*"}
        path = f"/api/permissions/{quote(name, safe='')}/{quote(for_user, safe='')}"
        await self._call("PUT", path, expected={201, 204}, json=permissions)

    async def remove_vhost(self, name: str) -> None:
        """Remove a vhost with everything in it."""
        await self._call("DELETE", _vhost(name), expected={204, 404})

    async def _call(
        self,
        method: str,
        path: str,
        *,
        expected: set[int],
        json: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        login = {"Authorization": aiohttp.encode_basic_auth(self.user, self.password)}
        url = URL(self.url + path, encoded=True)
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, headers=login) as session,
                session.request(method, url, json=json) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ManagementError(
                f"RabbitMQ's management API at {self.url} does not answer"
                f" ({type(error).__name__}); enable the plugin rabbitmq_management, or"
                " name where it is in RABBITMQ_MANAGEMENT_URL"
            ) from error
        if answer.status not in expected:
            raise ManagementError(
                f"RabbitMQ's management API at {self.url} answered {answer.status} to"
                f" {method}; the user needs the tag administrator"
            )
        return answer.status, body


def _vhost(name: str) -> str:
    return f"/api/vhosts/{quote(name, safe='')}"
