"""The chain page, its JSON and its events, as a browser asks for them."""

from __future__ import annotations

import json
from datetime import timedelta
from html.parser import HTMLParser
from typing import cast
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from pydantic import JsonValue

from orchestrator.domain import handover
from orchestrator.domain.chain import Chain
from orchestrator.domain.errors import BackendRefused
from orchestrator.gateway import Options, faults
from orchestrator.gateway.page import page_routes
from orchestrator.telemetry.redaction import redacted
from schemas.chain_page import ChainPage
from schemas.irma import JsonObject
from schemas.messages import End
from tests.support.asgi import Answer, Stream, call, streamed
from tests.support.fakes import token_of
from tests.support.samples import PUBLIC_URL, TARGET, disclosure, issuance, result_of
from tests.support.workshop import Begun, Workshop
from tests.unit.conftest import LoseStore

RETURN = "https://shop.example/back?a=<b>"


def path_of(workshop: Workshop, chain_id: str) -> str:
    """Where a chain's page is."""
    return f"/page/{workshop.sealer.page_token(chain_id)}"


async def get(workshop: Workshop, begun: Begun, more: str = "", **headers: str) -> Answer:
    """What is answered about a chain's page."""
    path = path_of(workshop, begun.id) + more
    return await call(workshop.gateway, "GET", path, headers=headers)


async def status(workshop: Workshop, begun: Begun) -> JsonObject:
    """What the page shows, as JSON."""
    answer = await get(workshop, begun, "/status")
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "application/json; charset=UTF-8",
    )
    ChainPage.model_validate_json(answer.body)
    return answer.fields


def returning(url: str = RETURN, *, augment: bool = False) -> JsonObject:
    """A chained request that names where the app returns to."""
    request = disclosure(TARGET)
    plain = cast("dict[str, JsonValue]", request["request"])
    plain |= {"clientReturnUrl": url, "augmentReturnUrl": augment}
    return request


class Tags(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


async def test_post_session_tells_where_the_page_is(workshop: Workshop) -> None:
    """In the header `Chain-Page`; it shows that very chain."""
    answer = await workshop.post_session(disclosure(TARGET))
    url = answer.headers["chain-page"]
    assert url == PUBLIC_URL + path_of(workshop, answer.headers["chain-id"])
    page = await call(workshop.gateway, "GET", urlsplit(url).path)
    assert page.status == 200


async def test_the_page_shows_qr_and_link(workshop: Workshop) -> None:
    """Without a script: both are in it, and it is loaded again by itself."""
    begun = await workshop.begin()
    tags = Tags(await get(workshop, begun))
    (image,) = tags.of("img")
    assert (image["src"] or "").startswith("data:image/svg+xml")
    assert "QR code" in (image["alt"] or "")
    (button,) = [a for a in tags.of("a") if a.get("class") == "button"]
    shown = await status(workshop, begun)
    assert button["href"] == shown["universalLink"]
    assert {"http-equiv": "refresh", "content": "5"} in tags.of("meta")
    assert tags.of("html") == [{"lang": "en"}]
    assert "Share your data" in tags.texts
    (live,) = [div for div in tags.of("div") if div.get("role") == "status"]
    assert live["id"] == "said"


async def test_the_page_speaks_dutch(workshop: Workshop) -> None:
    """By the browser's languages, or as asked; the other language is offered."""
    begun = await workshop.begin()
    by_header = await get(workshop, begun, **{"Accept-Language": "nl-NL,nl;q=0.9"})
    by_query = await get(workshop, begun, "?lang=nl")
    for answer in (by_header, by_query):
        tags = Tags(answer)
        assert tags.of("html") == [{"lang": "nl"}]
        assert answer.headers["content-language"] == "nl"
        assert "Deel je gegevens" in tags.texts
        assert "?lang=en" in [a["href"] for a in tags.of("a")]


async def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(
    workshop: Workshop,
) -> None:
    """Its files are ours, found relative to the page, and never change."""
    begun = await workshop.begin()
    tags = Tags(await get(workshop, begun))
    assert tags.of("style") == []
    assert not any("style" in attributes for _, attributes in tags.found)
    names = [script["src"] for script in tags.of("script")]
    links = tags.of("link")
    names += [link["href"] for link in links if link["rel"] == "stylesheet"]
    assert len(names) == 2
    for name in names:
        assert (name or "").startswith("assets/")
        answer = await call(workshop.gateway, "GET", f"/page/{name}")
        assert answer.status == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))
    missing = await call(workshop.gateway, "GET", "/page/assets/page.py")
    assert missing.status == 404


