"""The contract as it is served: JSON for programs, pages for people."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from schemas.contract import EVENT_TYPES
from tests.support.asgi import Answer, call
from tests.support.workshop import Workshop

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
DOCUMENTS = {"/asyncapi": "asyncapi", "/asyncapi.json": "asyncapi"} | {
    "/openapi.json": "openapi"
}


class _Page(HTMLParser):
    """Ids, links and elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.elements: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what matters."""
        self.elements.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif tag == "a" and name == "href":
                self.links.add(value or "")
            elif name in {"src", "href"}:
                self.loaded.add(value or "")


async def page(workshop: Workshop, path: str) -> Answer:
    """What a browser gets."""
    answer = await call(workshop.gateway, "GET", path, headers=BROWSER)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_programs_get_json(workshop: Workshop, path: str) -> None:
    """The document, to whoever does not ask for a page; caches keep them apart."""
    answer = await call(workshop.gateway, "GET", path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert "Accept" in answer.headers["vary"]
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert DOCUMENTS[path] in answer.fields


async def test_the_page_of_events_tells_of_every_type(workshop: Workshop) -> None:
    """With its routing key, its fields and its example."""
    text = (await page(workshop, "/asyncapi")).body.decode()
    for event_type in EVENT_TYPES:
        assert f'id="{event_type.replace(".", "-")}"' in text
        assert f'"type": "{event_type}"' in text
    assert "session.completed.{requestor}" in text
    assert "endpoint.opened._operator" in text


async def test_the_page_of_operations_tells_of_them(workshop: Workshop) -> None:
    """With what they take and answer."""
    text = (await page(workshop, "/docs")).body.decode()
    for said in ("POST /session", "GET /chains/{chain_id}", "Chain-Reply-To"[:5]):
        assert said in text
    assert "application/problem+json" in text


@pytest.mark.parametrize("path", ["/asyncapi", "/docs"])
async def test_pages_load_nothing(workshop: Workshop, path: str) -> None:
    """No script, nothing from elsewhere, and the policy admits their own style alone."""
    answer = await page(workshop, path)
    found = _Page(answer.body.decode())
    assert "script" not in found.elements
    assert found.loaded == {"data:,"}
    style = re.search(r"<style>(.*)</style>", answer.body.decode(), re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/asyncapi", "/docs"])
async def test_links_of_pages_lead_somewhere(workshop: Workshop, path: str) -> None:
    """To a place of the page that is there once, or to the document for programs."""
    found = _Page((await page(workshop, path)).body.decode())
    assert len(found.ids) == len(set(found.ids))
    for link in found.links:
        if link.startswith("#"):
            assert link[1:] in found.ids
        else:
            answer = await call(workshop.gateway, "GET", f"/{link}")
            assert answer.status == 200
