"""Who asks the pretend server, and whether it may be believed."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import JsonValue

from orchestrator.sandbox.authentication import Authenticated, authenticated
from orchestrator.sandbox.config import AuthMethod, Requestor, SandboxConfig
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.keys import hmac_secret
from schemas.irma import JsonObject

NOW = 1_795_296_044.5
IAT = int(NOW)
SECRET = b"\xfb\xff-a-secret-of-thirty-two-bytes-or-more"
KEY = generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
CONFIG = SandboxConfig(
    url="http://irma.example",
    requestors={
        "Token": Requestor(key="secret"),
        "hm": Requestor(
            auth_method=AuthMethod.HMAC, key=base64.b64encode(SECRET).decode()
        ),
        "pk": Requestor(auth_method=AuthMethod.PUBLICKEY, key=PEM.decode()),
    },
)
NO_AUTH = CONFIG.model_copy(update={"no_auth": True})
NOBODY = "request could not be authenticated"


def signed(header: JsonObject | None = None, **claims: JsonValue) -> str:
    """A JWT of `pk`, if it does not say otherwise; None takes a claim away."""
    given: JsonObject = {"iss": "pk", "iat": IAT, **claims}
    kept = {name: claim for name, claim in given.items() if claim is not None}
    return jwt.encode(kept, KEY, algorithm="RS256", headers=header)


def asks(
    body: str = "{}",
    content_type: str = "text/plain",
    authorization: str | None = None,
    config: SandboxConfig = CONFIG,
) -> Authenticated:
    """Who makes a request."""
    return authenticated(
        config,
        content_type=content_type,
        authorization=authorization,
        body=body.encode(),
        now=NOW,
    )


def refusal(body: str) -> tuple[str | None, str | None]:
    """Error and message that a JWT gets."""
    with pytest.raises(Refused) as caught:
        asks(body)
    return caught.value.error.error, caught.value.error.message


def test_token() -> None:
    """The raw key is a requestor's name; names are in lower case."""
    by = asks(content_type="application/json; charset=utf-8", authorization="secret")
    assert by == Authenticated("token")


def test_signed_request() -> None:
    """A JWT gives a name and the claims."""
    by = asks(signed(exp=IAT + 1, nbf=IAT))
    assert by.requestor == "pk"
    assert by.claims == {"iss": "pk", "iat": IAT, "exp": IAT + 1, "nbf": IAT}


def test_shared_secret() -> None:
    """An HMAC is checked with the secret that the configured base64 stands for."""
    token = jwt.encode({"iss": "hm", "iat": IAT}, SECRET, algorithm="HS256")
    assert asks(token).requestor == "hm"


@pytest.mark.parametrize(
    "key",
    [
        base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode().rstrip("="),
    ],
)
def test_alphabets_of_secrets(key: str) -> None:
    """Both alphabets will do, and the padding may be missing."""
    assert hmac_secret(key) == SECRET


@pytest.mark.parametrize(
    "authorization, content_type, config",
    [
        (None, "application/json", CONFIG),
        ("secret", "text/plain", CONFIG),
        ("x", "application/json", NO_AUTH),
        (None, "text/plain", NO_AUTH),
    ],
)
def test_nobody(
    authorization: str | None, content_type: str, config: SandboxConfig
) -> None:
    """A header too few, a header too many, a JWT where nobody authenticates."""
    with pytest.raises(Refused) as caught:
        asks(signed(), content_type, authorization, config)
    assert caught.value.error.message == NOBODY


def test_no_auth() -> None:
    """Where nobody has to authenticate, a request is nobody's."""
    assert asks(content_type="application/json", config=NO_AUTH) == Authenticated("")


@pytest.mark.parametrize("body", ["", "hello", "a.b.c", signed()[:-9] + "x" * 400 + "!"])
def test_not_a_jwt(body: str) -> None:
    """What is not a JWT is nobody's request, or one with a bad signature."""
    assert refusal(body)[0] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "algorithm, key", [("none", None), ("HS512", SECRET * 2), ("RS512", KEY)]
)
def test_other_algorithms(algorithm: str, key: object) -> None:
    """Two algorithms and no others."""
    token = jwt.encode({"iss": "hm", "iat": IAT}, key, algorithm=algorithm)  # type: ignore[arg-type] # each its own
    assert refusal(token) == ("INVALID_REQUEST", NOBODY)


