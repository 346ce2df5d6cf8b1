"""What a process tells about itself, without telling secrets (G6)."""

from orchestrator.telemetry.logs import bind_chain, configure_logging

__all__ = ["bind_chain", "configure_logging"]
