"""Plans of replays with the configuration's keys and requestors."""

from __future__ import annotations

from orchestrator.app.tools import make_requestors, make_sealer
from orchestrator.planning import Planner
from orchestrator.ports import Store, utc_now
from orchestrator.settings import Settings


def make_planner(settings: Settings, store: Store) -> Planner:
    """Makes plans and changes them."""
    return Planner(
        store=store,
        sealer=make_sealer(settings),
        requestors=requestor_keys(settings),
        clock=utc_now,
    )


def requestor_keys(settings: Settings) -> dict[str, str]:
    """The keys of those that are configured, by their names."""
    known = make_requestors(settings).by_key.values()
    return {requestor.name: requestor.key for requestor in known}
