"""`chainctl start`, `list` and `show`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.credentials import key_text
from orchestrator.app.tools import make_sealer
from orchestrator.cli.timeline import plain, timeline
from orchestrator.domain.chain import Chain, Step, StepState
from orchestrator.domain.errors import NotConfigured, OrchestratorError
from orchestrator.ports import ChainRow, Store, Waiting
from orchestrator.preparing import page_url
from orchestrator.rows import RowSecrets
from orchestrator.sandbox.wallet import Wallet
from orchestrator.sandbox.wallet_file import InvalidWalletFile
from orchestrator.settings import Settings
from orchestrator.store import check_schema, open_store
from schemas.events import Event, dump_event
from schemas.irma import (
    IrmaError,
    SessionPackage,
    SessionPointer,
    parse_session_package,
)


async def start_chain(
    settings: Settings,
    body: bytes,
    requestor: str | None,
    *,
    wallet: bool,
    wallet_file: Path | None,
    as_json: bool,
) -> None:
    """POST a session request to the gateway and tell what came of it."""
    played = _wallet(wallet_file) if wallet or wallet_file else None
    chain_id, page, package = await _posted(settings, body, requestor)
    if as_json:
        print(json.dumps({"chain": chain_id, "page": page, **package.to_wire()}))
    else:
        print(f"chain    {chain_id}")
        print(f"page     {page}")
        print(f"token    {package.token}")
        print(f"pointer  {json.dumps(package.session_ptr.to_wire())}")
        print(f"link     {universal_link(settings, package.session_ptr)}")
    if played is not None:
        outcome = await played.run(package.session_ptr)
        for step in outcome.steps:
            print(f"wallet   {step.type}: {step.status} at {step.ended_at_s:.2f} s")


def _wallet(file: Path | None) -> Wallet:
    try:
        return Wallet(file=file)
    except InvalidWalletFile as fault:
        raise NotConfigured(str(fault)) from None


async def _posted(
    settings: Settings, body: bytes, requestor: str | None
) -> tuple[str, str, SessionPackage]:
    headers = {"Content-Type": "application/json", **_credentials(settings, requestor)}
    url = f"{settings.public_url.rstrip('/')}/session"
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=body, headers=headers) as response,
        ):
            answer = await response.read()
            status, told = response.status, response.headers
    except aiohttp.ClientError:
        msg = f"no gateway answers at {settings.public_url}: is `chainctl up` running?"
        raise OrchestratorError(msg) from None
    if status != 200:  # noqa: PLR2004 - OK
        raise OrchestratorError(_refusal(status, answer))
    chain_id, page = told.get("Chain-Id", ""), told.get("Chain-Page", "")
    return chain_id, page, parse_session_package(answer)


def _credentials(settings: Settings, requestor: str | None) -> dict[str, str]:
    if requestor is None and settings.no_auth:
        return {}
    names = sorted(settings.requestors)
    name = requestor or names[0]
    if name not in settings.requestors:
        msg = f"requestor {name}: not configured; there are: {', '.join(names)}"
        raise NotConfigured(msg)
    entry = settings.requestors[name]
    if entry.auth_method != "token":
        msg = f"requestor {name}: only one with auth_method token can start from here"
        raise NotConfigured(msg)
    return {"Authorization": key_text(entry, whose=f"requestors.{name}") or ""}


def _refusal(status: int, answer: bytes) -> str:
    try:
        error = IrmaError.model_validate_json(answer)
    except ValueError:
        return f"the gateway answered {status}"
    return f"{error.error} ({status}): {error.message or error.description}"


def universal_link(settings: Settings, pointer: SessionPointer) -> str:
    """The link that opens the app with this session."""
    text = json.dumps(pointer.to_wire(), separators=(",", ":"))
    return settings.universal_link + quote(text)


async def list_chains(
    settings: Settings,
    *,
    limit: int,
    state: str | None,
    requestor: str | None,
    as_json: bool,
) -> None:
    """Print the newest chains."""
    async with looked_at(settings) as store:
        rows = await store.chains(limit=limit, state=state, requestor=requestor)
    if as_json:
        print(json.dumps([_chain_json(row) for row in rows]))
        return
    table = Table(box=None, header_style="dim")
    for name in ("chain", "started", "state", "steps", "took"):
        table.add_column(name, no_wrap=True)
    table.add_column("requestor", overflow="fold")
    for row in rows:
        chain = row.chain
        table.add_row(
            chain.id,
            chain.created_at.strftime("%m-%d %H:%M:%S"),
            chain.state,
            str(row.steps),
            _took(chain),
            Text(", ".join(filter(None, (chain.requestor, plain(chain.reason or ""))))),
        )
    if not rows:
        print("no such chains yet; `chainctl start` starts one")
        return
    Console().print(table)


@asynccontextmanager
async def looked_at(settings: Settings) -> AsyncIterator[Store]:
    """The database to look at, if it is there and has our schema."""
    url = settings.database_url.get_secret_value()
    await check_schema(url)
    async with open_store(url) as store:
        yield store


def _took(chain: Chain) -> str:
    if chain.ended_at is None:
        return ""
    return f"{(chain.ended_at - chain.created_at).total_seconds():.2f} s"


def _chain_json(row: ChainRow) -> dict[str, JsonValue]:
    chain = row.chain
    return {
        "id": chain.id,
        "requestor": chain.requestor,
        "backend": chain.backend,
        "state": chain.state,
        "generation": chain.generation,
        "steps": row.steps,
        "createdAt": chain.created_at.isoformat(),
        "endedAt": chain.ended_at.isoformat() if chain.ended_at else None,
        "reason": chain.reason,
    }


async def show_chain(
    settings: Settings, chain_id: str, *, pointer: bool, as_json: bool
) -> None:
    """Print a chain's timeline."""
    async with looked_at(settings) as store:
        chain = await store.chain(chain_id)
        if chain is None:
            msg = f"chain {chain_id}: there is no such chain; see `chainctl list`"
            raise NotConfigured(msg)
        steps = await store.steps(chain_id)
        events = await store.events(chain_id)
        waiting = await store.waiting(chain_id=chain_id, limit=100)
    package = _live_package(settings, steps) if pointer else None
    if as_json:
        told = shown_json(chain, steps, events, waiting)
        if pointer:
            told["page"] = _page(settings, chain)
            told["sessionPtr"] = package.session_ptr.to_wire() if package else None
        print(json.dumps(told))
        return
    Console().print(timeline(chain, steps, events, waiting))
    if pointer:
        print(f"page     {_page(settings, chain)}")
        _print_pointer(settings, package)


