"""An example `nextSession` endpoint: what an integrator writes, as a small server.

`POST /` takes the result JWT of a disclosed full name, verifies it, and answers with the
issuance of a membership whose own `nextSession` is `/done`; `POST /done` answers 204.
With `POST /plain` the membership has no `nextSession`, which ends the chain too.
"""

import argparse
from collections.abc import Awaitable, Callable

import aiohttp
import jwt
from aiohttp import web
from pydantic import JsonValue

FULLNAME = "irma-demo.gemeente.personalData.fullname"
MEMBERSHIP = "irma-demo.IRMATube.member"

Claims = dict[str, JsonValue]


class Endpoint:
    """Verifies results with the orchestrator's public key and says what is next."""

    def __init__(self, public_key_url: str, own_url: str) -> None:
        self._public_key_url = public_key_url
        self._own_url = own_url
        self._public_key: str | None = None
        #: What was asked and answered, for whoever wants to check: no values.
        self.journal: list[Claims] = []

    def routes(self) -> list[web.RouteDef]:
        """Where it listens."""
        return [
            web.post("/", self.offer_membership),
            web.post("/plain", self.offer_membership),
            web.post("/done", self.done),
            web.get("/journal", self.show_journal),
            web.get("/health", self.health),
        ]

    async def offer_membership(self, request: web.Request) -> web.Response:
        """A full name was disclosed: offer a membership in that name."""
        claims = await self._verified(request)
        name = _disclosed(claims, FULLNAME)
        membership: Claims = {
            "@context": "https://irma.app/ld/request/issuance/v2",
            "credentials": [
                {
                    "credential": MEMBERSHIP,
                    "attributes": {"fullname": name, "type": "premium", "id": "123456"},
                }
            ],
        }
        if request.path == "/plain":
            return web.json_response(membership)
        chained = {
            "request": membership,
            "nextSession": {"url": f"{self._own_url}/done"},
        }
        return web.json_response(chained)

    async def done(self, request: web.Request) -> web.Response:
        """The membership was received: that was all."""
        await self._verified(request)
        return web.Response(status=204)

    async def show_journal(self, _: web.Request) -> web.Response:
        """What was asked and answered."""
        return web.json_response(self.journal)

    async def health(self, _: web.Request) -> web.Response:
        """It listens."""
        return web.Response(text="OK")

    async def _verified(self, request: web.Request) -> Claims:
        """The claims of the result JWT, once its signature holds."""
        token = await request.text()
        claims: Claims = jwt.decode(token, await self._key(), algorithms=["RS256"])
        if claims["status"] != "CONNECTED" or claims["proofStatus"] != "VALID":
            raise web.HTTPBadRequest(text="not a proved session")
        self.journal.append(
            {
                "path": request.path,
                "webhook_id": request.headers["webhook-id"],
                "subject": claims["sub"],
                "verified": True,
            }
        )
        return claims

    async def _key(self) -> str:
        if self._public_key is None:
            async with (
                aiohttp.ClientSession() as http,
                http.get(self._public_key_url) as response,
            ):
                response.raise_for_status()
                self._public_key = await response.text()
        return self._public_key


def _disclosed(claims: Claims, attribute: str) -> str:
    """The value of a disclosed attribute."""
    groups = claims["disclosed"]
    for group in groups if isinstance(groups, list) else []:
        for found in group if isinstance(group, list) else []:
            if isinstance(found, dict) and found["id"] == attribute:
                return str(found["rawvalue"])
    raise web.HTTPBadRequest(text=f"{attribute} was not disclosed")


@web.middleware
async def _bad_signatures(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    try:
        return await handler(request)
    except jwt.InvalidTokenError as error:
        raise web.HTTPBadRequest(text=type(error).__name__) from None


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--public-key-url", required=True)
    options = parser.parse_args()
    own_url = f"http://127.0.0.1:{options.port}"
    app = web.Application(middlewares=[_bad_signatures])
    app.add_routes(Endpoint(options.public_key_url, own_url).routes())
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
