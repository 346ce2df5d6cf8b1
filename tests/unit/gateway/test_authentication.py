"""Who is asking: none, token, hmac and publickey, as an IRMA server's (irma.md §3).

Messages are those of the recorded probes.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from pydantic import JsonValue
from starlette.datastructures import Headers

from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.request_jwts import RequestKey
from schemas.irma import JsonObject, SessionType
from tests.support import jwts
from tests.support.samples import DISCLOSURE, FULLNAME, ISSUANCE, MEMBER, NOW

TOKENS = {"acme": "acmes-secret", "other": "others-secret"}

JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}

NOBODY = (400, "INVALID_REQUEST", "request could not be authenticated")
TOO_OLD = (403, "UNAUTHORIZED", "jwt too old")

PLAIN: JsonObject = {"@context": DISCLOSURE, "disclose": [[[FULLNAME]]]}
ISSUE: JsonObject = {"@context": ISSUANCE, "credentials": [{"credential": MEMBER}]}
REVOKE: JsonObject = {
    "@context": "https://irma.app/ld/request/revocation/v1",
    "type": MEMBER,
    "revocationKey": "k",
}

Refusal = tuple[int | None, str | None, str | None]


@pytest.fixture(scope="module")
def authenticator() -> Authenticator:
    """One requestor of each kind, and two with tokens."""
    public = jwts.rsa_key("shop").public_key()
    return Authenticator(
        tokens=TOKENS,
        keys={
            "shop": RequestKey(requestor="the-shop", algorithm="RS256", secret=public),
            "bank": RequestKey(
                requestor="the-bank", algorithm="HS256", secret=jwts.SECRET
            ),
        },
    )


def claims(iss: str = "shop", *, age_s: int = 0, **more: JsonValue) -> JsonObject:
    """The claims of a disclosure request; None takes one away."""
    fields: JsonObject = {
        "iss": iss,
        "iat": int(NOW.timestamp()) - age_s,
        "sub": "verification_request",
        "sprequest": {"request": PLAIN},
        **more,
    }
    return {name: value for name, value in fields.items() if value is not None}


def asked(
    authenticator: Authenticator,
    headers: dict[str, str],
    body: str | bytes = json.dumps(PLAIN),
    now: datetime = NOW,
) -> str:
    """The requestor that asks for the disclosure."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    sent = body.encode() if isinstance(body, str) else body
    requestor, request = authenticator.session_request(Headers(raw=raw), sent, now)
    assert request.attribute_ids() == [FULLNAME]
    return requestor


def refused(
    authenticator: Authenticator,
    headers: dict[str, str],
    body: str | bytes = json.dumps(PLAIN),
    now: datetime = NOW,
) -> Refusal:
    """Status, error and message of a refusal."""
    with pytest.raises(IrmaFault) as caught:
        asked(authenticator, headers, body, now)
    error = caught.value.error
    return error.status, error.error, error.message


NO_AUTH = Authenticator(tokens=TOKENS, no_auth=True)
ONLY_TOKENS = Authenticator(tokens=TOKENS)


@pytest.mark.parametrize("key", sorted(TOKENS))
@pytest.mark.trap("T11")
def test_a_token_names_its_requestor(authenticator: Authenticator, key: str) -> None:
    """The raw token, without `Bearer`."""
    assert asked(authenticator, JSON | {"authorization": TOKENS[key]}) == key


def test_a_token_is_compared_byte_by_byte() -> None:
    """A client may send UTF-8 in a header, though the server reads Latin-1."""
    sent = "clé-secrète".encode().decode("latin-1")
    french = Authenticator(tokens={"acme": "clé-secrète"})
    assert asked(french, JSON | {"authorization": sent}) == "acme"


@pytest.mark.parametrize("before,after", [(" ", ""), ("", "\t "), ("\t", " \t")])
def test_blanks_around_a_header_are_nothing(
    authenticator: Authenticator, before: str, after: str
) -> None:
    """As Go takes them off, so that a header of blanks alone is none."""
    around = {
        "content-type": f"{before}application/json{after}",
        "authorization": f"{before}acmes-secret{after}",
    }
    assert asked(authenticator, around) == "acme"
    text = {"content-type": f"{before}text/plain", "authorization": before + after}
    assert asked(authenticator, text, jwts.by_rsa(claims(), owner="shop")) == "the-shop"
    refusal = refused(authenticator, {"content-type": f"{before}text/html{after}"})
    assert refusal[2] == "Unsupported Content-Type: text/html"


