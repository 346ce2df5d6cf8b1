"""Plays recorded probes of an IRMA server's requestor API against any server.

The rules are those of the recordings: an answer must equal the recorded one in status,
`error`, `description`, every field of a 200 and the headers shown; `message` is ours to
word only in the probes that `OUR_WORDS` names.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import jwt

from tests.contract.request_jwts import Json, Keys, made_jwt

RECORDED: Final[Json] = json.loads(
    (Path(__file__).parent / "vectors" / "requestor-api.json").read_text()
)
PROBES: Final[dict[str, Json]] = {probe["name"]: probe for probe in RECORDED["probes"]}

#: Further probes of the same kind that were not recorded: what they expect follows from
#: the server's source, as a reviewer who knows it played them.
MORE: Final[dict[str, Json]] = {
    probe["name"]: probe
    for probe in json.loads(
        (Path(__file__).parent / "vectors" / "more-probes.json").read_text()
    )["probes"]
}

#: The server's `message` comes from Go's JSON parser or its scheme store, or is missing.
OUR_WORDS: Final = frozenset(
    {
        "attribute as number",
        "deep nesting",
        "issuance attribute number",
        "issuance unknown attribute",
        "issuance unknown credential",
        "issuance validity string",
        "jwt sub and claim disagree",
        "labels with a bad key",
        "not JSON",
        "timeout as fraction",
        "validity as string",
    }
)

#: A defect of the server that nobody copies: what is answered in place of the recording.
WE_ANSWER: Final[dict[str, Json]] = {
    "nextSession empty object": {
        "status": 400,
        "error": "INVALID_REQUEST",
        "description": "Invalid HTTP request",
        "message": "nextSession provided with empty URL",
    },
    "jwt sub and claim disagree": {
        "status": 400,
        "error": "INVALID_REQUEST",
        "description": "Invalid HTTP request",
    },
}

_POINTER: Final = re.compile(r"/irma/session/([A-Za-z0-9]{20})(?![A-Za-z0-9])")
_STATIC_START: Final = re.compile(r"/irma/session/[A-Za-z0-9_]+")
#: How long a token has been expired depends on how long its way was.
_EXPIRED_FOR: Final = re.compile(r"(token is expired by )[0-9hms]+")
_CLOCK_SLACK_S: Final = 10
#: The token of a session that was not started.
_NO_SESSION: Final = "A" * 20


@dataclass(frozen=True)
class Addresses:
    """What the placeholders of recorded steps stand for; base URLs without a path."""

    #: The IRMA server: sessions' pointers begin with it.
    server: str
    #: Where `nextSession` and `callbackUrl` point to; nobody needs to be there.
    endpoint: str = "http://endpoint.example"

    def names(self) -> dict[str, str]:
        """The placeholders by name."""
        return {
            "server": self.server,
            "server_host": urlsplit(self.server).netloc,
            "endpoint": self.endpoint,
            "endpoint_host": urlsplit(self.endpoint).netloc,
        }


#: The base URL of the server that a step is for.
ServerFor = Callable[[Json], str]


def for_irma_server(step: Json) -> bool:
    """Whether a step is for the IRMA server: all of `/irma/` but static starts."""
    static = step["method"] == "POST" and _STATIC_START.fullmatch(step["path"])
    return step["path"].startswith("/irma/") and not static


def configuration(
    name: str, *, keys: Keys, jwt_privkey: str, addresses: Addresses
) -> dict[str, Json]:
    """A recorded configuration in the server's own option names, its keys filled in."""
    options: dict[str, Json] = filled(RECORDED["configurations"][name], addresses.names())
    if "jwt_privkey" in options:
        options["jwt_privkey"] = jwt_privkey
    if "pkreq" in options.get("requestors", {}):
        options["requestors"]["pkreq"]["key"] = keys.pkreq_public_pem
    return options


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    text: str


