"""Reading URLs and answers: plain values in, plain values out."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from orchestrator.callbacks.answers import (
    GZIP_MEMBERS_MAX,
    AnswerBroken,
    AnswerTooLong,
    BodyReader,
    aborts,
    authorization,
    location_origin,
    read_url,
    retry_after_s,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BASE = URL("https://endpoint.example:8443/next")


@pytest.mark.parametrize(
    "text",
    [
        "http://h.example",
        "https://h.example:8443/a%2Fb/../c//d?x=%3D&x=+&%7e=~#f",
        "http://127.0.0.1:1/%zz",
        "http://[::1]:8080/p",
        "http://user:pa%20ss@h.example/p",
        "http://under_score.example/",
    ],
)
def test_urls_stay_as_they_are(text: str) -> None:
    """Nothing in a URL is decoded, encoded or tidied up."""
    url = read_url(text)
    assert url is not None
    assert str(url) == text


@pytest.mark.parametrize(
    "text,wire",
    [
        ("http://h.example/a b", "http://h.example/a%20b"),
        ("http://h.example/é?ü", "http://h.example/%C3%A9?%C3%BC"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ],
)
def test_what_no_request_line_takes_is_encoded(text: str, wire: str) -> None:
    """Spaces and letters beyond ASCII go out as a browser or Go would send them."""
    assert str(read_url(text)) == wire


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no url",
        "h.example/p",
        "/p",
        "//h.example/p",
        "ftp://h.example/p",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///p",
        "http:h.example",
        "http://:80/p",
        "http://h.example:99999/",
        "http://h.example:0/",
        "http://h.example:x/",
        "http://[::1/p",
        "http://h.example/\r\nX: y",
        "http://h.example/\x00",
        "http:// h.example/",
    ],
)
def test_what_is_no_url_to_call(text: str) -> None:
    """Without http or https and a host, or with control characters, there is no call."""
    assert read_url(text) is None


@given(st.text(max_size=60) | st.text(max_size=40).map("http://{}".format))
def test_reading_urls_never_fails(text: str) -> None:
    """Any text is a URL to call or none; nothing else happens."""
    url = read_url(text)
    assert url is None or url.scheme in {"http", "https"}


@pytest.mark.parametrize(
    "text,header",
    [
        ("http://h.example/", None),
        ("http://user:pass@h.example/", "Basic dXNlcjpwYXNz"),
        ("http://user@h.example/", "Basic dXNlcjo="),
        ("http://u%20r:p%C3%A4ss%3A@h.example/", "Basic dSByOnDDpHNzOg=="),
    ],
)
def test_user_data_is_basic_authorization(text: str, header: str | None) -> None:
    """User and password of a URL are sent as HTTP knows them, percent-decoded."""
    assert authorization(URL(text, encoded=True)) == header


@pytest.mark.parametrize(
    "location,origin",
    [
        (None, None),
        ("https://other.example/MARKER?MARKER", "https://other.example"),
        ("http://u:MARKER@other.example:81/", "http://other.example:81"),
        ("/MARKER", "https://endpoint.example:8443"),
        ("MARKER", "https://endpoint.example:8443"),
        ("//other.example/MARKER", "https://other.example"),
        ("mailto:MARKER", None),
        ("http://[::1", None),
    ],
)
def test_location_is_reduced_to_its_origin(
    location: str | None, origin: str | None
) -> None:
    """Of a redirect only scheme, host and port may be told."""
    assert location_origin(location, BASE) == origin


@given(st.text(max_size=40) | st.text(max_size=30).map("//{}".format))
def test_reading_locations_never_fails(text: str) -> None:
    """Whatever an endpoint puts there, it is an origin or nothing."""
    origin = location_origin(text, BASE)
    assert origin is None or "://" in origin


@pytest.mark.parametrize(
    "text,delay_s",
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("3.", 3.0),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("inf", None),
        ("nan", None),
        ("9" * 13, None),
        ("٣", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60.0),
        ("Friday, 02-Jan-26 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 04:05:05 +0100", 60.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0),
        ("Fri, 99 Jan 2026 03:05:05 GMT", None),
        ("Fri, 02 Jan 99999 03:05:05 GMT", None),
    ],
)
def test_retry_after(text: str | None, delay_s: float | None) -> None:
    """Seconds or a date; what is past is now, what is neither is nothing."""
    assert retry_after_s(text, NOW) == delay_s


@pytest.mark.parametrize(
    "text,aborted",
    [(None, False), ("", False), ("abort", True), (" Abort ", True), ("aborted", False)],
)
def test_abort(text: str | None, *, aborted: bool) -> None:
    """One word, in whatever case; any other is for others."""
    assert aborts(text) is aborted


@given(st.text(max_size=40))
def test_reading_retry_after_never_fails(text: str) -> None:
    """Whatever an endpoint puts there, it is a pause or nothing."""
    delay_s = retry_after_s(text, NOW)
    assert delay_s is None or 0 <= delay_s < timedelta.max.total_seconds()


def read(chunks: list[bytes], encoding: str = "", bytes_max: int = 1000) -> bytes:
    """The body of these chunks."""
    reader = BodyReader(bytes_max, encoding)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.body()


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", " X-GZIP "]), st.data())
def test_bodies_come_out_whole(body: bytes, encoding: str, data: st.DataObject) -> None:
    """However a body is cut into chunks, packed or not, it comes out the same."""
    sent = gzip.compress(body) if encoding else body
    cut = data.draw(st.integers(0, len(sent)))
    assert read([sent[:cut], sent[cut:]], encoding) == body


def test_a_file_of_several_gzip_members_is_one_body() -> None:
    """Members follow each other as in any gzip file (RFC 1952 §2.2)."""
    sent = gzip.compress(b"one, ") + gzip.compress(b"") + gzip.compress(b"two")
    assert read([sent], "gzip") == b"one, two"
    assert read([sent[i : i + 1] for i in range(len(sent))], "gzip") == b"one, two"


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_limit_is_exact(encoding: str) -> None:
    """A body of just the limit is read, one more byte is too many."""
    pack = gzip.compress if encoding else bytes
    assert len(read([pack(b"x" * 1000)], encoding)) == 1000
    with pytest.raises(AnswerTooLong):
        read([pack(b"x" * 1001)], encoding)


def test_a_gzip_bomb_is_not_unpacked() -> None:
    """No more is unpacked than the limit and one byte, whatever would come out."""
    bomb = gzip.compress(bytes(50_000_000))
    reader = BodyReader(1_000_000, "gzip")
    with pytest.raises(AnswerTooLong):
        reader.feed(bomb)
    assert len(reader._body) == 1_000_001


def test_nothing_packed_endlessly_is_too_long() -> None:
    """Members without content count as what was sent."""
    empty = gzip.compress(b"")
    with pytest.raises(AnswerTooLong):
        read([empty] * 1000, "gzip")


def test_a_body_in_thousands_of_pieces_is_not_put_together() -> None:
    """Empty members only cost time, so there is a limit to their number too."""
    last = gzip.compress(b"body")
    empty = gzip.compress(b"")
    sent = empty * (GZIP_MEMBERS_MAX - 1) + last
    assert read([sent], "gzip", bytes_max=10_000) == b"body"
    with pytest.raises(AnswerBroken):
        read([empty + sent], "gzip", bytes_max=10_000)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"not gzip", id="not gzip"),
        pytest.param(gzip.compress(b"body")[:-1], id="cut"),
        pytest.param(gzip.compress(b"body")[:5], id="cut in the header"),
        pytest.param(gzip.compress(b"body") + b"rest", id="something after it"),
        pytest.param(gzip.compress(b"body")[:-8] + bytes(8), id="wrong checksum"),
        pytest.param(zlib.compress(b"body"), id="zlib"),
    ],
)
def test_broken_gzip_is_no_answer(sent: bytes) -> None:
    """What does not unpack completely was not understood."""
    with pytest.raises(AnswerBroken):
        read([sent], "gzip")


def test_other_codings_stay_packed() -> None:
    """What we did not ask for is not unpacked; it will not be a session request."""
    assert read([b"\x01\x02"], "br") == b"\x01\x02"
    bomb = zlib.compress(bytes(50_000))
    assert read([bomb], "deflate") == bomb
    twice = gzip.compress(gzip.compress(bytes(50_000)))
    assert read([twice], "gzip, gzip") == twice
    assert read([b"{}"], "identity") == b"{}"
    assert read([], "gzip") == b""
