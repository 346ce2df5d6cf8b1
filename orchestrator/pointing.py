"""A session that its backend has started by itself becomes known, with its pointer."""

from __future__ import annotations

from orchestrator.domain import lookup
from orchestrator.domain.chain import Step
from orchestrator.domain.errors import BackendRefused, BackendUnavailable
from orchestrator.ports import Backend
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from schemas.irma import SessionPackage


async def package_of_next(
    backend: Backend, rows: RowSecrets, row: Step, token: str
) -> SessionPackage | None:
    """The package of the session that followed this row's, or None if it is not told.

    It has the same frontend token (trap T21); nobody is told whether to pair.

    Args:
        backend: where both sessions are.
        rows: opens the row's secrets.
        row: the session before.
        token: the requestor token of the one that followed.
    """
    package = rows.package(row)
    if package is None:
        return None
    try:
        pointer = await backend.next_pointer(package)
    except (BackendUnavailable, BackendRefused):
        return None
    if pointer is None:
        return None
    frontend = package.frontend_request.model_copy(update={"pairing_hint": None})
    return SessionPackage(sessionPtr=pointer, token=token, frontendRequest=frontend)


async def next_found_live(
    rulings: Rulings, backend: Backend, rows: RowSecrets, row: Step, token: str
) -> bool:
    """`forwarded` → `live` (rule H1): its backend has stored `row` DONE with this token.

    Returns whether it was this that made it live.

    Args:
        rulings: applies the rule.
        backend: where both sessions are.
        rows: opens and seals the rows' secrets.
        row: the session before.
        token: the requestor token of the one that followed.

    Raises:
        StoreUnavailable: whether it was written is unknown.
        UnknownChain: there is no such chain.
    """
    slot = row.slot.following
    package = await package_of_next(backend, rows, row, token)
    sealed_package = rows.seal_package(slot, package) if package else None
    token_hash, sealed_token = rows.sealer.token_hash(token), rows.seal_token(slot, token)
    return await rulings.by_outbox(
        slot,
        lambda view: lookup.found_live(
            view,
            slot,
            token_hash=token_hash,
            sealed_token=sealed_token,
            sealed_package=sealed_package,
        ),
    )
