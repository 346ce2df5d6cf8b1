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


def test_the_content_type_may_have_parameters(authenticator: Authenticator) -> None:
    """Only how it starts matters."""
    headers = {"content-type": "application/json; charset=utf-8"}
    token = {"authorization": "acmes-secret"}
    assert asked(authenticator, headers | token) == "acme"
    text = {"content-type": "text/plain; charset=utf-8"}
    assert asked(authenticator, text, jwts.by_rsa(claims(), owner="shop")) == "the-shop"


@pytest.mark.parametrize(
    "token", ["wrong", "acmes-secre", "Bearer acmes-secret", "\xe9", "acmes-secret "]
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
    """Signature, `exp`, `nbf`, `iat`, age, then the request: the first fault is told."""
    now = int(NOW.timestamp())
    wrong: JsonObject = {"exp": now - 5, "nbf": now + 5, "iat": now + 5, "sub": "foo"}
    tries: list[tuple[str, JsonObject, str]] = [
        ("thief", wrong, "crypto/rsa: verification error"),
        ("shop", wrong, "token is expired by 5s"),
        ("shop", wrong | {"exp": None}, "token is not valid yet"),
        ("shop", wrong | {"exp": None, "nbf": None}, "token used before issued"),
        ("shop", {"sub": "foo", "iat": now - 301}, "jwt too old"),
        ("shop", {"sub": "foo"}, "Invalid session type"),
    ]
    for owner, fields, message in tries:
        body = jwts.by_rsa(claims() | fields, owner=owner)
        assert refused(authenticator, TEXT, body)[2] == message


@pytest.mark.parametrize("header", [{}, {"kid": "shop"}])
def test_claims_are_read_after_the_signature(
    authenticator: Authenticator, header: dict[str, str]
) -> None:
    """Strangers must not keep us busy with what they claim."""
    deep = json.dumps(claims()).encode()[:-1] + b',"x":' + b"[" * 50 + b"]" * 50 + b"}"
    by_thief = jwts.by_rsa(deep, owner="thief", **header)
    message = refused(authenticator, TEXT, by_thief)[2]
    assert message == "crypto/rsa: verification error"
    by_shop = jwts.by_rsa(deep, owner="shop", **header)
    assert "levels deep" in str(refused(authenticator, TEXT, by_shop)[2])


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
