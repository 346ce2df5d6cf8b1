"""What may be said openly of a URL: its origin (DESIGN §2, "endpoint")."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}

#: Before the origin of a URL that events are POSTed to: it is an endpoint of its own, so
#: that what it does to events is never held against the chains' callbacks there.
EVENTS = "events+"

#: Said of a URL that has no origin; it cannot be called either.
NO_ORIGIN = "invalid:"

#: What the key of a requestor looks like (DESIGN §2).
_REQUESTOR = re.compile(r"[a-z0-9-]+")


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


def events_origin_of(url: str) -> str:
    """The endpoint of a requestor's own URL for events: `events+scheme://host:port`."""
    return f"{EVENTS}{origin_of(url)}"


def events_told_to(requestor: str) -> str:
    """What all events for a requestor's own URL can be paused by: `events+acme`.

    Not by their endpoint, as other requestors may have theirs at the same server.
    """
    return f"{EVENTS}{requestor}"


def endpoint_named(text: str) -> str:
    """The endpoint that an operator means: of callbacks, or with `events+` of events."""
    rest = text.removeprefix(EVENTS)
    if rest != text and _REQUESTOR.fullmatch(rest):
        return events_told_to(rest)
    origin = origin_of(rest)
    if origin == NO_ORIGIN or rest == text:
        return origin
    return f"{EVENTS}{origin}"