def test_the_content_type_may_have_parameters(authenticator: Authenticator) -> None:
    """Only how it starts matters."""
    headers = {"content-type": "application/json; charset=utf-8"}
    token = {"authorization": "acmes-secret"}
    assert asked(authenticator, headers | token) == "acme"
    text = {"content-type": "text/plain; charset=utf-8"}
    assert asked(authenticator, text, jwts.by_rsa(claims(), owner="shop")) == "the-shop"


@pytest.mark.parametrize(
    "token", ["wrong", "acmes-secre", "Bearer acmes-secret", "\xe9", "\xa0acmes-secret"]
)
@pytest.mark.trap("T11")
def test_an_unknown_token_is_unauthorized(
    authenticator: Authenticator, token: str
) -> None:
    """403 as the IRMA server's, whatever is given, and the token is not repeated."""
    expected = (403, "UNAUTHORIZED", None)
    assert refused(authenticator, JSON | {"authorization": token}) == expected
    assert refused(Authenticator(), JSON | {"authorization": token}) == expected


@pytest.mark.parametrize("headers", [JSON, JSON | {"authorization": ""}, TEXT])
@pytest.mark.trap("T12")
def test_missing_credentials_are_an_invalid_request(
    authenticator: Authenticator, headers: dict[str, str]
) -> None:
    """IRMA never answers 401, and an empty header is none."""
    assert refused(authenticator, headers) == NOBODY


@pytest.mark.trap("T35")
def test_without_authentication_everybody_is_nobody() -> None:
    """IRMA's requestor "" is ours called anonymous."""
    assert asked(NO_AUTH, JSON) == ANONYMOUS
    assert asked(Authenticator(no_auth=True), JSON | {"authorization": ""}) == ANONYMOUS


@pytest.mark.parametrize("token", ["x", "acmes-secret"])
@pytest.mark.trap("T11")
def test_credentials_are_fatal_where_none_are_needed(token: str) -> None:
    """A server with `no_auth` refuses a token, even one that is configured, and JWTs."""
    assert refused(NO_AUTH, JSON | {"authorization": token}) == NOBODY
    body = jwts.by_rsa(claims(), owner="shop")
    assert refused(NO_AUTH, TEXT, body) == NOBODY


@pytest.mark.parametrize("content_type", ["text/html", "", "xapplication/json"])
def test_other_content_types_are_named(
    authenticator: Authenticator, content_type: str
) -> None:
    """The message is the IRMA server's own, and comes before any look at credentials."""
    headers = {"content-type": content_type, "authorization": "wrong"}
    message = f"Unsupported Content-Type: {content_type}"
    assert refused(authenticator, headers) == (400, "INVALID_REQUEST", message)


def test_no_content_type_is_none_of_ours(authenticator: Authenticator) -> None:
    """A request without one is refused like one with another."""
    refusal = refused(authenticator, {"authorization": "acmes-secret"})
    assert refusal[2] == "Unsupported Content-Type: "


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_signature_names_its_requestor(
    authenticator: Authenticator, ending: str
) -> None:
    """Requestors are known by their routing keys, whatever their names in JWTs are."""
    by_rsa = jwts.by_rsa(claims(), owner="shop") + ending
    by_secret = jwts.by_secret(claims("bank")) + ending
    assert asked(authenticator, TEXT, by_rsa) == "the-shop"
    assert asked(authenticator, TEXT, by_secret) == "the-bank"


@pytest.mark.parametrize("subject", ["issue_request", "issuing"])
def test_the_kind_of_session_is_the_subjects(
    authenticator: Authenticator, subject: str
) -> None:
    """The subject says which claim holds the request; others are not looked at."""
    sent = claims(sub=subject, iprequest={"request": ISSUE})
    body = jwts.by_rsa(sent, owner="shop").encode()
    _, request = authenticator.session_request(TEXT, body, NOW)
    assert request.type is SessionType.ISSUING


