"""A session that was forwarded becomes known as soon as its token is told.

The clock would find it in a moment; but whoever is told a token may use it at once.
"""

from __future__ import annotations

import structlog

from orchestrator.domain import lookup
from orchestrator.domain.chain import Step
from orchestrator.domain.errors import StoreUnavailable, UnknownChain
from orchestrator.gateway.desk import Desk
from orchestrator.pointing import package_of_next

_log = structlog.get_logger(__name__)


async def found_live(desk: Desk, row: Step, token: str) -> None:
    """`forwarded` → `live` (rule H1): its backend has stored `row` DONE with this token.

    What fails is left to the clock.
    """
    slot = row.slot.following
    try:
        package = await package_of_next(desk.backend, desk.rows, row, token)
        sealed = None if package is None else desk.rows.seal_package(slot, package)
        live = await desk.rulings.by_outbox(
            slot,
            lambda view: lookup.found_live(
                view,
                slot,
                token_hash=desk.sealer.token_hash(token),
                sealed_token=desk.rows.seal_token(slot, token),
                sealed_package=sealed,
            ),
        )
    except (StoreUnavailable, UnknownChain) as error:
        _log.warning("forwarded.left_to_clock", why=type(error).__name__)
    else:
        _log.info("forwarded.found", live=live)
