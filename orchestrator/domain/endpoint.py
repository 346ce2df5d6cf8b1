"""What may be said openly of a URL: its origin (DESIGN §2, "endpoint")."""

from __future__ import annotations

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}

#: Said of a URL that has no origin; it cannot be called either.
NO_ORIGIN = "invalid:"


def origin_of(url: str) -> str:
    """`scheme://host:port` of an http(s) URL, else `NO_ORIGIN`.

    Breakers, limits and pauses belong to it; path, query and user info stay secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return NO_ORIGIN
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or not parts.hostname or port == 0:
        return NO_ORIGIN
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or default}"
