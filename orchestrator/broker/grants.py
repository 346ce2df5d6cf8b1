"""What a requestor may do on the broker, and the user who may do it (DESIGN §5).

The rules are data; `Grants` brings them to the broker. Seen on RabbitMQ 3.10.8:

- Topic permissions are asked when a queue is bound: the pattern itself has to match them,
  so `#` is refused and `session.*.acme` is not.
- A pattern of many `#` costs the broker seconds for each event, whoever's it is (60 of
  them: 10 s), as every way to share the words among them is tried. So one is allowed.
- Whoever may bind a queue may write to it, so `write` cannot be empty. It leaves out the
  default exchange: nothing gets into a queue from there, nor by dead-lettering.
- An operator policy is passed over for a queue that knows one of its keys not, and a
  stream knows neither `expires` nor `message-ttl`. So there are two.
- Removing a user closes its connections; changing its password does not.
- There is no limit on a user's queues or bindings. A virtual host's `max-queues` counts
  ours as well.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter
from yarl import URL

from orchestrator.broker.management import Management
from orchestrator.domain.errors import NotDone
from orchestrator.ports import EVENTS_EXCHANGE

#: Marks the users that we made. It gives no right, and whoever has another tag is not
#: touched.
TAG: Final = "session-chain-requestor"

#: Of several operator policies for a queue only the one of the highest priority counts.
POLICY_PRIORITY: Final = 1_000

#: RabbitMQ's own way to keep a password: a salt of 4 bytes before its SHA-256.
_SALT_BYTES: Final = 4
_ALGORITHM: Final = "rabbit_password_hashing_sha256"

_PASSWORD_BYTES: Final = 32

Content = dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much of the broker one requestor can take."""

    connections_max: int
    channels_max: int
    queue_bytes_max: int
    queue_kept_s: float


def user_of(key: str, vhost: str) -> str:
    """The requestor's user: users belong to no virtual host, so the name tells whose."""
    return f"requestor.{key}" if vhost == "/" else f"requestor.{key}@{vhost}"


def permissions(key: str) -> Content:
    """Own queues and exchanges, and binding them; `KEY.log` is for reading only."""
    own = rf"^{key}\.(?!log$)"
    return {
        "configure": own,
        "write": own,
        "read": rf"^({key}\..*|{re.escape(EVENTS_EXCHANGE)})$",
    }


def topic_permission(key: str) -> Content:
    """Patterns that can match none but own events, with one `#` at most."""
    word = r"([a-z]+|\*)"
    of_type = rf"(#|(#|{word})\.{word}|{word}\.#)"
    own = rf"^{of_type}\.{key}$"
    return {"exchange": EVENTS_EXCHANGE, "write": "^$", "read": own}


def operator_policies(key: str, bounds: Bounds) -> dict[str, Content]:
    """By name: what holds for own queues whatever their arguments say."""
    size: Content = {"max-length-bytes": bounds.queue_bytes_max}
    kept_ms = round(bounds.queue_kept_s * 1000)
    name = policy_name(key)
    return {
        name: _policy(key, POLICY_PRIORITY, size | _both_times(kept_ms)),
        f"{name}.streams": _policy(key, POLICY_PRIORITY - 1, size),
    }


def policy_name(key: str) -> str:
    """The name of the first of them; a key has no dot, so no two have one name."""
    return f"requestor.{key}"


def _both_times(kept_ms: int) -> Content:
    return {"expires": kept_ms, "message-ttl": kept_ms}


def _policy(key: str, priority: int, definition: Content) -> Content:
    return {
        "pattern": rf"^{key}\.(?!log$)",
        "apply-to": "queues",
        "priority": priority,
        "definition": definition,
    }


def password_hash(password: str, salt: bytes) -> str:
    """What the broker keeps of a password; the password itself never leaves us."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def connection_url(broker_url: str, user: str, password: str, vhost: str) -> str:
    """What every AMQP library takes: `/` as a virtual host is written `%2F`."""
    broker = URL(broker_url).origin().with_user(user).with_password(password)
    return f"{broker}/{quote(vhost, safe='')}"


def vhost_of(broker_url: str) -> str:
    """The virtual host that a broker's URL names."""
    return URL(broker_url).path.removeprefix("/") or "/"


class User(BaseModel):
    """A user as the API tells it; without a hash it has no password."""

    model_config = ConfigDict(frozen=True)

    name: str
    tags: tuple[str, ...]
    password_hash: str = ""


class OwnQueue(BaseModel):
    """A queue as the API tells it; how much is in it comes a little later."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str = "classic"
    messages: int = 0


class _Named(BaseModel):
    name: str


class _Connection(BaseModel):
    user: str = ""


_USER: Final = TypeAdapter(User)
_USERS: Final = TypeAdapter(list[User])
_QUEUES: Final = TypeAdapter(list[OwnQueue])
_NAMES: Final = TypeAdapter(list[_Named])
_CONNECTIONS: Final = TypeAdapter(list[_Connection])


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a requestor has on the broker."""

    key: str
    user: str | None
    queues: tuple[OwnQueue, ...]
    connections: int

    @property
    def messages(self) -> int:
        """What waits in its queues; what is in streams does not wait."""
        return sum(queue.messages for queue in self.queues if queue.type != "stream")

    @property
    def has_log(self) -> bool:
        """Whether there is a log of its own."""
        return any(queue.name == f"{self.key}.log" for queue in self.queues)


