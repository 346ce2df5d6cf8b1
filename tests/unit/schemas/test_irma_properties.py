"""What holds for every session request, tried on many made-up ones."""

import json
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from schemas.irma import (
    InvalidSessionRequest,
    parse_session_request,
    session_request_from,
)

#: The machine may be busy; what is tried does not depend on how long it takes.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

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
    st.lists(st.lists(ATTRIBUTE_REQUESTS, max_size=1), min_size=1, max_size=2),
    max_size=3,
)
COMMON = {
    "labels": st.dictionaries(
        st.integers(min_value=0, max_value=9).map(str),
        st.none() | st.dictionaries(st.text(), st.none() | st.text()),
    ),
    "revocation": st.lists(CREDENTIAL_IDS)
    | st.dictionaries(CREDENTIAL_IDS, st.none() | st.just({"tolerance": 5})),
    "skipExpiryCheck": st.none() | st.lists(CREDENTIAL_IDS),
    "host": st.none() | st.text(),
    "unknown": JSON,
}
DISCLOSURES = st.fixed_dictionaries(
    {
        "@context": st.just("https://irma.app/ld/request/disclosure/v2"),
        "disclose": DISCLOSE.map(lambda lists: [*lists, [["a.b.c.d"]]]),
    },
    optional=COMMON,
)
ISSUANCES = st.fixed_dictionaries(
    {
        "@context": st.just("https://irma.app/ld/request/issuance/v2"),
        "credentials": st.lists(
            st.fixed_dictionaries(
                {"credential": CREDENTIAL_IDS},
                optional={
                    "attributes": st.dictionaries(st.text(), st.none() | st.text()),
                    "validity": st.none() | st.integers(0, 2**40),
                    "unknown": JSON,
                },
            ),
            min_size=1,
            max_size=2,
        ),
    },
    optional=COMMON | {"disclose": DISCLOSE},
)
EXTENDED = st.fixed_dictionaries(
    {"request": DISCLOSURES | ISSUANCES},
    optional={
        "validity": st.none() | st.integers(-5, 500),
        "timeout": st.none() | st.integers(0, 500),
        "callbackUrl": st.none() | st.text(),
        "nextSession": st.none() | st.builds(dict, url=st.text(min_size=1)),
        "unknown": JSON,
    },
)


@UNHURRIED
@given(document=EXTENDED | DISCLOSURES | ISSUANCES)
def test_what_is_written_is_read_back(document: dict[str, JsonValue]) -> None:
    """Written and parsed again, a session request is the same."""
    request = session_request_from(document)
    assert parse_session_request(json.dumps(request.to_wire())) == request


@UNHURRIED
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
)
def test_any_json_is_parsed_or_refused(value: JsonValue) -> None:
    """No JSON value ends in anything but a request that can be sent, or a refusal."""
    with suppress(InvalidSessionRequest):
        request = session_request_from(value)
        assert session_request_from(request.to_wire()) == request


@UNHURRIED
@given(body=st.binary() | st.text())
def test_any_body_is_parsed_or_refused(body: bytes | str) -> None:
    """No body ends in anything but a request or a refusal."""
    with suppress(InvalidSessionRequest):
        assert parse_session_request(body).attribute_ids()
