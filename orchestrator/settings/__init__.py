"""Everything that can be configured: read from file and environment, checked once."""

from orchestrator.settings.loading import CONFIG_VARIABLE, load_settings
from orchestrator.settings.sections import (
    IrmaServer,
    Operator,
    PublishedKey,
    Requestor,
    Sealing,
)
from orchestrator.settings.settings import PREFIX, Settings

__all__ = [
    "CONFIG_VARIABLE",
    "PREFIX",
    "IrmaServer",
    "Operator",
    "PublishedKey",
    "Requestor",
    "Sealing",
    "Settings",
    "load_settings",
]
