"""An IRMA server, spoken to as any of its requestors would."""

from orchestrator.backends.irma.backend import IrmaBackend

__all__ = ["IrmaBackend"]