@pytest.mark.trap("T15")
def test_kid_beats_iss(authenticator: Authenticator) -> None:
    """The `kid` alone says whose key verifies, and so who is asking."""
    body = jwts.by_rsa(claims("bank"), owner="shop", kid="shop")
    assert asked(authenticator, TEXT, body) == "the-shop"
    other = jwts.by_rsa(claims("shop"), owner="shop", kid="bank")
    message = "Unknown requestor: bank"
    assert refused(authenticator, TEXT, other) == (400, "INVALID_REQUEST", message)


@pytest.mark.parametrize(
    "body,message",
    [
        (jwts.by_rsa(claims("nobody"), owner="shop"), "Unknown requestor: nobody"),
        (jwts.by_rsa(claims(iss="SHOP"), owner="shop"), "Unknown requestor: SHOP"),
        (jwts.by_rsa(claims(), owner="thief"), "crypto/rsa: verification error"),
        (jwts.by_secret(claims("bank"), b"x" * 36), "signature is invalid"),
        (jwts.by_rsa(claims(sub="foo"), owner="shop"), "Invalid session type"),
        (jwts.by_rsa(claims(age_s=-1), owner="shop"), "token used before issued"),
        (
            jwts.by_rsa(claims(nbf=int(NOW.timestamp()) + 1), owner="shop"),
            "token is not valid yet",
        ),
    ],
)
def test_refusals_of_jwts_are_the_servers_own(
    authenticator: Authenticator, body: str, message: str
) -> None:
    """What is wrong with a JWT is said as a real IRMA server says it."""
    assert refused(authenticator, TEXT, body) == (400, "INVALID_REQUEST", message)


@pytest.mark.trap("T13")
def test_there_is_no_leeway_for_the_future(authenticator: Authenticator) -> None:
    """A JWT of this very second is taken, one of the next is not."""
    second = NOW.replace(microsecond=0)
    body = jwts.by_rsa(claims(), owner="shop")
    assert asked(authenticator, TEXT, body, second) == "the-shop"
    earlier = second - timedelta(microseconds=1)
    assert refused(authenticator, TEXT, body, earlier)[2] == "token used before issued"


@pytest.mark.parametrize(
    "late_s,words",
    [(0, "0s"), (6, "6s"), (60, "1m0s"), (3599, "59m59s"), (3661, "1h1m1s")],
)
def test_how_long_ago_it_expired_is_said_as_go_does(
    authenticator: Authenticator, late_s: int, words: str
) -> None:
    """A JWT has expired at the second of its `exp` already."""
    body = jwts.by_rsa(claims(exp=int(NOW.timestamp()) - late_s), owner="shop")
    assert refused(authenticator, TEXT, body)[2] == f"token is expired by {words}"


def test_a_jwt_may_be_used_again_until_it_is_too_old(
    authenticator: Authenticator,
) -> None:
    """No `jti` is kept (irma.md §3.2); the age ends what an eavesdropper may do."""
    body = jwts.by_rsa(claims(jti="once"), owner="shop")
    for later_s in (0, 0, 299, 300):
        at = NOW + timedelta(seconds=later_s)
        assert asked(authenticator, TEXT, body, at) == "the-shop"
    assert refused(authenticator, TEXT, body, NOW + timedelta(seconds=301)) == TOO_OLD


def test_the_age_is_configured() -> None:
    """`max_request_age` counts from the `iat`."""
    key = RequestKey(requestor="bank", algorithm="HS256", secret=jwts.SECRET)
    strict = Authenticator(keys={"bank": key}, request_age_max_s=5)
    assert asked(strict, TEXT, jwts.by_secret(claims("bank", age_s=5))) == "bank"
    assert refused(strict, TEXT, jwts.by_secret(claims("bank", age_s=6))) == TOO_OLD


def test_a_jwt_without_iat_is_too_old(authenticator: Authenticator) -> None:
    """The claim is mandatory in effect."""
    body = jwts.by_rsa(claims(iat=None), owner="shop")
    assert refused(authenticator, TEXT, body) == TOO_OLD


