"""`chainctl requestors`: the broker users by which requestors subscribe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from orchestrator.app.tools import make_requestors
from orchestrator.broker import topology
from orchestrator.broker.connection import connect
from orchestrator.broker.grants import (
    Bounds,
    Grants,
    Standing,
    connection_url,
    user_of,
    vhost_of,
)
from orchestrator.broker.management import Management
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import ANONYMOUS, requestor_key
from orchestrator.settings import Settings

#: Somebody is looking: say soon that there is no broker.
PATIENCE_S: Final = 3.0


async def list_requestors(settings: Settings, *, as_json: bool) -> None:
    """Print what each requestor has, and users of those not configured any more."""
    names = _names(settings)
    standings = await _grants(settings).standings(sorted(names))
    if as_json:
        print(json.dumps([_standing_json(one, names) for one in standings]))
    elif not standings:
        print("the configuration names no requestor")
    else:
        Console().print(_table(standings, names))


async def grant(settings: Settings, key: str, *, stream: bool, as_json: bool) -> None:
    """Make a requestor's user, or bring its limits up to date."""
    _refuse_unknown(settings, key)
    grants = _grants(settings)
    if stream:  # first, as it may fail: a password is told only once
        await _declare_log(settings, key)
    password = await grants.give(key, _bounds(settings))
    log = f"{key}.log" if stream else None
    if as_json:
        print(json.dumps(_login_json(settings, key, password) | {"stream": log}))
        return
    if password is None:
        print(f"{key} has its user already; its limits are up to date")
        print(f"its password is not kept here; chainctl requestors rotate {key}")
    else:
        _say_login(settings, key, password)
    if log is not None:
        print(f"stream   {log}")


async def rotate(settings: Settings, key: str, *, as_json: bool) -> None:
    """Make its user anew, with another password."""
    _refuse_unknown(settings, key)
    password = await _grants(settings).renew(key, _bounds(settings))
    if as_json:
        print(json.dumps(_login_json(settings, key, password)))
    else:
        _say_login(settings, key, password)
        print("what was connected by the old password is closed")


async def revoke(settings: Settings, key: str, *, queues: bool, as_json: bool) -> None:
    """Remove its user; one that the configuration does not name any more, too."""
    if key != ANONYMOUS:
        requestor_key(key, key)  # what begins with a reserved word is our own
    grants = _grants(settings)
    before = await grants.standing(key)
    if before.user is None and not before.queues:
        _refuse_unknown(settings, key)
    removed = await grants.take(key)
    deleted = [queue.name for queue in await grants.clear(key)] if queues else []
    left = [] if queues else [queue.name for queue in before.queues]
    if as_json:
        told: dict[str, JsonValue] = {"key": key, "removed": removed}
        print(json.dumps(told | {"deleted": [*deleted], "left": [*left]}))
        return
    print(f"{key}: its user is removed" if removed else f"{key} had no user")
    for name in deleted:
        print(f"deleted  {name}")
    for name in left:
        print(f"left     {name}")
    if left:
        print(f"to delete them: chainctl requestors revoke {key} --queues")


async def _declare_log(settings: Settings, key: str) -> None:
    bounds = settings.subscribers
    log = topology.own_log(
        key, age_max_s=bounds.stream_kept_s, bytes_max=bounds.stream_bytes_max
    )
    url = settings.broker_url.get_secret_value()
    name = "chainctl requestors"
    async with await connect(url, name, patience_s=PATIENCE_S) as connection:
        await topology.declare(connection)
        await topology.declare(connection, log)


def _grants(settings: Settings) -> Grants:
    broker = settings.broker_url.get_secret_value()
    named = settings.management_url
    url = named.get_secret_value() if named is not None else None
    return Grants(management=Management.beside(broker, url), vhost=vhost_of(broker))


def _bounds(settings: Settings) -> Bounds:
    bounds = settings.subscribers
    return Bounds(
        connections_max=bounds.connections_max,
        channels_max=bounds.channels_max,
        queue_bytes_max=bounds.queue_bytes_max,
        queue_kept_s=bounds.queue_kept_s,
    )


def _names(settings: Settings) -> dict[str, str]:
    """The names of those who may have a user, by key."""
    return {key: one.name for key, one in make_requestors(settings).by_key.items()}


def _refuse_unknown(settings: Settings, key: str) -> None:
    names = _names(settings)
    if key not in names:
        there = ", ".join(sorted(names)) or "none"
        raise NotConfigured(f"requestor {key}: not configured; there are: {there}")


def _login_json(
    settings: Settings, key: str, password: str | None
) -> dict[str, JsonValue]:
    vhost = vhost_of(settings.broker_url.get_secret_value())
    url = _url(settings, key, password) if password is not None else None
    return {"key": key, "user": user_of(key, vhost), "url": url}


def _say_login(settings: Settings, key: str, password: str) -> None:
    """Once: nobody keeps the password."""
    print(f"url      {_url(settings, key, password)}")
    print("it holds the password and is not shown again")


def _url(settings: Settings, key: str, password: str) -> str:
    broker = settings.broker_url.get_secret_value()
    vhost = vhost_of(broker)
    reached_at = settings.subscribers.broker_url or broker
    return connection_url(reached_at, user_of(key, vhost), password, vhost)


def _standing_json(one: Standing, names: Mapping[str, str]) -> dict[str, JsonValue]:
    return {
        "key": one.key,
        "requestor": names.get(one.key),
        "user": one.user,
        "queues": [
            {"name": queue.name, "type": queue.type, "messages": queue.messages}
            for queue in one.queues
        ],
        "messages": one.messages,
        "connections": one.connections,
        "stream": one.has_log,
    }


def _table(standings: Sequence[Standing], names: Mapping[str, str]) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("key", "user"):
        table.add_column(name, overflow="fold")
    for name in ("queues", "messages", "connections"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("stream", overflow="fold")
    table.add_column("", overflow="fold")
    for one in standings:
        table.add_row(
            one.key,
            one.user or "-",
            str(len(one.queues)),
            str(one.messages),
            str(one.connections),
            f"{one.key}.log" if one.has_log else "-",
            "" if one.key in names else "not configured any more",
        )
    return table