def shown_json(
    chain: Chain,
    steps: Sequence[Step],
    events: Sequence[Event],
    waiting: Sequence[Waiting],
) -> dict[str, JsonValue]:
    """What `show --json` tells; the chain's end takes a slot, but is no step."""
    numbers = (row.slot.step for row in steps if row.state is not StepState.END)
    row = ChainRow(chain=chain, steps=max(numbers, default=0))
    return {
        **_chain_json(row),
        "timeline": [json.loads(dump_event(event)) for event in events],
        "waiting": [_waiting_json(row) for row in waiting],
    }


def _waiting_json(row: Waiting) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "kind": row.kind,
        "endpoint": row.endpoint,
        "dueAt": row.due_at.isoformat(),
    }


def _page(settings: Settings, chain: Chain) -> str:
    return page_url(make_sealer(settings), settings.public_url, chain.id)


def _live_package(settings: Settings, steps: list[Step]) -> SessionPackage | None:
    """The package of the session that is live now, if we have started it."""
    rows = RowSecrets(sealer=make_sealer(settings))
    for step in reversed(steps):
        if step.state == "live" and (package := rows.package(step)) is not None:
            return package
    return None


def _print_pointer(settings: Settings, package: SessionPackage | None) -> None:
    if package is None:
        print("there is no live session whose pointer is known")
        return
    print(f"pointer  {json.dumps(package.session_ptr.to_wire())}")
    print(f"link     {universal_link(settings, package.session_ptr)}")
