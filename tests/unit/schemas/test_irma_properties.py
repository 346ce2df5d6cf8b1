"""What holds for every session request, tried on many made-up ones."""

import json
from contextlib import suppress
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from schemas.irma import (
    InvalidSessionRequest,
    parse_session_request,
    request_from_claims,
    session_request_from,
)
from tests.unit.schemas.go_reading import reading

Fields: TypeAlias = dict[str, JsonValue]


class Map(dict[str, JsonValue]):
    """An object whose keys are data: Go takes them as they are written."""


def maps(
    keys: st.SearchStrategy[str],
    values: st.SearchStrategy[JsonValue],
    *,
    min_size: int = 0,
) -> st.SearchStrategy[Map]:
    """Objects whose keys are data."""
    return st.dictionaries(keys, values, min_size=min_size, max_size=3).map(Map)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=12,
)
CREDENTIAL_IDS = st.sampled_from(["a.b.c", "a.b.d", "demo.RU.studentCard"])
ATTRIBUTES = st.builds("{}.{}".format, CREDENTIAL_IDS, st.sampled_from("xyz"))
ATTRIBUTE_REQUESTS = (
    ATTRIBUTES
    | CREDENTIAL_IDS
    | st.fixed_dictionaries(
        {"type": ATTRIBUTES},
        optional={"value": st.none() | st.text(), "notNull": st.booleans(), "x": JSON},
    )
)
#: One attribute per conjunction: always adjacent.
DISCLOSE = st.lists(
    st.lists(
        st.none() | st.lists(ATTRIBUTE_REQUESTS, max_size=1), min_size=1, max_size=2
    ),
    max_size=3,
)
#: What both forms have, read in the same way.
COMMON = {
    "revocation": st.lists(CREDENTIAL_IDS)
    | maps(CREDENTIAL_IDS, st.none() | st.just({"tolerance": 5})),
    "clientReturnUrl": st.none() | st.text(),
    "augmentReturnUrl": st.none() | st.booleans(),
    "host": st.none() | st.text(),
    "unknown": JSON,
}
MODERN = COMMON | {
    "labels": maps(
        st.sampled_from(["0", "1", "+1", "-2", "007"]),
        st.none() | maps(st.text(), st.none() | st.text()),
    ),
    "skipExpiryCheck": st.none() | st.lists(CREDENTIAL_IDS),
    "type": st.text(),
}
#: What only the modern form has means nothing in the legacy one.
LEGACY = COMMON | {
    "@context": st.none() | st.just(""),
    "labels": JSON,
    "skipExpiryCheck": JSON,
}
CREDENTIALS = st.lists(
    st.fixed_dictionaries(
        {"credential": CREDENTIAL_IDS},
        optional={
            "attributes": st.none() | maps(st.text(), st.none() | st.text()),
            "validity": st.none() | st.integers(0, 2**40),
            "unknown": JSON,
        },
    ),
    min_size=1,
    max_size=2,
)
DISCLOSURES = st.fixed_dictionaries(
    {
        "@context": st.just("https://irma.app/ld/request/disclosure/v2"),
        "disclose": DISCLOSE.map(lambda lists: [*lists, [["a.b.c.d"]]]),
    },
    optional=MODERN,
)
SIGNATURES = st.fixed_dictionaries(
    {
        "@context": st.just("https://irma.app/ld/request/signature/v2"),
        "disclose": DISCLOSE.map(lambda lists: [*lists, [[]]]),
        "message": st.text(min_size=1),
    },
    optional=MODERN,
)
ISSUANCES = st.fixed_dictionaries(
    {
        "@context": st.just("https://irma.app/ld/request/issuance/v2"),
        "credentials": CREDENTIALS,
    },
    optional=MODERN | {"disclose": DISCLOSE},
)
LABELLED = st.fixed_dictionaries(
    {
        "attributes": st.lists(ATTRIBUTES | CREDENTIAL_IDS, min_size=1, max_size=3)
        | maps(ATTRIBUTES | CREDENTIAL_IDS, st.none() | st.text(), min_size=1)
    },
    optional={"label": st.none() | st.text(), "unknown": JSON},
)
CONTENT = st.lists(LABELLED, min_size=1, max_size=3)
LEGACY_DISCLOSURES = st.fixed_dictionaries(
    {"type": st.just("disclosing"), "content": CONTENT},
    optional=LEGACY | {"disclose": JSON},
)
LEGACY_SIGNATURES = st.fixed_dictionaries(
    {
        "type": st.just("signing"),
        "content": CONTENT,
        "message": st.text(min_size=1),
    },
    optional=LEGACY | {"disclose": JSON},
)
LEGACY_ISSUANCES = st.fixed_dictionaries(
    {"type": st.just("issuing"), "credentials": CREDENTIALS},
    optional=LEGACY | {"disclose": st.lists(LABELLED, max_size=2), "content": JSON},
)
PLAIN = (
    DISCLOSURES
    | SIGNATURES
    | ISSUANCES
    | LEGACY_DISCLOSURES
    | LEGACY_SIGNATURES
    | LEGACY_ISSUANCES
)
EXTENDED = st.fixed_dictionaries(
    {"request": PLAIN},
    optional={
        "validity": st.none() | st.integers(-5, 500),
        "timeout": st.none() | st.integers(0, 500),
        "callbackUrl": st.none() | st.text(),
        "nextSession": st.none() | st.builds(dict, url=st.text(min_size=1)),
        "@context": st.none() | st.just(""),
        "unknown": JSON,
    },
)


