"""The app's side of the app protocol, with values for proofs (reference irma.md §4.5)."""

import json
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
from pydantic import JsonValue

from schemas.irma import InvalidDocument, JsonObject, SessionPointer, SessionType
from schemas.irma.documents import built

#: The app repeats a request twice, and only where it got no answer at all.
ATTEMPTS: Final = 3


class Failed(Exception):
    """The server answered with an error, or not at all (status 0)."""

    def __init__(self, http_status: int, error: JsonValue = None) -> None:
        super().__init__(http_status)
        self.http_status = http_status
        self.error = error


@dataclass(frozen=True)
class Pairing:
    """Instead of the request: the code to be typed into the page first."""

    code: str


class AppClient:
    """One session at an IRMA server, as the app has it."""

    def __init__(self, http: aiohttp.ClientSession, u: str) -> None:
        self._http = http
        self._u = u
        self._headers = {
            "Authorization": secrets.token_hex(10),
            "X-IRMA-MinProtocolVersion": "2.8",
            "X-IRMA-MaxProtocolVersion": "2.8",
        }

    async def start_static(self) -> SessionPointer:
        """Have a static session started: what a scan of its printed QR does."""
        return built(
            SessionPointer, await self._object("POST", "", b"{}"), InvalidDocument
        )

    async def connect(self) -> JsonObject | Pairing:
        """Fetch the session request, or the code to pair with."""
        answer = await self._object("GET", "")
        match answer:
            case {"request": dict() as request}:
                return request
            case {"options": {"pairingCode": str() as code}}:
                return Pairing(code)
            case _:
                raise Failed(HTTPStatus.OK, "no session request")

    async def status(self) -> JsonValue:
        """The session's status, which takes no authorization."""
        return await self._call("GET", "/status")

    async def request(self) -> JsonObject:
        """Fetch the session request once paired."""
        return await self._object("GET", "/request")

    async def prove(
        self, kind: SessionType, disclosed: list[list[JsonObject]]
    ) -> JsonObject:
        """Send what the server takes for proofs."""
        path = "/commitments" if kind is SessionType.ISSUING else "/proofs"
        body = json.dumps({"disclosed": disclosed}).encode()
        return await self._object("POST", path, body)

    async def delete(self) -> None:
        """Cancel the session; the app does not care whether that works."""
        try:
            await self._call("DELETE", "")
        except Failed:
            return

    async def _object(
        self, method: str, path: str, body: bytes | None = None
    ) -> JsonObject:
        answer = await self._call(method, path, body)
        if not isinstance(answer, dict):
            raise Failed(HTTPStatus.OK, answer)
        return answer

    async def _call(self, method: str, path: str, body: bytes | None = None) -> JsonValue:
        for _ in range(ATTEMPTS):
            try:
                async with self._http.request(
                    method, f"{self._u}{path}", data=body, headers=self._headers
                ) as response:
                    return _document(response.status, await response.read())
            except (aiohttp.ClientError, TimeoutError):
                continue
        raise Failed(0)


def _document(status: int, body: bytes) -> JsonValue:
    """The JSON of an answer; an error is JSON too, but a 503 is HTML."""
    try:
        document: JsonValue = json.loads(body) if body else {}
    except ValueError:
        raise Failed(status) from None
    if status != HTTPStatus.OK:
        raise Failed(status, document)
    return document
