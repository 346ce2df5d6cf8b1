"""An IRMA server, spoken to as any of its requestors would."""

from orchestrator.backends.irma.backend import IrmaBackend
from orchestrator.backends.irma.proving import RequestKey

__all__ = ["IrmaBackend", "RequestKey"]
