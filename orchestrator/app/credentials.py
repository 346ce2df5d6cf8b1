"""Keys that the configuration gives as text or names a file for."""

from __future__ import annotations

from orchestrator.domain.errors import NotConfigured
from orchestrator.settings import IrmaServer, Requestor


def key_text(entry: Requestor | IrmaServer, *, whose: str) -> str | None:
    """The key of an entry, from its file if it names one; None without any.

    Raises:
        NotConfigured: the file cannot be read; the text says whose it is.
    """
    if entry.key is not None:
        return entry.key.get_secret_value()
    if entry.key_file is None:
        return None
    try:
        return entry.key_file.read_text(encoding="ascii").strip()
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise NotConfigured(f"{whose}: key_file: {entry.key_file.name}: {why}") from None
    except UnicodeDecodeError:
        raise NotConfigured(f"{whose}: key_file: holds no key") from None
