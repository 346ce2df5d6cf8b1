"""The pretend IRMA server: static sessions, return URLs, revocation, other origins."""

import jwt
import pytest

from tests.contract.app_lab import APP, DISCLOSURE, ISSUANCE, PROOFS, lab
from tests.contract.sandbox_lab import Json, claims_of

ROOT = "irma-demo.MijnOverheid.root"
STATIC: Json = {
    "petition": {
        "callbackUrl": "https://shop.example/signed",
        "request": {
            "@context": "https://irma.app/ld/request/signature/v2",
            "message": "I agree",
            "disclose": DISCLOSURE["disclose"],
        },
    }
}
REVOCATION: Json = {
    "@context": "https://irma.app/ld/request/revocation/v1",
    "type": ROOT,
    "revocationKey": "cohort-42",
}
ISSUE_ROOT: Json = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [
        {"credential": ROOT, "attributes": {"BSN": "1"}, "revocationKey": "cohort-42"}
    ],
}
SIGNATURE: Json = STATIC["petition"]["request"]


async def test_static_session() -> None:
    """An app gets a new session each time; nobody's permissions are looked at."""
    async with lab(static_sessions=STATIC, sign_perms=[]) as here:
        url = f"{here.server}/irma/session/petition"
        first = await here.ask("POST", url, json={})
        second = await here.ask("POST", url, json={})
        status, connected = await here.ask("GET", first[1]["u"])
    assert first[0] == second[0] == status == 200
    assert first[1]["irmaqr"] == "signing"
    assert first[1]["u"] != second[1]["u"]
    assert connected["request"]["message"] == "I agree"


async def test_static_session_that_cannot_start() -> None:
    """A static session the schemes do not allow is malformed input."""
    asked = {**SIGNATURE, "disclose": [[["irma-demo.RU.nope"]]]}
    sessions = {"petition": {**STATIC["petition"], "request": asked}}
    async with lab(static_sessions=sessions) as here:
        url = f"{here.server}/irma/session/petition"
        status, answer = await here.ask("POST", url, json={})
    assert (status, answer["error"]) == (400, "MALFORMED_INPUT")


async def test_augmented_return_url() -> None:
    """The app is sent back with the requestor token."""
    asked = {
        **DISCLOSURE,
        "clientReturnUrl": "https://shop.example/done?a=b",
        "augmentReturnUrl": True,
    }
    async with lab(augment_client_return_url=True) as here:
        package = await here.start(asked)
        _, connected = await here.ask("GET", package["sessionPtr"]["u"])
    expected = f"https://shop.example/done?a=b&token={package['token']}"
    assert connected["request"]["clientReturnUrl"] == expected


async def test_legacy_proof(jwt_privkey: str) -> None:
    """The proof of old has the attributes in one object."""
    async with lab(jwt_privkey=jwt_privkey) as here:
        package = await here.connected()
        await here.ask("POST", f"{package['sessionPtr']['u']}/proofs", json=PROOFS)
        url = f"{here.server}/session/{package['token']}/getproof"
        async with here.http.get(url) as response:
            token = await response.text()
            content_type = response.headers["Content-Type"]
    claims = claims_of(token)
    assert content_type == "text/plain"
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT"}
    assert (claims["sub"], claims["status"]) == ("disclosure_result", "VALID")
    assert claims["attributes"] == {"irma-demo.RU.studentCard.studentID": "456"}


async def test_signed_message() -> None:
    """A signing session's result has the message and what signs it."""
    async with lab() as here:
        package = await here.connected(SIGNATURE)
        await here.ask("POST", f"{package['sessionPtr']['u']}/proofs", json=PROOFS)
        result = await here.result(package)
    assert result["signature"]["message"] == "I agree"
    assert result["signature"]["indices"] == [[{"cred": 0, "attr": 2}]]


