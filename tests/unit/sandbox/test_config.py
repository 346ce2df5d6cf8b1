"""How the pretend server reads its options."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import JsonValue, ValidationError

from orchestrator.sandbox.config import SandboxConfig

CURVE = (
    generate_private_key(SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
DISCLOSURE: JsonValue = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[["irma-demo.RU.studentCard.studentID"]]],
}
ISSUANCE: JsonValue = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [{"credential": "irma-demo.RU.studentCard"}],
}


def config(**options: JsonValue) -> SandboxConfig:
    """A configuration."""
    return SandboxConfig.model_validate({"url": "http://irma.example", **options})


def static(name: str = "petition", **extended: JsonValue) -> dict[str, JsonValue]:
    """The options of a static session."""
    document = {"request": DISCLOSURE, "callbackUrl": "https://shop.example", **extended}
    return {"static_sessions": {name: document}, "allow_unsigned_callbacks": True}


@pytest.mark.parametrize(
    "options, issue_perms",
    [
        ({}, ("*",)),
        ({"production": True}, ()),
        ({"production": True, "issue_perms": ["*"]}, ("*",)),
    ],
)
def test_issuing_in_production(
    options: dict[str, JsonValue], issue_perms: tuple[str, ...]
) -> None:
    """In production nobody issues who was not permitted to."""
    assert config(**options).issue_perms == issue_perms


@pytest.mark.parametrize(
    "options, no_auth",
    [
        ({}, True),
        ({"requestors": {"acme": {"key": "secret"}}}, False),
        ({"requestors": {"acme": {"key": "secret"}}, "no_auth": True}, True),
        ({"no_auth": False}, False),
    ],
)
def test_no_auth(options: dict[str, JsonValue], *, no_auth: bool) -> None:
    """Nobody has to authenticate where nobody can, unless told otherwise."""
    assert config(**options).no_auth is no_auth


def test_names_of_requestors() -> None:
    """Names are in lower case, as the server's configuration library has them."""
    assert config(requestors={"AcMe": {"key": "secret"}}).requestors.keys() == {"acme"}


def test_static_session() -> None:
    """A static session's request is there by its name."""
    made = config(**static())
    request = made.static_request("petition")
    assert request is not None
    assert request.callback_url == "https://shop.example"
    assert made.static_request("other") is None


@pytest.mark.parametrize(
    "options, reason",
    [
        ({**static(), "allow_unsigned_callbacks": False}, "JWT private key"),
        (static("no-name"), "alphanumeric"),
        (static(request=ISSUANCE), "issuing"),
        (static(callbackUrl=None), "callbackUrl or nextSession"),
        (static(request={}), "unmarshal"),
    ],
)
def test_static_session_that_cannot_be(
    options: dict[str, JsonValue], reason: str
) -> None:
    """A static session is unsigned only where allowed, does not issue, tells somebody."""
    with pytest.raises(ValidationError, match=reason):
        config(**options)


@pytest.mark.parametrize(
    "requestor, reason",
    [
        ({"auth_method": "hmac", "key": "*"}, "not base64"),
        ({"auth_method": "publickey", "key": "secret"}, "not PEM"),
        ({"auth_method": "publickey", "key": CURVE}, "not RSA"),
        ({"auth_method": "smell", "key": "secret"}, "auth_method"),
    ],
)
def test_keys_that_cannot_be_read(requestor: JsonValue, reason: str) -> None:
    """A key of another kind than its method needs is found at the start."""
    with pytest.raises(ValidationError, match=reason):
        config(requestors={"acme": requestor})