def test_public_key_as_secret() -> None:
    """A public key is nobody's HMAC secret."""
    head, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "typ": "JWT"}, {"iss": "pk", "iat": IAT})
    )
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(f"{head}.{claims}".encode(), PEM)
    token = f"{head}.{claims}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert refusal(token) == ("INVALID_REQUEST", "Unknown requestor: pk")


@pytest.mark.parametrize(
    "header, issuer, name",
    [
        ({"kid": "pk"}, "somebody", None),
        ({"kid": "somebody"}, "pk", "somebody"),
        ({"kid": "hm"}, "pk", "hm"),
        ({"kid": ""}, "pk", ""),
        (None, None, ""),
        (None, "Pk", "Pk"),
    ],
)
def test_kid_beats_iss(
    header: JsonObject | None, issuer: str | None, name: str | None
) -> None:
    """`kid` names the requestor where it is there, `iss` otherwise."""
    token = signed(header, iss=issuer)
    if name is None:
        assert asks(token).requestor == "pk"
    else:
        assert refusal(token) == ("INVALID_REQUEST", f"Unknown requestor: {name}")


@pytest.mark.parametrize(
    "claims", [{"iss": 5}, {"sub": []}, {"aud": ["x"]}, {"exp": "soon"}, {"iat": True}]
)
def test_standard_claims_of_other_types(claims: JsonObject) -> None:
    """What is no JWT to the server's library is nobody's."""
    body = json.dumps({"iss": "pk", "iat": IAT} | claims).encode()
    token = jwt.PyJWS().encode(body, KEY, algorithm="RS256")
    assert refusal(token) == ("INVALID_REQUEST", NOBODY)


def test_signature_of_another() -> None:
    """Another's signature is refused in the words of that kind of signature."""
    by_hmac = jwt.encode({"iss": "hm", "iat": IAT}, b"x" * 40, algorithm="HS256")
    other = generate_private_key(public_exponent=65537, key_size=2048)
    by_rsa = jwt.encode({"iss": "pk", "iat": IAT}, other, algorithm="RS256")
    assert refusal(by_hmac) == ("INVALID_REQUEST", "signature is invalid")
    assert refusal(by_rsa) == ("INVALID_REQUEST", "crypto/rsa: verification error")


@pytest.mark.parametrize(
    "claims, error, message",
    [
        ({"exp": IAT}, "INVALID_REQUEST", "token is expired by 0s"),
        ({"exp": IAT - 5}, "INVALID_REQUEST", "token is expired by 5s"),
        ({"exp": IAT - 65}, "INVALID_REQUEST", "token is expired by 1m5s"),
        ({"exp": IAT - 3605}, "INVALID_REQUEST", "token is expired by 1h0m5s"),
        ({"nbf": IAT + 1}, "INVALID_REQUEST", "token is not valid yet"),
        ({"iat": IAT + 1}, "INVALID_REQUEST", "token used before issued"),
        ({"iat": IAT + 1, "exp": 1}, "INVALID_REQUEST", "token used before issued"),
        ({"iat": IAT + 1, "nbf": IAT + 1}, "INVALID_REQUEST", "token is not valid yet"),
        ({"iat": 0, "exp": 0, "nbf": 0}, "UNAUTHORIZED", "jwt too old"),
        ({"iat": None}, "UNAUTHORIZED", "jwt too old"),
        ({"iat": IAT - 300}, "UNAUTHORIZED", "jwt too old"),
    ],
)
def test_times(claims: JsonObject, error: str, message: str) -> None:
    """Not yet valid, from the future, expired, too old: without any leeway."""
    assert refusal(signed(None, **claims)) == (error, message)


def test_old_but_not_too_old() -> None:
    """A JWT may be used for as long as requests may be old."""
    assert asks(signed(iat=IAT - 299)).requestor == "pk"
