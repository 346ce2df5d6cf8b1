"""The app's side of the app protocol, with values for proofs (reference irma.md §4.5)."""

import json
import secrets
from http import HTTPStatus
from typing import Final

import aiohttp
from pydantic import JsonValue

from schemas.irma import JsonObject, SessionType

#: The app repeats a request twice, and only where it got no answer at all.
ATTEMPTS: Final = 3


class Failed(Exception):
    """The server answered with an error, or not at all (status 0)."""

    def __init__(self, http_status: int, error: JsonValue = None) -> None:
        super().__init__(http_status)
        self.http_status = http_status
        self.error = error


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

    async def request(self) -> JsonObject:
        """Fetch the session request."""
        answer = await self._call("GET", "")
        request = answer.get("request")
        if not isinstance(request, dict):
            raise Failed(HTTPStatus.OK, "no session request")
        return request

    async def prove(
        self, kind: SessionType, disclosed: list[list[JsonObject]]
    ) -> JsonObject:
        """Send what the server takes for proofs."""
        path = "/commitments" if kind is SessionType.ISSUING else "/proofs"
        body = json.dumps({"disclosed": disclosed}).encode()
        return await self._call("POST", path, body)

    async def delete(self) -> None:
        """Cancel the session; the app does not care whether that works."""
        try:
            await self._call("DELETE", "")
        except Failed:
            return

    async def _call(
        self, method: str, path: str, body: bytes | None = None
    ) -> JsonObject:
        for _ in range(ATTEMPTS):
            try:
                async with self._http.request(
                    method, f"{self._u}{path}", data=body, headers=self._headers
                ) as response:
                    return _object(response.status, await response.read())
            except (aiohttp.ClientError, TimeoutError):
                continue
        raise Failed(0)


def _object(status: int, body: bytes) -> JsonObject:
    """The object in an answer; an error is one too, but a 503 is HTML."""
    try:
        answer: JsonValue = json.loads(body) if body else {}
    except ValueError:
        raise Failed(status) from None
    if status != HTTPStatus.OK or not isinstance(answer, dict):
        raise Failed(status, answer)
    return answer