def test_checks_are_made_in_the_servers_order(authenticator: Authenticator) -> None:
    """Signature, `nbf`, `iat`, `exp`, age, then the request: one fault is told."""
    now = int(NOW.timestamp())
    wrong: JsonObject = {"exp": now - 5, "nbf": now + 5, "iat": now + 5, "sub": "foo"}
    tries: list[tuple[str, JsonObject, str]] = [
        ("thief", wrong, "crypto/rsa: verification error"),
        ("shop", wrong, "token is not valid yet"),
        ("shop", wrong | {"nbf": None}, "token used before issued"),
        ("shop", wrong | {"nbf": 0, "iat": now - 301}, "token is expired by 5s"),
        ("shop", {"sub": "foo", "iat": now - 301}, "jwt too old"),
        ("shop", {"sub": "foo"}, "Invalid session type"),
    ]
    for owner, fields, message in tries:
        body = jwts.by_rsa(claims() | fields, owner=owner)
        assert refused(authenticator, TEXT, body)[2] == message


def test_zero_is_no_time(authenticator: Authenticator) -> None:
    """Go cannot tell it from none: such a JWT does not expire, and has no `iat`."""
    body = jwts.by_rsa(claims(exp=0, nbf=0), owner="shop")
    assert asked(authenticator, TEXT, body) == "the-shop"
    assert refused(authenticator, TEXT, jwts.by_rsa(claims(iat=0), owner="shop")) == (
        TOO_OLD
    )


def test_the_longest_time_since_is_gos(authenticator: Authenticator) -> None:
    """Its durations end after 292 years."""
    body = jwts.by_rsa(claims(exp=-(10**12)), owner="shop")
    message = "token is expired by 2562047h47m16.854775807s"
    assert refused(authenticator, TEXT, body)[2] == message


@pytest.mark.parametrize("header", [{}, {"kid": "shop"}, {"kid": "nobody"}])
@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 5} for name in ("aud", "iss", "jti", "sub")),
        {"aud": ["one", "two"]},
        {"SUB": []},
        *({name: "5"} for name in ("exp", "iat", "nbf")),
        {"iat": 1.5},
        {"nbf": True},
        {"exp": 2**63},
        {"IAT": {}},
    ],
)
def test_standard_claims_are_of_their_types(
    authenticator: Authenticator, wrong: JsonObject, header: dict[str, JsonValue]
) -> None:
    """Otherwise it is no JWT to the server's library, whoever is named and signed."""
    for owner in ("shop", "thief"):
        body = jwts.by_rsa(claims() | wrong, owner=owner, **header)
        assert refused(authenticator, TEXT, body) == NOBODY


@pytest.mark.parametrize("name", ["aud", "jti", "exp", "nbf"])
def test_a_null_claim_is_none(authenticator: Authenticator, name: str) -> None:
    """Whatever type it should have."""
    body = jwts.by_rsa({**claims(), name: None}, owner="shop")
    assert asked(authenticator, TEXT, body) == "the-shop"


@pytest.mark.parametrize("header", [{}, {"kid": "shop"}])
@pytest.mark.parametrize(
    "payload", [b"[]", b"5", b"hello", b"", b'{"iss":"shop","x":' + b"[" * 50 + b"]" * 50]
)
def test_claims_that_are_not_read_are_nobodys(
    authenticator: Authenticator, payload: bytes, header: dict[str, JsonValue]
) -> None:
    """No object, no JSON, or too much of it: a stranger must not keep us busy."""
    body = jwts.by_rsa(payload, owner="shop", **header)
    assert refused(authenticator, TEXT, body) == NOBODY


def test_claims_of_null_are_none(authenticator: Authenticator) -> None:
    """Go reads null as no claims at all."""
    message = "Unknown requestor: "
    assert refused(authenticator, TEXT, jwts.by_rsa(b"null", owner="shop"))[2] == message


@pytest.mark.parametrize("kid", [5, None, ["shop"], {}])
def test_a_kid_is_a_string(authenticator: Authenticator, kid: JsonValue) -> None:
    """Even a null one is there, and keeps `iss` from being looked at."""
    body = jwts.by_rsa(claims(), owner="shop", kid=kid)
    assert refused(authenticator, TEXT, body)[2] == "requestor name was not a string"