def written(value: JsonValue, random: Random) -> str:
    """The value as JSON text, its fields spelled and repeated as Go does not mind."""
    if isinstance(value, list):
        return f"[{','.join(written(item, random) for item in value)}]"
    if not isinstance(value, dict):
        return json.dumps(value)
    names = list(value)
    if isinstance(value, Map):
        pairs = [(name, written(value[name], random)) for name in names]
    else:
        random.shuffle(names)
        pairs = [pair for name in names for pair in repeated(name, value[name], random)]
    return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in pairs)}}}"


def repeated(name: str, value: JsonValue, random: Random) -> list[tuple[str, str]]:
    """A field, sometimes once more in front, sometimes followed by a null."""
    key = spelled(name, random)
    pairs = [(key, written(value, random))]
    if random.random() < 0.2:
        stale: JsonValue = type(value)() if value is not None else None
        pairs.insert(0, (spelled(name, random), json.dumps(stale)))
    null_key = spelled(name, random)
    if random.random() < 0.2 and isinstance(value, bool | int | str) and null_key != key:
        pairs.append((null_key, "null"))
    return pairs


def spelled(name: str, random: Random) -> str:
    """A name in a case that Go takes for the same."""
    if not name.isascii():
        return name
    odd = name.replace("s", "\u017f").replace("k", "\u212a")
    return random.choice([name, name, name.upper(), name.swapcase(), odd])


@pytest.mark.trap("T34")
@given(document=EXTENDED | PLAIN, seed=st.integers(0, 2**32))
def test_what_is_written_says_what_was_read(document: Fields, seed: int) -> None:
    """An IRMA server reads from what we write what it would have read from what came."""
    body = written(document, Random(seed))
    request = parse_session_request(body)
    sent = json.dumps(request.to_wire())
    assert reading(sent) == reading(body)
    assert parse_session_request(sent) == request


@pytest.mark.trap("T34")
@given(document=EXTENDED)
def test_a_claim_holds_the_same_request(document: Fields) -> None:
    """An extended request is the same one inside the claims of a request JWT."""
    request = session_request_from(document)
    claim = {"disclosing": "sprequest", "signing": "absrequest", "issuing": "iprequest"}
    claims: Fields = {"sub": str(request.type), claim[request.type]: document}
    assert request_from_claims(claims) == request


@given(
    value=JSON
    | st.builds(lambda request: {"request": request}, JSON)
    | st.builds(
        lambda fields: {
            "@context": "https://irma.app/ld/request/issuance/v2",
            "credentials": [{"credential": "a.b.c"}],
            **fields,
        },
        st.dictionaries(
            st.sampled_from(["disclose", "labels", "revocation", "host", "Credentials"]),
            JSON,
        ),
    )
    | st.builds(
        lambda fields: {"type": "disclosing", **fields},
        st.dictionaries(
            st.sampled_from(["content", "Content", "@context", "type", "host"]),
            JSON
            | st.lists(st.builds(lambda given: {"attributes": given}, JSON), max_size=2),
        ),
    )
)
def test_any_json_is_parsed_or_refused(value: JsonValue) -> None:
    """No JSON value ends in anything but a request that can be sent, or a refusal."""
    with suppress(InvalidSessionRequest):
        request = session_request_from(value)
        assert session_request_from(request.to_wire()) == request


@given(claims=st.dictionaries(st.sampled_from(["sub", "sprequest", "Iat"]), JSON))
def test_any_claims_are_parsed_or_refused(claims: Fields) -> None:
    """No claims end in anything but a request or a refusal."""
    for subject in ({}, {"sub": "disclosing"}):
        with suppress(InvalidSessionRequest):
            assert request_from_claims({**claims, **subject}).attribute_ids()


@given(body=st.binary() | st.text())
def test_any_body_is_parsed_or_refused(body: bytes | str) -> None:
    """No body ends in anything but a request or a refusal."""
    with suppress(InvalidSessionRequest):
        assert parse_session_request(body).attribute_ids()
