"""A session that was forwarded becomes known as soon as its token is told.

The clock would find it in a moment; but whoever is told a token may use it at once.
"""

from __future__ import annotations

import structlog

from orchestrator.domain.chain import Step
from orchestrator.domain.errors import StoreUnavailable, UnknownChain
from orchestrator.gateway.desk import Desk
from orchestrator.pointing import next_found_live

_log = structlog.get_logger(__name__)


async def found_live(desk: Desk, row: Step, token: str) -> None:
    """`forwarded` → `live` (rule H1): its backend has stored `row` DONE with this token.

    What fails is left to the clock.
    """
    try:
        live = await next_found_live(desk.rulings, desk.backend, desk.rows, row, token)
    except (StoreUnavailable, UnknownChain) as error:
        _log.warning("forwarded.left_to_clock", why=type(error).__name__)
    else:
        _log.info("forwarded.found", live=live)