@pytest.mark.parametrize("more", ["", "/status"])
async def test_the_address_is_kept_secret(workshop: Workshop, more: str) -> None:
    """No cache keeps it, no other site is told of it, no frame shows it."""
    begun = await workshop.begin()
    headers = (await get(workshop, begun, more)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["x-content-type-options"] == "nosniff"
    if not more:
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers
    else:
        assert headers["access-control-allow-origin"] == "*"


def test_the_address_is_in_no_log(workshop: Workshop) -> None:
    """Under no name and in no text."""
    path = path_of(workshop, "01KAMFX5EBQGYR8Q0JV6YQKZ8M")
    said = redacted({"event": f"GET {path}", "page": f"{PUBLIC_URL}{path}", "path": path})
    assert path.removeprefix("/page/") not in str(said)


async def test_a_chain_is_followed_through_a_detached_step(workshop: Workshop) -> None:
    """Scan, at work, one moment, the next one to scan, over."""
    begun = await workshop.begin(returning(augment=False))
    shown = await status(workshop, begun)
    assert (shown["state"], shown["step"]) == ("initialized", 1)
    assert shown["sessionPtr"] == {
        "u": f"http://irma.example/irma/session/{token_of(1)}",
        "irmaqr": "disclosing",
    }
    workshop.backend.results[begun.token] = result_of(begun.token, "CONNECTED", None)
    shown = await status(workshop, begun)
    assert shown["state"] == "connected"
    assert not {"sessionPtr", "universalLink", "returnUrl"} & set(shown)
    work = workshop.callback(begun.slot, begun.token)
    await workshop.carry_on(work, issuance(TARGET))
    assert (await status(workshop, begun))["state"] == "waiting"
    await workshop.starter().start(begun.slot.following)
    shown = await status(workshop, begun)
    assert (shown["state"], shown["step"]) == ("initialized", 2)
    assert shown["sessionType"] == "issuing"
    assert token_of(2) in str(shown["sessionPtr"])
    await workshop.report(begun.slot.following, result_of(token_of(2), "CANCELLED", None))
    shown = await status(workshop, begun)
    assert (shown["state"], shown["returnUrl"]) == ("cancelled", RETURN)


async def test_a_step_in_flow_is_in_the_app(workshop: Workshop) -> None:
    """There is no pointer to show; then the endpoint is waited for again."""
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token, waited_s=3.0)
    await workshop.carry_on(work, issuance(TARGET))
    assert (await status(workshop, begun))["state"] == "waiting"
    await forwarded(workshop, begun)
    shown = await status(workshop, begun)
    assert (shown["state"], shown["step"]) == ("in_app", 2)
    page = Tags(await get(workshop, begun))
    assert page.of("img") == []
    assert {"Continue in your Yivi app", "Step 2"} <= set(page.texts)


async def forwarded(workshop: Workshop, begun: Begun) -> None:
    """The gateway hands the next request over."""
    slot, token_hash = begun.slot, workshop.sealer.token_hash(begun.token)
    await workshop.rulings.by_outbox(
        slot, lambda view: handover.forward(view, slot, token_hash=token_hash)
    )


@pytest.mark.parametrize("augment", [True, False])
async def test_the_end_goes_on_to_the_integrators_own_url(
    workshop: Workshop, *, augment: bool
) -> None:
    """Escaped, with the session's token where it was asked for, without a script too."""
    options = Options(public_url=PUBLIC_URL, augment_client_return_url=True)
    app = workshop.app(options)
    answer = await workshop.post_session(returning(augment=augment), app)
    chain_id = answer.headers["chain-id"]
    begun = Begun(id=chain_id, token=token_of(1), bridge=None, callback="")
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.COMPLETED)
    url = f"{RETURN}&token={begun.token}" if augment else RETURN
    shown = await status(workshop, begun)
    assert (shown["state"], shown["returnUrl"]) == ("completed", url)
    answer = await get(workshop, begun)
    assert b"a=<b>" not in answer.body
    tags = Tags(answer)
    (link,) = [a for a in tags.of("a") if a.get("id") == "go-on"]
    assert link["href"] == url
    assert {"http-equiv": "refresh", "content": f"2;url={url}"} in tags.of("meta")
    assert "All done" in tags.texts


async def test_an_end_without_a_way_on_stays(workshop: Workshop) -> None:
    """It says so and is not loaded again."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.FAILED)
    tags = Tags(await get(workshop, begun))
    assert "Something went wrong" in tags.texts
    assert not any("http-equiv" in meta for meta in tags.of("meta"))


@pytest.mark.parametrize("wrong", ["x", "v1.page.AAAA", "%00", "A" * 5000])
async def test_what_is_no_page_is_a_friendly_404(workshop: Workshop, wrong: str) -> None:
    """The same for everything, in the user's language; nothing is looked up."""
    page = await call(workshop.gateway, "GET", f"/page/{wrong}?lang=nl")
    assert page.status == 404
    tags = Tags(page)
    assert "Deze pagina bestaat niet" in tags.texts
    assert tags.of("script") == []
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for more in ("/status", "/statusevents"):
        answer = await call(workshop.gateway, "GET", f"/page/{wrong}{more}")
        assert answer.status == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_another_chains_token_does_not_fit(workshop: Workshop) -> None:
    """A chain that does not exist is as unknown as a token that was made up."""
    unknown = await call(workshop.gateway, "GET", path_of(workshop, "01C"))
    made_up = await call(workshop.gateway, "GET", "/page/v1.page.AAAA")
    assert (unknown.status, unknown.body) == (404, made_up.body)


