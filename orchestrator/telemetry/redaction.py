"""What may be in a log line: a list of rules anyone can read, and pure functions.

No attribute value, token, pointer, seed or URL path is in a log (G6). Three nets hold
that: values under telling names are hidden, texts are searched for what looks like a
secret, and objects and foreign exceptions are named by their type only, since pydantic,
SQLAlchemy and aiohttp repeat values in their texts.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from traceback import walk_tb
from types import TracebackType
from typing import Final

HIDDEN: Final = "[hidden]"

_DENIED: Final = """
    authorization body cookie cookies disclosed dsn header headers jwt package param
    params password path payload pem plain pointer ptr query rawvalue request result
    results sealed secret secrets seed signature target token tokens uri url urls value
    values
"""

#: A key that has one of these words hides its value.
DENIED_WORDS: Final = frozenset(_DENIED.split())

#: Numbers whose key ends so are sizes and times, whatever they measure.
MEASURES: Final = frozenset({"bytes", "count", "max", "ms", "s"})

#: Packages whose exceptions have texts fit for a log, and whose frames are shown.
OWN_PACKAGES: Final = ("schemas", "orchestrator", "workers")

_TEXT_MAX: Final = 2_000
_ITEMS_MAX: Final = 50
_DEPTH_MAX: Final = 5
_FRAMES_MAX: Final = 20
_CAUSES_MAX: Final = 10

_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\Z)", re.DOTALL
)
_LAST_WORD: Final = re.compile(r"\S*\Z")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,19})://(\S*)")
_QUOTED_URL: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,19}%3A%2F%2F\S*", re.IGNORECASE
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_SEALED: Final = re.compile(
    r"(?<![A-Za-z0-9])v[0-9]\.[A-Za-z0-9_-]{1,32}\.[A-Za-z0-9_-]{30,}"
)
_JWT: Final = re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?")
_IRMA_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{20}(?![A-Za-z0-9])")
_TOKEN_CHARS: Final = 20


def redacted(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of a log line with everything hidden that must not be in it."""
    return {key: _field(key, value, 0) for key, value in fields.items()}


def scrubbed(text: str) -> str:
    """A text with URLs reduced to their origin and tokens, seals and keys masked."""
    text = _shortened(text)
    for mark, secret, shown in _SECRETS:
        if mark in text:
            text = secret.sub(shown, text)
    return _IRMA_TOKEN.sub("[token]", text) if len(text) >= _TOKEN_CHARS else text


def exception_fields(error: BaseException) -> dict[str, object]:
    """An exception as log fields: type, text if it is ours, causes, our own frames."""
    fields: dict[str, object] = {"error": type_name(error)}
    if _is_own(error) and str(error):
        fields["error_text"] = scrubbed(str(error))
    causes = [type_name(cause) for cause in islice(_causes(error), _CAUSES_MAX)]
    if causes:
        fields["error_causes"] = causes
    frames = list(_own_frames(error.__traceback__))
    if frames:
        fields["error_frames"] = frames[-_FRAMES_MAX:]
    return fields


def type_name(error: BaseException) -> str:
    """An exception's qualified type, with the error number's name where it has one."""
    cls = type(error)
    name = cls.__qualname__
    if cls.__module__ != "builtins":
        name = f"{cls.__module__}.{name}"
    code = error.errno if isinstance(error, OSError) else None
    return f"{name} {errno.errorcode[code]}" if code and code in errno.errorcode else name


def _field(key: str, value: object, depth: int) -> object:
    telling, measuring = _kind_of(key)
    if not telling or value is None or isinstance(value, bool):
        return _value(value, depth)
    measured = measuring and isinstance(value, (int, float))
    return value if measured else HIDDEN


@lru_cache(maxsize=1_000)
def _kind_of(key: str) -> tuple[bool, bool]:
    """Whether a key is telling, and one of a measure; each line has the same keys."""
    words = [word.lower() for word in _WORD.findall(key)]
    measuring = bool(words) and words[-1] in MEASURES
    return not DENIED_WORDS.isdisjoint(words), measuring


def _value(value: object, depth: int) -> object:
    shown: object
    match value:
        case str():
            shown = scrubbed(str(value))
        case None | bool() | int() | float():
            shown = value
        case date():
            shown = value.isoformat()
        case timedelta():
            shown = value.total_seconds()
        case bytes() | bytearray():
            shown = f"<{len(value)} bytes>"
        case BaseException():
            shown = type_name(value)
        case dict() if depth < _DEPTH_MAX:
            pairs = islice(value.items(), _ITEMS_MAX)
            shown = {scrubbed(str(k)): _field(str(k), v, depth + 1) for k, v in pairs}
        case list() | tuple() | set() | frozenset() if depth < _DEPTH_MAX:
            shown = [_value(item, depth + 1) for item in islice(value, _ITEMS_MAX)]
        case _:
            shown = f"<{type(value).__qualname__}>"
    return shown


def _shortened(text: str) -> str:
    """A long text up to the last whole word, lest half a token pass unnoticed."""
    if len(text) <= _TEXT_MAX:
        return text
    return _LAST_WORD.sub("…", text[:_TEXT_MAX], count=1)


def _origin(found: re.Match[str]) -> str:
    """A URL's scheme and host; hidden where user data might pass for the host."""
    scheme, rest = found.groups()
    authority, *beyond = re.split(r"[/?#\\]", rest, maxsplit=1)
    if any("@" in part for part in beyond):
        return f"{scheme}://{HIDDEN}"
    host = _HOST.match(authority.rpartition("@")[2])
    return f"{scheme}://{host[0] if host else ''}"


#: What is searched for, in this order, and a mark without which it cannot be there.
_SECRETS: Final = (
    ("-----BEGIN ", _PEM, "[pem]"),
    ("://", _URL, _origin),
    ("%", _QUOTED_URL, "[url]"),
    (".", _SEALED, "[sealed]"),
    ("eyJ", _JWT, "[jwt]"),
)


def _is_own(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in OWN_PACKAGES


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What led to an error, nearest first; the members of a group count as its causes."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield member
            yield from _causes(member)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield cause
        yield from _causes(cause)


def _own_frames(traceback: TracebackType | None) -> Iterator[str]:
    """Where the error passed through our code, outermost first: places, no values."""
    for frame, line in walk_tb(traceback):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in OWN_PACKAGES:
            yield f"{module}:{line} {frame.f_code.co_qualname}"
