"""The chain page in a real browser, on a whole installation with a wallet."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import BOUND_S, Json, Lab, disclosure, issuance
from orchestrator.sandbox.wallet import StepStatus, Wallet
from schemas.irma import SessionPointer, SessionType, parse_session_package

pytestmark = pytest.mark.e2e

BOUND_MS: Final = BOUND_S * 1000

#: Nothing of the browser's own goes out.
FLAGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The distribution's Chromium; without it these tests fail."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "chromium is missing: deploy/local/setup.sh --tests"
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=path, args=FLAGS) as running,
    ):
        yield running


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A chain and its page as a user has it open."""

    id: str
    token: str
    page: Page
    wallet: str
    faults: list[str] = field(default_factory=list)

    async def says(self, text: str) -> None:
        """Wait until the page says so."""
        await expect(self.page.locator("#said")).to_contain_text(text, timeout=BOUND_MS)

    async def pointer(self) -> SessionPointer:
        """The pointer behind the page's button."""
        link = self.page.locator("a.button")
        href = await link.get_attribute("href", timeout=BOUND_MS)
        assert href is not None
        base, _, quoted = href.partition("#")
        assert base == self.wallet
        return SessionPointer.model_validate(json.loads(unquote(quoted)))


@asynccontextmanager
async def opened(
    lab: Lab, browser: Browser, request: Json, *, plain: bool = False
) -> AsyncIterator[Seen]:
    """Start a chain and open its page; a plain browser is a Dutch phone's, no scripts."""
    async with lab.post_session(json.dumps(request).encode()) as response:
        package = parse_session_package(await response.read())
        chain_id, url = response.headers["Chain-Id"], response.headers["Chain-Page"]
    context = await browser.new_context(
        locale="nl-NL" if plain else "en-GB",
        java_script_enabled=not plain,
        has_touch=plain,
        is_mobile=plain,
        viewport={"width": 390, "height": 844} if plain else None,
    )
    async with context:
        page = await context.new_page()
        wallet = f"{lab.stack.irma_server_url}/wallet"
        seen = Seen(id=chain_id, token=package.token, page=page, wallet=wallet)
        page.on("pageerror", lambda error: seen.faults.append(str(error)))
        page.on(
            "console",
            lambda said: seen.faults.append(said.text) if said.type == "error" else None,
        )
        await page.goto(url)
        yield seen
        assert seen.faults == []


def returning(request: Json, url: str) -> Json:
    """The request with a `clientReturnUrl`."""
    plain = request["request"]
    assert isinstance(plain, dict)
    return request | {"request": plain | {"clientReturnUrl": url}}


async def test_a_detached_step_appears_by_itself_and_the_end_goes_on(
    lab: Lab, browser: Browser
) -> None:
    """QR, one moment, the next QR without a reload, all done, and back to the shop."""
    asked, answering = asyncio.Event(), asyncio.Event()

    async def script(_: int, received: Received) -> web.StreamResponse:
        if received.path == "/back":
            return web.Response(text="welcome back", content_type="text/html")
        asked.set()
        await answering.wait()
        return web.json_response(issuance())

    async with endpoint_at_work(script) as endpoint:
        request = returning(disclosure(f"{endpoint.url}/next"), f"{endpoint.url}/back")
        async with opened(lab, browser, request) as seen:
            await seen.says("Share your data")
            await seen.page.evaluate("window.stayed = true")
            qr = seen.page.get_by_alt_text("QR code for the Yivi app")
            await expect(qr).to_be_visible()
            assert (await qr.evaluate("image => image.naturalWidth")) > 100
            await seen.page.locator("a.button").focus()
            first = asyncio.create_task(Wallet().run(await seen.pointer()))
            await asked.wait()
            await seen.says("One moment, please")
            # Who was at the button is not left nowhere.
            await expect(seen.page.locator("h1")).to_be_focused()
            await expect(qr).to_have_count(0)
            assert [step.status for step in (await first).steps] == [StepStatus.SUCCESS]
            answering.set()
            await seen.says("Collect your data")
            await seen.says("Step 2")
            await expect(qr).to_be_visible()
            assert await seen.page.evaluate("window.stayed")
            pointer = await seen.pointer()
            assert pointer.irmaqr is SessionType.ISSUING
            second = await Wallet().run(pointer)
            assert [step.status for step in second.steps] == [StepStatus.SUCCESS]
            await seen.says("All done")
            await seen.page.wait_for_url(f"{endpoint.url}/back", timeout=BOUND_MS)
            assert "welcome back" in await seen.page.content()


async def test_a_step_in_flow_is_left_to_the_app(lab: Lab, browser: Browser) -> None:
    """While the app asks for the second step, the page says to go on there."""
    shown, decided = asyncio.Event(), asyncio.Event()

    async def decide(request: Json) -> bool:
        if "credentials" in request:
            shown.set()
            await decided.wait()
        return True

    async def script(_: int, __: Received) -> web.StreamResponse:
        return web.json_response(issuance())

    async with endpoint_at_work(script) as endpoint:
        request = disclosure(f"{endpoint.url}/next")
        async with opened(lab, browser, request) as seen:
            running = asyncio.create_task(Wallet().run(await seen.pointer(), decide))
            await shown.wait()
            await seen.says("Continue in your Yivi app")
            await seen.says("Step 2")
            decided.set()
            outcome = await running
            assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 2
            await seen.says("All done")


async def test_the_page_works_without_a_script_on_a_dutch_phone(
    lab: Lab, browser: Browser
) -> None:
    """The button comes first, the QR after it; loading again tells what has changed."""
    async with opened(lab, browser, disclosure(), plain=True) as seen:
        await seen.says("Deel je gegevens")
        button = await seen.page.get_by_role("link", name="Open Yivi-app").bounding_box()
        qr = await seen.page.get_by_role("img").bounding_box()
        assert button is not None
        assert qr is not None
        assert button["y"] < qr["y"]
        width = await seen.page.locator("html").bounding_box()
        assert width is not None
        assert width["width"] <= 390
        url = f"{lab.stack.gateway_url}/session/{seen.token}"
        async with lab.http.delete(url) as response:
            assert response.status == 200
        await seen.says("Geannuleerd")
        await seen.page.get_by_role("link", name="English").click()
        await seen.says("Cancelled")


async def test_the_page_moves_on_without_events(lab: Lab, browser: Browser) -> None:
    """Where something between holds them back, it asks every other second."""
    async with opened(lab, browser, disclosure()) as seen:
        blocked = asyncio.Event()

        async def block(route: Route) -> None:
            blocked.set()
            await route.fulfill(status=502)

        await seen.page.route("**/statusevents", block)
        await seen.page.reload()
        await seen.says("Share your data")
        await blocked.wait()
        url = f"{lab.stack.gateway_url}/session/{seen.token}"
        async with lab.http.delete(url) as response:
            assert response.status == 200
        await seen.says("Cancelled")
        assert all("502" in fault for fault in seen.faults)
        seen.faults.clear()


async def test_the_address_of_a_page_is_in_no_log(lab: Lab, browser: Browser) -> None:
    """It is a secret: whoever knows it is the user (G6)."""
    async with opened(lab, browser, disclosure()) as seen:
        await seen.says("Share your data")
        token = seen.page.url.rpartition("/")[2]
    logs = list(lab.stack.config_file.parent.rglob("*.log"))
    assert logs
    for log in logs:
        assert token not in log.read_text()
