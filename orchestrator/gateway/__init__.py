"""HTTP: the requestor API, the bridge and the callback receiver.

Uses ports only; `orchestrator.app` hands it the adapters.
"""

from orchestrator.gateway.application import create_app
from orchestrator.gateway.desk import Desk

__all__ = ["Desk", "create_app"]