async def test_revocation() -> None:
    """What was issued under a key is revoked by it, once; other keys are unknown."""
    async with lab(revoke_perms=["irma-demo.MijnOverheid.*"]) as here:
        url = f"{here.server}/revocation"
        unknown = await here.ask("POST", url, json=REVOCATION, headers={})
        package = await here.connected(ISSUE_ROOT)
        commitments = f"{package['sessionPtr']['u']}/commitments"
        await here.ask("POST", commitments, json={"disclosed": []})
        async with here.http.post(url, json=REVOCATION) as response:
            revoked = (response.status, await response.text())
        again = await here.ask("POST", url, json=REVOCATION, headers={})
    assert (unknown[0], unknown[1]["error"]) == (404, "UNKNOWN_REVOCATION_KEY")
    assert revoked == (200, "OK")
    assert again == unknown


async def test_type_that_cannot_be_revoked() -> None:
    """The key of a type without revocation is unknown, whatever was issued."""
    async with lab(revoke_perms=["*"]) as here:
        package = await here.connected(ISSUANCE)
        commitments = f"{package['sessionPtr']['u']}/commitments"
        await here.ask("POST", commitments, json={"disclosed": []})
        card = {**REVOCATION, "type": "irma-demo.RU.studentCard"}
        url = f"{here.server}/revocation"
        status, answer = await here.ask("POST", url, json=card, headers={})
    assert (status, answer["error"]) == (404, "UNKNOWN_REVOCATION_KEY")


@pytest.mark.parametrize(
    "body, perms, expected",
    [
        (REVOCATION, [], (403, "UNAUTHORIZED")),
        (REVOCATION, ["irma-demo.RU.*"], (403, "UNAUTHORIZED")),
        ({**REVOCATION, "@context": "x"}, ["*"], (400, "INVALID_REQUEST")),
        ({}, ["*"], (400, "INVALID_REQUEST")),
    ],
)
async def test_revocation_refused(
    body: Json, perms: list[str], expected: tuple[int, str]
) -> None:
    """Revoking takes a permission, and a request that says what."""
    async with lab(revoke_perms=perms) as here:
        url = f"{here.server}/revocation"
        status, answer = await here.ask("POST", url, json=body, headers={})
    assert (status, answer["error"]) == expected


@pytest.mark.parametrize(
    "method, headers, allowed",
    [
        ("POST", "authorization,content-type", "Authorization, Content-Type"),
        ("GET", "", None),
        ("DELETE", "Cache-Control", "Cache-Control"),
    ],
)
async def test_preflight(method: str, headers: str, allowed: str | None) -> None:
    """A browser that asks before hears what it asked for, on any path."""
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    async with lab() as here:
        url = f"{here.server}/nowhere"
        async with here.http.options(url, headers=asked) as response:
            answer = response
    assert answer.status == 200
    assert answer.headers.getall("Vary") == [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    ]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == method
    assert answer.headers.get("Access-Control-Allow-Headers") == allowed


@pytest.mark.parametrize(
    "asked",
    [
        {"Access-Control-Request-Method": "GET"},
        {"Origin": "https://s.example", "Access-Control-Request-Method": "PUT"},
        {
            "Origin": "https://s.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-other",
        },
    ],
)
async def test_preflight_without_consent(asked: dict[str, str]) -> None:
    """A question that is not to be granted gets 200 and no consent."""
    async with lab() as here:
        url = f"{here.server}/session"
        async with here.http.options(url, headers=asked) as response:
            answer = response
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "method, path, allowed",
    [("GET", "/health", "*"), ("GET", "/nowhere", "*"), ("PUT", "/session", None)],
)
async def test_answers_to_browsers(method: str, path: str, allowed: str | None) -> None:
    """A page of any origin may read answers, errors included."""
    headers = {**APP, "Origin": "https://shop.example"}
    async with lab() as here:
        url = here.server + path
        async with here.http.request(method, url, headers=headers) as response:
            answer = response
    assert answer.headers.getall("Vary") == ["Origin"]
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed


async def test_options_is_no_method() -> None:
    """OPTIONS without a question is a method like any other."""
    async with (
        lab() as here,
        here.http.options(f"{here.server}/session") as response,
    ):
        assert response.status == 405
