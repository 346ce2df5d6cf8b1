"""Host patterns are read as Go's `path.Match` reads them (irma.md §3.3)."""

import pytest

from schemas.irma.hosts import host_pattern

#: Pattern, host, whether it is meant.
READ: list[tuple[str, str, bool]] = [
    ("", "", True),
    ("", "a", False),
    ("irma.example:8088", "irma.example:8088", True),
    ("irma.example", "irmaXexample", False),
    ("*", "a.b:1", True),
    ("*", "a\nb", True),
    ("*", "a/b", False),
    ("**", "", True),
    ("*.example", "a.b.example", True),
    ("*.example", "a.example.evil", False),
    ("a*/b", "a/c/b", False),
    ("a*/b", "abc/b", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("a?b", "a☺b", True),
    ("a?b", "a/b", False),
    ("a?b", "ab", False),
    ("a[b-d]", "ac", True),
    ("a[e-g]", "ac", False),
    ("a[^e-g]", "ac", True),
    ("a[^c]", "ac", False),
    ("a[^c]b", "a/b", True),
    ("[xa-c*?]", "*", True),
    ("[xa-c*?]", "d", False),
    ("[z-a]", "m", False),
    ("[^z-a]", "m", True),
    ("[\\]\\-]", "]", True),
    ("[\\]\\-]", "-", True),
    ("[\\]\\-]", "\\", False),
    ("[!a]", "b", False),
    ("[[]", "[", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "axb", False),
    ("\\a", "a", True),
    ("a]", "a]", True),
    ("(a|b)+", "a", False),
    ("*[^x]*b", "axb", True),
    # A star has taken the first place that fits, and no other is tried.
    ("*[^x]*b", "a/b", False),
]


@pytest.mark.trap("T18")
@pytest.mark.parametrize("pattern,host,meant", READ)
def test_a_pattern_means_hosts(pattern: str, host: str, *, meant: bool) -> None:
    """Stars, question marks, classes and backslashes, and nothing else."""
    compiled = host_pattern(pattern)
    assert compiled is not None
    assert (compiled.match(host) is not None) == meant


@pytest.mark.parametrize(
    "pattern",
    [
        *("[", "[^", "[a", "[^bc", "a/b[", "*[", "[]", "[]a]"),
        *("[-]", "[-x]", "[x-]", "[a-b-c]"),
        *("\\", "a\\", "[\\", "[a\\", "[a-\\"),
    ],
)
def test_a_malformed_pattern_is_none(pattern: str) -> None:
    """An open or empty class, half a range, a backslash at the end."""
    assert host_pattern(pattern) is None


def test_many_stars_take_no_time() -> None:
    """No host makes a pattern try all ways to divide it."""
    compiled = host_pattern("*a" * 30 + "b")
    assert compiled is not None
    assert compiled.match("a" * 5_000) is None