class Prober:
    """Plays the steps of one probe, remembering the tokens of its last session."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        server_for: ServerFor,
        *,
        addresses: Addresses,
        keys: Keys,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._server_for = server_for
        self._keys = keys
        self._now = now
        #: What placeholders stand for by now.
        self.names = {"rt": _NO_SESSION, **addresses.names()}

    async def play(self, probe: Json) -> None:
        """Play all steps, each with the answer it should get."""
        for step in probe["steps"]:
            answer = await self.ask(step)
            self._remember(answer.text)
            compare(
                answer,
                filled(expected(step, probe["name"]), self.names),
                our_words=probe["name"] in OUR_WORDS,
                now=self._now(),
            )

    async def ask(self, step: Json) -> Answer:
        """Make the request of a step."""
        request = filled(
            {name: value for name, value in step.items() if name != "answer"}, self.names
        )
        async with self._http.request(
            request["method"],
            self._server_for(step) + request["path"],
            headers=request["headers"],
            data=body_of(request, self._keys, self._now()),
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
        ) as response:
            return Answer(response.status, response.headers, await response.text())

    def _remember(self, text: str) -> None:
        """Keep the tokens of a session that was started."""
        if pointer := _POINTER.search(text):
            self.names["ct"] = pointer[1]
        if "sessionPtr" in text:
            package = json.loads(text)
            self.names["rt"] = package["token"]
            self.names["ft"] = package["frontendRequest"]["authorization"]


def expected(step: Json, name: str) -> Json:
    """The recorded answer, or ours where the recorded server had a defect."""
    if name not in WE_ANSWER:
        return step["answer"]
    ours = WE_ANSWER[name]
    return {"status": ours["status"], "headers": step["answer"]["headers"], "json": ours}


def compare(answer: Answer, recorded: Json, *, our_words: bool, now: float) -> None:
    """Assert that an answer is the recorded one."""
    assert answer.status == recorded["status"], answer.text
    shown = {name: answer.headers.get(name) for name in recorded["headers"]}
    assert shown == recorded["headers"]
    if "jwt_claims" in recorded:
        compare_jwt(answer.text, recorded, now)
    elif "json" in recorded:
        given = _worded(json.loads(answer.text), our_words=our_words)
        assert given == _worded(recorded["json"], our_words=our_words)
    elif recorded["body"] == "<PEM PUBLIC KEY>":
        assert answer.text.startswith("-----BEGIN PUBLIC KEY-----\n")
    else:
        assert answer.text == recorded["body"]


def compare_jwt(token: str, recorded: Json, now: float) -> None:
    """Compare a JWT's header and claims; its times are recorded in relation."""
    assert jwt.get_unverified_header(token) == recorded["jwt_header"]
    claims = jwt.decode(token, options={"verify_signature": False})
    expiry = re.fullmatch(r"iat\+(\d+)", recorded["jwt_claims"]["exp"])
    assert expiry is not None
    assert abs(claims["iat"] - now) < _CLOCK_SLACK_S
    times = {"iat": claims["iat"], "exp": claims["iat"] + int(expiry[1])}
    assert claims.pop("token")  # the recording leaves it out
    assert claims == recorded["jwt_claims"] | times


def body_of(request: Json, keys: Keys, now: float) -> BytesIO | None:
    """The body of a recorded request."""
    match request:
        case {"json": document}:
            text = json.dumps(document)
        case {"jwt": description}:
            text = made_jwt(description, keys, now)
        case {"text_repeat": [part, times]}:
            text = part * times
        case {"pad": length}:
            text = json.dumps(_PADDED) + " " * length
        case {"text": text} | {"raw": text}:
            pass
        case _:
            return None
    return BytesIO(text.encode())


def filled(document: Json, names: Mapping[str, str]) -> Json:
    """The same document with `{server}` and the like replaced."""
    text = json.dumps(document)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return json.loads(text)


_PADDED: Final = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[["irma-demo.RU.studentCard.studentID"]]],
}


def _worded(document: Json, *, our_words: bool) -> Json:
    """The document without its message where that is ours, without its times anyway."""
    if not isinstance(document, dict) or "message" not in document:
        return document
    if our_words:
        return {name: value for name, value in document.items() if name != "message"}
    return {**document, "message": _EXPIRED_FOR.sub(r"\1…", document["message"])}
