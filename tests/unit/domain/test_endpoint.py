"""What may be said openly of a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.endpoint import (
    NO_ORIGIN,
    endpoint_named,
    events_origin_of,
    origin_of,
)


@pytest.mark.parametrize(
    "url,origin",
    [
        ("https://shop.example/next?x=1", "https://shop.example:443"),
        ("http://shop.example", "http://shop.example:80"),
        ("HTTPS://Shop.Example:8443/", "https://shop.example:8443"),
        ("https://user:secret@shop.example/", "https://shop.example:443"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]:80"),
        ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080"),
        ("http://192.0.2.1:81/", "http://192.0.2.1:81"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    """The default port is named; path, query and user info are not."""
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/next",
        "/next",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "https://",
        "https:///next",
        "https://user:secret@/",
        "http://[::1/",
        "http://shop.example:0/",
        "http://shop.example:65536/",
        "http://shop.example:secret/",
    ],
)
def test_what_cannot_be_called_has_no_origin(url: str) -> None:
    """Nothing of such a URL is repeated."""
    assert origin_of(url) == NO_ORIGIN


@given(
    st.text("abc:@/?#", max_size=12),
    st.sampled_from(["/", "?", "#"]),
    st.text(max_size=12),
)
def test_nothing_after_the_host_is_ever_said(host: str, mark: str, rest: str) -> None:
    """Whatever a URL looks like, its path, query and fragment do not show."""
    assert "MARKER" not in origin_of(f"https://{host}.example{mark}MARKER{rest}")


def test_an_endpoint_of_events_is_another_one() -> None:
    """By a prefix that no URL which can be called has."""
    url = "https://shop.example/told?x=1"
    assert events_origin_of(url) == "events+https://shop.example:443"
    assert origin_of(events_origin_of(url)) == NO_ORIGIN


@pytest.mark.parametrize(
    "text,endpoint",
    [
        ("https://shop.example/x", "https://shop.example:443"),
        ("events+https://shop.example/x", "events+https://shop.example:443"),
        ("events+acme-2", "events+acme-2"),
        ("acme-2", NO_ORIGIN),
        ("events+", NO_ORIGIN),
        ("events+shop.example", NO_ORIGIN),
        ("events+events+https://shop.example", NO_ORIGIN),
        ("shop.example", NO_ORIGIN),
    ],
)
def test_operators_name_either(text: str, endpoint: str) -> None:
    """As lists show them, or by any URL there."""
    assert endpoint_named(text) == endpoint
