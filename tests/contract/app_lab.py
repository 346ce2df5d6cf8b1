"""A pretend IRMA server with an endpoint, and the requests of an app and a frontend."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from orchestrator.proof.endpoints import Script, endpoint_at_work, no_content
from tests.contract.sandbox_lab import Json, sandbox_at_work

STUDENT_ID = "irma-demo.RU.studentCard.studentID"
DISCLOSURE: Json = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[[STUDENT_ID]]],
}
ISSUANCE: Json = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [
        {
            "credential": "irma-demo.RU.studentCard",
            "attributes": {
                "university": "Radboud",
                "studentCardNumber": "31415927",
                "studentID": "999",
                "level": "42",
            },
            "revocationKey": "cohort-42",
        }
    ],
}
APP = {
    "Authorization": "app-token",
    "X-IRMA-MinProtocolVersion": "2.8",
    "X-IRMA-MaxProtocolVersion": "2.8",
}
PROOFS: Json = {"disclosed": [[{"id": STUDENT_ID, "rawvalue": "456"}]]}


@dataclass
class Lab:
    """A server, an endpoint and somebody who talks to both."""

    http: aiohttp.ClientSession
    server: str
    endpoint: str

    async def start(self, plain: Json = DISCLOSURE, *, chained: bool = False) -> Json:
        """Start a session; its package."""
        target = {"nextSession": {"url": f"{self.endpoint}/next"}} if chained else {}
        url = f"{self.server}/session"
        async with self.http.post(url, json={"request": plain, **target}) as response:
            return await response.json()

    async def connected(self, plain: Json = DISCLOSURE, *, chained: bool = False) -> Json:
        """Start a session whose app has come for the request; its package."""
        package = await self.start(plain, chained=chained)
        assert (await self.ask("GET", package["sessionPtr"]["u"]))[0] == 200
        return package

    async def result(self, package: Json) -> Json:
        """The result of a session as it stands."""
        url = f"{self.server}/session/{package['token']}/result"
        return (await self.ask("GET", url))[1]

    async def pointer(self, plain: Json = DISCLOSURE, *, chained: bool = False) -> str:
        """Start a session; where its app finds it."""
        u: str = (await self.start(plain, chained=chained))["sessionPtr"]["u"]
        return u

    async def ask(self, method: str, url: str, **options: Json) -> tuple[int, Json]:
        """Make a request; status and JSON of the answer."""
        options = {"headers": APP, **options}
        async with self.http.request(method, url, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def lab(script: Script = no_content, **options: Json) -> AsyncIterator[Lab]:
    """Everything that is needed, gone afterwards."""
    options = {"allow_unsigned_callbacks": True, **options}
    async with (
        endpoint_at_work(script) as endpoint,
        sandbox_at_work(**options) as (_, server),
        aiohttp.ClientSession() as http,
    ):
        yield Lab(http, server, endpoint.url)
