"""HTTP: the requestor API, the bridge and the callback receiver.

Uses ports only; `orchestrator.app` hands it the adapters.
"""

from orchestrator.gateway.application import create_app
from orchestrator.gateway.desk import Desk, Options

__all__ = ["Desk", "Options", "create_app"]