@pytest.mark.parametrize(
    "signature,at",
    [("AAAA=", 4), ("AA+A", 2), ("/AAA", 0), ("AAAAA", 4), ("AA\nAA\nA", 6)],
)
def test_a_signature_that_is_no_base64url_says_where(
    authenticator: Authenticator, signature: str, at: int
) -> None:
    """As Go does, once the requestor is known; line ends mean nothing to it."""
    signed = jwts.by_rsa(claims(), owner="shop").rpartition(".")[0]
    message = f"illegal base64 data at input byte {at}"
    assert refused(authenticator, TEXT, f"{signed}.{signature}")[2] == message
    unknown = jwts.by_rsa(claims("nobody"), owner="shop").rpartition(".")[0]
    message = "Unknown requestor: nobody"
    assert refused(authenticator, TEXT, f"{unknown}.{signature}")[2] == message


@pytest.mark.parametrize("wrong", ["=", "+", "/", "!", "é"])
@pytest.mark.parametrize("part", [0, 1])
def test_other_parts_that_are_no_base64url_are_nobodys(
    authenticator: Authenticator, part: int, wrong: str
) -> None:
    """At their beginning or anywhere."""
    for at in (0, 3):
        parts = jwts.by_rsa(claims(), owner="shop").split(".")
        parts[part] = parts[part][:at] + wrong + parts[part][at:]
        assert refused(authenticator, TEXT, ".".join(parts)) == NOBODY


def test_a_signature_may_be_broken_into_lines(authenticator: Authenticator) -> None:
    """What was signed may not: a line's end in it belongs to it."""
    body = jwts.by_rsa(claims(), owner="shop")
    assert asked(authenticator, TEXT, f"{body[:-9]}\r\n{body[-9:]}") == "the-shop"
    message = "crypto/rsa: verification error"
    assert refused(authenticator, TEXT, f"\n{body}")[2] == message


@pytest.mark.trap("T34")
def test_in_a_jwt_only_the_extended_form_is_legal(authenticator: Authenticator) -> None:
    """The plain request that would do as JSON is none in a JWT's claim."""
    token = {"authorization": "acmes-secret"}
    assert asked(authenticator, JSON | token, json.dumps(PLAIN)) == "acme"
    extended = json.dumps({"request": PLAIN})
    assert asked(authenticator, JSON | token, extended) == "acme"
    body = jwts.by_rsa(claims(sprequest=PLAIN), owner="shop")
    assert refused(authenticator, TEXT, body)[:2] == (400, "INVALID_REQUEST")


def test_a_known_requestors_bad_request_is_explained(
    authenticator: Authenticator,
) -> None:
    """The message is the parser's; nothing of the body is in the error's context."""
    headers = JSON | {"authorization": "acmes-secret"}
    status, error, message = refused(authenticator, headers, "{}")
    assert (status, error) == (400, "INVALID_REQUEST")
    assert message


def test_revocations_are_authenticated_alike(authenticator: Authenticator) -> None:
    """The same proofs, with the request in a claim of its own."""
    headers = JSON | {"authorization": "acmes-secret"}
    body = json.dumps(REVOKE).encode()
    requestor, request = authenticator.revocation_request(headers, body, NOW)
    assert (requestor, request.type) == ("acme", MEMBER)
    signed = jwts.by_secret(claims("bank", revrequest=REVOKE)).encode()
    requestor, request = authenticator.revocation_request(TEXT, signed, NOW)
    assert (requestor, request.revocation_key) == ("the-bank", "k")
    session = jwts.by_secret(claims("bank")).encode()
    with pytest.raises(IrmaFault, match="INVALID_REQUEST"):
        authenticator.revocation_request(TEXT, session, NOW)


def test_strangers_are_refused_before_their_body_is_read(
    authenticator: Authenticator,
) -> None:
    """The headers alone tell, unless a JWT has to."""
    assert authenticator.by_headers(TEXT) is None
    assert authenticator.by_headers(JSON | {"authorization": "acmes-secret"}) == "acme"
    for headers in (JSON, JSON | {"authorization": "x"}, TEXT | {"authorization": "x"}):
        with pytest.raises(IrmaFault):
            authenticator.by_headers(headers)
