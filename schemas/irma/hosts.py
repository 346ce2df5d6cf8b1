r"""Patterns of hosts, as Go's `path.Match` reads them (reference irma.md §3.3).

    *        any characters but a slash
    ?        one character, but no slash
    [a-z]    one of these; [^a-z] one of all others, a slash included
    \c       the character c itself

A star gives way to the first place where what follows fits, and takes nothing back.
"""

import re
from typing import Final

_NO_SLASHES: Final = "[^/]*"


def host_pattern(pattern: str) -> re.Pattern[str] | None:
    """What matches the whole of a host that a pattern means; None if it is malformed."""
    chunks = _chunks(pattern)
    if chunks is None:
        return None
    first, *others = chunks
    if not others:
        return re.compile(rf"{first}\Z")
    *between, last = others
    # An atomic group takes the first place that fits, for good.
    committed = "".join(f"(?>{_NO_SLASHES}?{chunk})" for chunk in between if chunk)
    return re.compile(rf"{first}{committed}{_NO_SLASHES}{last}\Z")


def _chunks(pattern: str) -> list[str] | None:
    """Expressions of what stands between the stars; None if one makes no sense."""
    chunks, at = [""], 0
    while at < len(pattern):
        if pattern[at] == "*":
            chunks.append("")
            at += 1
            continue
        term = _class(pattern, at) if pattern[at] == "[" else _character(pattern, at)
        if term is None:
            return None
        chunks[-1] += term[0]
        at = term[1]
    return chunks


def _character(pattern: str, at: int) -> tuple[str, int] | None:
    """An expression of one character, and where the next term begins."""
    if pattern[at] == "?":
        return "[^/]", at + 1
    literal = _literal(pattern, at)
    return literal and (re.escape(literal[0]), literal[1])


def _class(pattern: str, at: int) -> tuple[str, int] | None:
    """An expression of a class, and where the next term begins."""
    at += 1
    negated = pattern.startswith("^", at)
    at += negated
    ranges = ""
    while not (ranges and pattern.startswith("]", at)):
        found = _range(pattern, at)
        if found is None:
            return None
        ranges, at = f"{ranges}|{found[0]}", found[1]
    one_of = ranges.removeprefix("|")
    return rf"(?:(?!{one_of})[\s\S])" if negated else f"(?:{one_of})", at + 1


def _range(pattern: str, at: int) -> tuple[str, int] | None:
    """An expression of `c` or `lo-hi` in a class; one that ends before it begins."""
    low = _member(pattern, at)
    if low is None:
        return None
    high: tuple[str, int] | None = low
    if pattern.startswith("-", low[1]):
        high = _member(pattern, low[1] + 1)
    if high is None:
        return None
    if low[0] > high[0]:
        return "(?!)", high[1]
    return f"[{re.escape(low[0])}-{re.escape(high[0])}]", high[1]


def _member(pattern: str, at: int) -> tuple[str, int] | None:
    """A bound of a range; the class must not end before or right after it."""
    if pattern[at : at + 1] in {"", "-", "]"}:
        return None
    literal = _literal(pattern, at)
    return literal if literal and literal[1] < len(pattern) else None


def _literal(pattern: str, at: int) -> tuple[str, int] | None:
    """The character that stands here, or the one after a backslash."""
    if pattern[at] == "\\":
        at += 1
    return (pattern[at], at + 1) if at < len(pattern) else None
