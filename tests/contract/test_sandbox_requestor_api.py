"""The pretend IRMA server answers requestors as a real one 1.3.0 did: recorded probes.

A probe is left out where it needs what the sandbox does not have; the table says what.
"""

import json
import re
from io import BytesIO

import aiohttp
import pytest

from tests.contract.sandbox_lab import (
    Json,
    claims_of,
    localised,
    sandbox_at_work,
    vectors,
)

pytestmark = pytest.mark.contract

RECORDED = vectors("requestor-api.json")
PROBES: dict[str, Json] = {probe["name"]: probe for probe in RECORDED["probes"]}

LEFT_OUT = {
    "schemes": {
        "two non singletons in one conjunction",
        "revocation of a type that has none",
        "issuance unknown credential",
        "issuance unknown attribute",
    },
    "requests in JWTs": {
        name
        for name, probe in PROBES.items()
        if any("jwt" in step for step in probe["steps"])
    },
    "legacy requests": {"legacy in request", "legacy signing"},
    "static sessions": {"static session", "unknown static session"},
    "server-sent events": {"sse off"},
    "pairing": {"frontend pairingcompleted too early"},
    "revocation": {"revocation unknown key"},
}
PLAYED = sorted(PROBES.keys() - set().union(*LEFT_OUT.values()))

#: The server's `message` comes from Go's JSON parser.
OUR_WORDS = {
    "attribute as number",
    "deep nesting",
    "issuance attribute number",
    "issuance validity string",
    "labels with a bad key",
    "not JSON",
    "timeout as fraction",
    "validity as string",
}


def options_of(configuration: str, jwt_privkey: str) -> dict[str, Json]:
    """A recorded configuration as far as the sandbox knows its options."""
    recorded = RECORDED["configurations"][configuration]
    options = {
        name: recorded[name]
        for name in ("disclose_perms", "sign_perms", "issue_perms", "jwt_issuer")
        if name in recorded
    }
    options["allow_unsigned_callbacks"] = recorded.get("allow_unsigned_callbacks", False)
    if "jwt_privkey" in recorded:
        options["jwt_privkey"] = jwt_privkey
    options["requestors"] = {
        name: {key: value for key, value in requestor.items() if key != "auth_method"}
        for name, requestor in recorded.get("requestors", {}).items()
        if requestor["auth_method"] == "token"
    }
    return options


def body_of(step: Json) -> BytesIO | None:
    """The body of a recorded request."""
    if "json" in step:
        return BytesIO(json.dumps(step["json"]).encode())
    if "text_repeat" in step:
        text, times = step["text_repeat"]
        return BytesIO((text * times).encode())
    if "pad" in step:
        return BytesIO(b" " * step["pad"])
    text = step.get("text", step.get("raw"))
    return None if text is None else BytesIO(text.encode())


class Prober:
    """Plays the steps of one probe, remembering the tokens of its last session."""

    def __init__(self, server: str) -> None:
        host = server.removeprefix("http://")
        self.names = {"server": server, "server_host": host, "endpoint": "http://e"}

    async def play(self, http: aiohttp.ClientSession, step: Json, name: str) -> None:
        """Make one request and compare its answer."""
        request = localised(step, **self.names)
        async with http.request(
            request["method"],
            self.names["server"] + request["path"],
            headers=request["headers"],
            data=body_of(request),
            skip_auto_headers=("Content-Type",),
        ) as response:
            text = await response.text()
            headers = response.headers
        self.remember(text)
        answer = localised(step["answer"], **self.names)
        assert response.status == answer["status"]
        assert {key: headers.get(key) for key in answer["headers"]} == answer["headers"]
        if "jwt_claims" in answer:
            compare_claims(claims_of(text), answer["jwt_claims"])
        elif "json" in answer:
            assert without_message(json.loads(text), name) == without_message(
                answer["json"], name
            )
        elif answer["body"] == "<PEM PUBLIC KEY>":
            assert text.startswith("-----BEGIN PUBLIC KEY-----\n")
        else:
            assert text == answer["body"]

    def remember(self, text: str) -> None:
        """Keep the tokens of a session that was started."""
        if "sessionPtr" in text:
            package = json.loads(text)
            self.names |= {
                "rt": package["token"],
                "ct": package["sessionPtr"]["u"].rsplit("/", 1)[1],
                "ft": package["frontendRequest"]["authorization"],
            }


def compare_claims(claims: Json, recorded: Json) -> None:
    """Compare what a JWT says; its times are given in relation."""
    validity_s = int(re.fullmatch(r"iat\+(\d+)", recorded["exp"])[1])  # type: ignore[index] # a mismatch fails the test
    assert claims["exp"] == claims["iat"] + validity_s
    named = {key: claims[key] for key in recorded if key not in {"exp", "iat"}}
    assert named == {key: recorded[key] for key in named}


def without_message(answer: Json, name: str) -> Json:
    """The answer, without its message where that is ours to word."""
    if name not in OUR_WORDS:
        return answer
    assert answer["message"]
    return {key: value for key, value in answer.items() if key != "message"}


@pytest.mark.parametrize("name", PLAYED)
async def test_recorded_probe(name: str, jwt_privkey: str) -> None:
    """Every step is answered as the real server did, or as we said we would."""
    probe = PROBES[name]
    options = options_of(probe["config"], jwt_privkey)
    async with sandbox_at_work(**options) as (_, server), aiohttp.ClientSession() as http:
        prober = Prober(server)
        for step in probe["steps"]:
            if step["path"].endswith("/getproof"):
                continue  # The legacy proof is not part of the sandbox.
            await prober.play(http, corrected(step, probe), name)


def corrected(step: Json, probe: Json) -> Json:
    """The step with the one answer where the recorded server gave two."""
    if probe["name"] != "nextSession empty object":
        assert "we_answer" not in probe
        return step
    first, _ = json.JSONDecoder().raw_decode(step["answer"]["body"])
    return {**step, "answer": {**step["answer"], "json": first}}


def test_nothing_is_left_out_by_mistake() -> None:
    """Every name in the tables is that of a recorded probe."""
    assert set(PLAYED) >= OUR_WORDS
    for names in LEFT_OUT.values():
        assert names <= PROBES.keys()
    assert len(PLAYED) == 82
