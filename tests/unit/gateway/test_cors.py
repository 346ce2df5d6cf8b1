"""Cross-origin requests are answered as by an IRMA server (irma.md §1.2)."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from orchestrator.gateway import faults
from orchestrator.gateway.cors import Cors
from tests.support.asgi import Answer, Exchange, call

ORIGIN = {"Origin": "https://shop.example"}


def app() -> FastAPI:
    """An application with one route that answers and one that fails."""
    made = FastAPI(redirect_slashes=False)
    faults.install(made)
    made.add_middleware(Cors)

    @made.get("/it")
    async def it() -> str:
        return "it"

    @made.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    return made


async def asked(**headers: str) -> Answer:
    """What a browser is answered that asks beforehand."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(app(), "OPTIONS", "/it", headers=named)


def allowed(answer: Answer) -> dict[str, str]:
    """The headers of consent."""
    start = "access-control-allow-"
    return {k[len(start) :]: v for k, v in answer.headers.items() if k.startswith(start)}


@pytest.mark.parametrize("path", ["/it", "/nowhere"])
async def test_every_answer_varies_by_origin(path: str) -> None:
    """Also that of an unknown route."""
    answer = await call(app(), "GET", path)
    assert answer.headers["vary"] == "Origin"
    assert allowed(answer) == {}


@pytest.mark.parametrize("path", ["/it", "/nowhere"])
async def test_any_page_may_read_an_answer(path: str) -> None:
    """Whatever its origin; no credentials of the browser are asked for."""
    answer = await call(app(), "GET", path, headers=ORIGIN)
    assert allowed(answer) == {"origin": "*"}


async def test_methods_beyond_the_list_are_not_for_pages() -> None:
    """The answer is given, but a browser keeps it from the page."""
    answer = await call(app(), "PUT", "/it", headers=ORIGIN)
    assert (answer.status, allowed(answer)) == (405, {})


async def test_a_defect_is_readable_too() -> None:
    """It is told from outside of everything else."""
    exchange = Exchange(method="GET", path="/broken", headers=ORIGIN)
    with pytest.raises(ZeroDivisionError):
        await exchange.by(app())
    assert exchange.answer.status == 500
    assert exchange.answer.headers["vary"] == "Origin"
    assert allowed(exchange.answer) == {"origin": "*"}


@pytest.mark.parametrize("method", ["GET", "post", "DELETE"])
async def test_a_browser_gets_consent_to_what_is_listed(method: str) -> None:
    """Method and headers come back; no route is called."""
    answer = await asked(
        **ORIGIN,
        Access_Control_Request_Method=method,
        Access_Control_Request_Headers="authorization, content-type,cache-control",
    )
    assert (answer.status, answer.body) == (200, b"")
    assert allowed(answer) == {
        "origin": "*",
        "methods": method.upper(),
        "headers": "Authorization, Content-Type, Cache-Control",
    }


async def test_consent_without_headers_names_none() -> None:
    """A plain question about a method."""
    answer = await asked(**ORIGIN, Access_Control_Request_Method="DELETE")
    assert allowed(answer) == {"origin": "*", "methods": "DELETE"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Access_Control_Request_Method": "GET"},
        ORIGIN | {"Access_Control_Request_Method": "PUT"},
        ORIGIN
        | {
            "Access_Control_Request_Method": "GET",
            "Access_Control_Request_Headers": "X-Anything",
        },
    ],
)
async def test_a_no_is_200_without_consent(headers: dict[str, str]) -> None:
    """No origin, no such method, no such header."""
    answer = await asked(**headers)
    assert (answer.status, answer.body, allowed(answer)) == (200, b"", {})


@pytest.mark.parametrize(
    "path, consent",
    [
        ("/events", True),
        ("/chains/C1/events", True),
        ("/chains/C1/events/", False),
        ("/chains/C1", False),
        ("/chains/C1/of/events", False),
        ("/chains//events", False),
        ("/events/C1", False),
        ("/events\n", False),
        ("/session", False),
        ("/session/abc/statusevents", False),
        ("/session/abc/events", False),
    ],
)
async def test_a_page_may_say_where_it_was_in_the_events(
    path: str, *, consent: bool
) -> None:
    """No other route of ours knows that header, nor does an IRMA server."""
    answer = await call(
        app(),
        "OPTIONS",
        path,
        headers=ORIGIN
        | {
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,last-event-id",
        },
    )
    assert (answer.status, answer.body) == (200, b"")
    assert allowed(answer) == (
        {"origin": "*", "methods": "GET", "headers": "Authorization, Last-Event-Id"}
        if consent
        else {}
    )


async def test_a_preflight_varies_by_all_it_looks_at() -> None:
    """One header line each, as the IRMA server's library writes them."""
    exchange = Exchange(
        method="OPTIONS", path="/it", headers={"Access-Control-Request-Method": "GET"}
    )
    await exchange.by(app())
    start = exchange.sent[0]
    assert [v.decode() for k, v in start["headers"] if k == b"vary"] == [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    ]


async def test_options_without_a_question_is_a_method_like_others() -> None:
    """405 where a route does not have it."""
    answer = await call(app(), "OPTIONS", "/it", headers=ORIGIN)
    assert (answer.status, allowed(answer)) == (405, {"origin": "*"})


async def test_what_is_no_http_passes_by() -> None:
    """The start of the process is told to the application as it is."""
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        seen.append(scope)

    async def receive() -> Message:
        return {}

    async def send(_: Message) -> None:
        """Nothing is said."""

    await Cors(inner)({"type": "lifespan"}, receive, send)
    assert seen == [{"type": "lifespan"}]