@dataclass(frozen=True, kw_only=True)
class Grants:
    """The requestors' users in one virtual host.

    Every method may raise `ManagementError`, and `NotDone` where a user of that name is
    not one that we made. Each may be repeated after that.
    """

    management: Management
    vhost: str

    async def give(self, key: str, bounds: Bounds) -> str | None:
        """Make a requestor's user, or bring it up to date.

        A new user cannot come in before its limits are set: it has no password until
        then.

        Returns:
            The password of a new user; None if it has one already, which nobody knows.
        """
        user = await self._user(user_of(key, self.vhost))
        await self._set_up(key, bounds, new=user is None)
        if user is not None and user.password_hash:
            return None
        return await self._new_password(key)

    async def renew(self, key: str, bounds: Bounds) -> str:
        """Give a requestor another password; who came in by the old one is put out.

        Its user is removed, as nothing else closes connections in all versions, and made
        anew; if that is cut short, `give` makes it.
        """
        if not await self.take(key):
            raise NotDone(
                f"requestor {key} has no user on the broker; first:"
                f" chainctl requestors grant {key}"
            )
        await self._set_up(key, bounds, new=True)
        return await self._new_password(key)

    async def take(self, key: str) -> bool:
        """Remove a requestor's user and close its connections; false: there was none.

        Its queues and their limits stay.
        """
        name = user_of(key, self.vhost)
        if await self._user(name) is None:
            return False
        await self.management.delete("users", name)
        return True

    async def clear(self, key: str) -> list[OwnQueue]:
        """Delete a requestor's queues, log and exchanges, and at last their limits."""
        standing = await self.standing(key)
        for queue in standing.queues:
            await self.management.delete("queues", self.vhost, queue.name)
        exchanges = await self.management.get(
            _NAMES, "exchanges", self.vhost, columns=("name",)
        )
        for exchange in exchanges:
            if exchange.name.startswith(f"{key}."):
                await self.management.delete("exchanges", self.vhost, exchange.name)
        name = policy_name(key)
        for policy in (name, f"{name}.streams"):
            await self.management.delete("operator-policies", self.vhost, policy)
        return list(standing.queues)

    async def standing(self, key: str) -> Standing:
        """What one requestor has."""
        standings = await self.standings([key])
        return next(one for one in standings if one.key == key)

    async def standings(self, keys: list[str]) -> list[Standing]:
        """What these requestors have, then others that have a user of ours."""
        users = {user.name for user in await self._users() if user.tags == (TAG,)}
        queues = await self.management.get(
            _QUEUES, "queues", self.vhost, columns=("name", "type", "messages")
        )
        connections = Counter(
            connection.user
            for connection in await self.management.get(
                _CONNECTIONS, "vhosts", self.vhost, "connections", columns=("user",)
            )
        )
        others = sorted(set(filter(None, map(self._key_of, users))) - set(keys))
        return [
            Standing(
                key=key,
                user=name if (name := user_of(key, self.vhost)) in users else None,
                queues=tuple(one for one in queues if one.name.startswith(f"{key}.")),
                connections=connections[name],
            )
            for key in [*keys, *others]
        ]

    async def _set_up(self, key: str, bounds: Bounds, *, new: bool) -> None:
        name = user_of(key, self.vhost)
        if new:
            await self._set_password(name, "")
        for policy, content in operator_policies(key, bounds).items():
            await self._put("operator-policies", self.vhost, policy, content=content)
        limits = {
            "max-connections": bounds.connections_max,
            "max-channels": bounds.channels_max,
        }
        for limit, value in limits.items():
            await self._put("user-limits", name, limit, content={"value": value})
        # First the topics: without an entry there all of them are open.
        topic = topic_permission(key)
        await self._put("topic-permissions", self.vhost, name, content=topic)
        await self._put("permissions", self.vhost, name, content=permissions(key))

    async def _new_password(self, key: str) -> str:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        hashed = password_hash(password, secrets.token_bytes(_SALT_BYTES))
        await self._set_password(user_of(key, self.vhost), hashed)
        return password

    async def _user(self, name: str) -> User | None:
        user = await self.management.find(_USER, "users", name)
        if user is not None and user.tags != (TAG,):
            raise NotDone(
                f"the broker has a user {name} already, which was not made here (its tag"
                f" is not {TAG}); rename or remove that one first"
            )
        return user

    async def _users(self) -> list[User]:
        return await self.management.get(_USERS, "users", columns=("name", "tags"))

    def _key_of(self, user: str) -> str | None:
        """The key in a user's name; None if that is of another virtual host."""
        key = re.match(r"requestor\.([a-z0-9-]+)", user)
        return key[1] if key and user == user_of(key[1], self.vhost) else None

    async def _set_password(self, user: str, hashed: str) -> None:
        await self._put(
            "users",
            user,
            content={
                "password_hash": hashed,
                "hashing_algorithm": _ALGORITHM,
                "tags": TAG,
            },
        )

    async def _put(self, *path: str, content: Content) -> None:
        await self.management.put(*path, content=content)
