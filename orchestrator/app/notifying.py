"""What session and clock worker share: telling a requestor's own `callbackUrl`."""

from __future__ import annotations

from orchestrator.app.tools import Tools
from workers.notifying import Notifier


def make_notifier(tools: Tools) -> Notifier:
    """Makes the deliveries of final results."""
    return Notifier(
        rows=tools.rows, make=tools.make, slash=tools.settings.callback_url_slash
    )