async def test_a_page_ends_with_its_results(workshop: Workshop) -> None:
    """It is there for as long after the chain's end as results are kept."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.COMPLETED)
    workshop.clock.advance(timedelta(days=7).total_seconds())
    assert (await get(workshop, begun)).status == 200
    workshop.clock.advance(1)
    for more in ("", "/status", "/statusevents"):
        assert (await get(workshop, begun, more)).status == 404


async def test_without_the_store_the_page_asks_for_a_moment(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """503 that tries again by itself, and problem details for scripts."""
    begun = await workshop.begin()
    lose_store("chain")
    answer = await get(workshop, begun)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    tags = Tags(answer)
    assert "One moment, please" in tags.texts
    assert {"http-equiv": "refresh", "content": "5"} in tags.of("meta")
    answer = await get(workshop, begun, "/status")
    assert (answer.status, answer.fields["status"]) == (503, 503)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("refused", [True, False])
async def test_without_the_backend_the_pointer_is_shown(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    """What is known without it is not held back."""
    begun = await workshop.begin()
    workshop.backend.unreachable = True
    if refused:

        async def refusing(_: str) -> None:
            raise BackendRefused(status=403, error="UNAUTHORIZED")

        monkeypatch.setattr(workshop.backend, "status", refusing)
    assert (await status(workshop, begun))["state"] == "initialized"


async def test_an_overload_is_told_to_scripts(workshop: Workshop) -> None:
    """503; the status can be polled all the same."""
    begun = await workshop.begin()
    app = followed_by(workshop, viewers_max=0)
    answer = await call(app, "GET", path_of(workshop, begun.id) + "/statusevents")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    answer = await call(app, "GET", path_of(workshop, begun.id) + "/status")
    assert answer.status == 200


# --------------------------------------------------------------------------- events


def followed_by(workshop: Workshop, viewers_max: int = 10) -> FastAPI:
    """The page alone, looking often."""
    app = FastAPI()
    faults.install(app)
    routes = page_routes(workshop.desk(), look_s=0.005, viewers_max=viewers_max)
    app.include_router(routes)
    return app


async def frame(stream: Stream) -> tuple[str, JsonObject]:
    """The next event: id and data."""
    part = await stream.part()
    assert part is not None
    assert part.endswith(b"\n\n")
    fields = dict(line.split(": ", 1) for line in part.decode().splitlines() if line)
    return fields["id"], json.loads(fields["data"])


async def test_events_tell_what_is_and_what_changes(workshop: Workshop) -> None:
    """The state at once, each change, and the end of the chain ends them."""
    begun = await workshop.begin()
    path = path_of(workshop, begun.id) + "/statusevents"
    async with streamed(followed_by(workshop), path) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["access-control-allow-origin"] == "*"
        assert await stream.part() == b"retry: 1000\n\n"
        first, shown = await frame(stream)
        assert (shown["state"], shown["revision"]) == ("initialized", first)
        connected = result_of(begun.token, "CONNECTED", None)
        workshop.backend.results[begun.token] = connected
        assert (await frame(stream))[1]["state"] == "connected"
        await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.COMPLETED)
        last, shown = await frame(stream)
        assert shown["state"] == "completed"
        assert await stream.part() is None
    answer = await get(workshop, begun, "/statusevents", **{"Last-Event-ID": last})
    assert (answer.status, answer.body) == (204, b"")


async def test_who_comes_back_gets_the_current_state_again(workshop: Workshop) -> None:
    """Whatever id it names; a running chain goes on being told."""
    begun = await workshop.begin()
    app, path = followed_by(workshop), path_of(workshop, begun.id) + "/statusevents"
    ids: list[str] = []
    for _ in range(2):
        headers = {"Last-Event-ID": ids[-1]} if ids else {}
        async with streamed(app, path, headers) as stream:
            await stream.part()
            ids.append((await frame(stream))[0])
    assert ids[0] == ids[1]


async def test_a_backend_that_goes_away_changes_nothing(workshop: Workshop) -> None:
    """A session that was at work is not shown to be scanned again."""
    begun = await workshop.begin()
    workshop.backend.results[begun.token] = result_of(begun.token, "CONNECTED", None)
    app, path = followed_by(workshop), path_of(workshop, begun.id) + "/statusevents"
    async with streamed(app, path) as stream:
        await stream.part()
        assert (await frame(stream))[1]["state"] == "connected"
        workshop.backend.unreachable = True
        polled = await call(app, "GET", path_of(workshop, begun.id) + "/status")
        assert polled.fields["state"] == "connected"
        await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.FAILED)
        assert (await frame(stream))[1]["state"] == "failed"


async def test_an_end_is_not_told_as_waiting(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are read after the chain, which may end in between."""
    begun = await workshop.begin()
    before = await workshop.chain(begun.id)
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.COMPLETED)
    after = await workshop.chain(begun.id)
    reads = iter([before, after])

    async def chain(_: str) -> Chain:
        return next(reads)

    monkeypatch.setattr(workshop.store, "chain", chain)
    assert (await status(workshop, begun))["state"] == "completed"
