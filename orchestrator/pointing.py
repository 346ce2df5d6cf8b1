"""Finds out the pointer of a session that its backend has started by itself."""

from __future__ import annotations

from orchestrator.domain.chain import Step
from orchestrator.domain.errors import BackendRefused, BackendUnavailable
from orchestrator.ports import Backend
from orchestrator.rows import RowSecrets
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
