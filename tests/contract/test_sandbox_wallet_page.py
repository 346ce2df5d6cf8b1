"""The wallet's page, as a browser sees it: pages, forms and where they lead."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from orchestrator.proof.endpoints import Received, Script, no_content
from tests.contract.app_lab import DISCLOSURE, ISSUANCE, STUDENT_ID, Lab, lab
from tests.contract.sandbox_lab import BOUND_S, Json

HOSTILE = '"><script>alert(1)</script>&amp;'


class _Texts(HTMLParser):
    """What a browser makes of a page: its texts, tags and inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@dataclass(frozen=True)
class Page:
    """One page."""

    status: int
    texts: list[str]
    tags: list[tuple[str, dict[str, str | None]]]

    @property
    def heading(self) -> str:
        """What the page says first."""
        return self.texts[self.texts.index("Demo wallet", 2) + 1]

    @property
    def buttons(self) -> list[str]:
        """The answers that can be given."""
        return [
            str(attributes["value"])
            for tag, attributes in self.tags
            if tag == "button" and attributes.get("name") == "answer"
        ]

    @property
    def revision(self) -> str:
        """The number of what is shown."""
        [revision] = [
            attributes["data-revision"] for tag, attributes in self.tags if tag == "main"
        ]
        return str(revision)


@dataclass
class Person:
    """Somebody at the page."""

    lab: Lab

    async def open(self, query: str = "") -> Page:
        """Go to the page."""
        return await self._page("GET", f"/wallet{query}")

    async def scan(self, pointer: Json) -> Page:
        """Paste a pointer."""
        text = pointer if isinstance(pointer, str) else json.dumps(pointer)
        return await self._page("POST", "/wallet/scan", data={"pointer": text})

    async def press(self, answer: str, page: Page, **ways: str) -> Page:
        """Press a button of a page."""
        chosen = {name.replace("_", "-"): value for name, value in ways.items()}
        form = {"answer": answer, "revision": page.revision, **chosen}
        return await self._page("POST", "/wallet/answer", data=form)

    async def once(self, phase: str) -> Page:
        """The page as soon as the wallet is at this."""
        await self.state_once(phase)
        return await self.open()

    async def state_once(self, phase: str) -> Json:
        """The wallet's state as soon as it is at this."""
        state: Json = {"revision": ""}
        async with asyncio.timeout(BOUND_S):
            while state.get("phase") != phase:
                url = f"{self.lab.server}/wallet/state?after={state['revision']}"
                _, state = await self.lab.ask("GET", url, headers={})
        return state

    async def _page(self, method: str, path: str, **options: Json) -> Page:
        url = f"{self.lab.server}{path}"
        async with self.lab.http.request(method, url, **options) as response:
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            parser = _Texts()
            parser.feed(await response.text())
            assert response.url.query_string == "" or response.status == 400
            return Page(response.status, parser.texts, parser.tags)


@asynccontextmanager
async def person(script: Script = no_content, **options: Json) -> AsyncIterator[Person]:
    """Somebody at the page of a sandbox at work."""
    async with lab(script, **options) as here:
        yield Person(here)


async def once_more(number: int, _: Received) -> web.StreamResponse:
    """An endpoint that issues a credential, then wants no more."""
    return web.json_response(ISSUANCE) if number == 0 else web.Response(status=204)


async def test_values_are_seen_before_they_are_shared() -> None:
    """The page says who asks for what, and what would be told; Share tells it."""
    async with person() as here:
        package = await here.lab.start()
        await here.scan(package["sessionPtr"])
        page = await here.once("asking")
        assert page.heading == f"{here.lab.server} asks you to share"
        assert "Student ID: 456" in page.texts
        assert "from Student card (RU, irma-demo)" in page.texts
        assert page.buttons == ["share", "decline"]
        await here.press("share", page)
        assert (await here.once("ended")).heading == "Done"
        result = await here.lab.result(package)
    assert (result["status"], result["proofStatus"]) == ("DONE", "VALID")


async def test_declining_cancels() -> None:
    """Decline shares nothing and ends the session."""
    async with person() as here:
        package = await here.lab.start()
        await here.scan(package["sessionPtr"])
        await here.press("decline", await here.once("asking"))
        assert (await here.once("ended")).heading == "You declined"
        result = await here.lab.result(package)
    assert (result["status"], "disclosed" in result) == ("CANCELLED", False)


async def test_chain_goes_on_at_the_same_page() -> None:
    """Step two comes by itself, says what is shared once more, and fills the wallet."""
    async with person(once_more) as here:
        package = await here.lab.start(chained=True)
        await here.scan(package["sessionPtr"])
        page = await here.once("asking")
        await here.press("share", page)
        await here.state_once("asking")
        page = await here.open()
        assert page.heading == f"{here.lab.server} offers you credentials"
        assert "Step 2 of this chain." in page.texts
        assert "You receive: Student card (RU, irma-demo)" in page.texts
        assert "Shared once more, as earlier in this chain:" in page.texts
        await here.press("share", page)
        page = await here.once("ended")
        assert [text for text in page.texts if text.startswith("You ")] == [
            "You shared.",
            "You received.",
        ]
        assert page.texts.count("Student card (RU, irma-demo)") == 2


async def test_choice_is_the_persons() -> None:
    """Of two credentials the person picks one, and leaves empty what is optional."""
    request = {**DISCLOSURE, "disclose": [[[STUDENT_ID]], [[STUDENT_ID], []]]}
    async with person() as here:
        await here.scan((await here.lab.start(ISSUANCE))["sessionPtr"])
        await here.press("share", await here.once("asking"))
        await here.state_once("ended")
        package = await here.lab.start(request)
        await here.scan(package["sessionPtr"])
        page = await here.once("asking")
        assert "Share nothing" in page.texts
        await here.press("share", page, way_0="1", way_1="2")
        await here.state_once("ended")
        result = await here.lab.result(package)
    assert [[one["rawvalue"] for one in some] for some in result["disclosed"]] == [
        ["456"],
        [],
    ]


@pytest.mark.parametrize("way", ["7", "-1", "x", "1.0", "²"])
async def test_way_that_was_not_offered(way: str) -> None:
    """A choice that is not on the page is refused, and the question stands."""
    async with person() as here:
        await here.scan((await here.lab.start())["sessionPtr"])
        page = await here.once("asking")
        form = {"answer": "share", "revision": page.revision, "way-0": way}
        url = f"{here.lab.server}/wallet/answer"
        status, answer = await here.lab.ask("POST", url, data=form, headers={})
        assert (status, answer["error"]) == (400, "INVALID_REQUEST")
        assert (await here.open()).buttons == ["share", "decline"]


async def test_answer_to_an_earlier_question_is_none() -> None:
    """Pressing Share twice shares the first step only: the second was not seen."""
    async with person(once_more) as here:
        await here.scan((await here.lab.start(chained=True))["sessionPtr"])
        first = await here.once("asking")
        await here.press("share", first)
        await here.state_once("asking")
        assert (await here.press("share", first)).buttons == ["share", "decline"]


async def test_what_is_not_held_cannot_be_shared() -> None:
    """The page says what is missing; there is nothing to press but Decline."""
    request = {**DISCLOSURE, "disclose": [[["irma-demo.sidn-pbdf.email.email"]]]}
    async with person() as here:
        package = await here.lab.start(request)
        await here.scan(package["sessionPtr"])
        page = await here.once("asking")
        assert "You have no credential for this:" in page.texts
        assert page.buttons == ["decline"]
        await here.press("decline", page)
        await here.state_once("ended")
        assert (await here.lab.result(package))["status"] == "CANCELLED"


async def test_pairing_code_is_shown() -> None:
    """The person reads the code off the page; when it was typed, the question comes."""
    async with person() as here:
        package = await here.lab.start()
        u = package["sessionPtr"]["u"]
        options = {
            "@context": "https://irma.app/ld/request/frontendoptions/v1",
            "pairingMethod": "pin",
        }
        headers = {"Authorization": package["frontendRequest"]["authorization"]}
        _, answer = await here.lab.ask(
            "POST", f"{u}/frontend/options", json=options, headers=headers
        )
        await here.scan(package["sessionPtr"])
        state = await here.state_once("pairing")
        assert state["pairingCode"] == answer["pairingCode"]
        page = await here.open()
        assert page.heading == "Type this code into the website"
        assert answer["pairingCode"] in page.texts
        await here.lab.ask("POST", f"{u}/frontend/pairingcompleted", headers=headers)
        assert (await here.once("asking")).buttons == ["share", "decline"]


async def test_pairing_can_be_declined() -> None:
    """Who does not want to pair ends the session."""
    async with person() as here:
        package = await here.lab.start()
        u = package["sessionPtr"]["u"]
        options = {
            "@context": "https://irma.app/ld/request/frontendoptions/v1",
            "pairingMethod": "pin",
        }
        headers = {"Authorization": package["frontendRequest"]["authorization"]}
        await here.lab.ask("POST", f"{u}/frontend/options", json=options, headers=headers)
        await here.scan(package["sessionPtr"])
        await here.press("decline", await here.once("pairing"))
        assert (await here.state_once("ended"))["outcome"] == "cancelled"
        assert (await here.lab.result(package))["status"] == "CANCELLED"


async def test_link_is_scanned_once() -> None:
    """A link brings its pointer along; opened again, it shows where that stands."""
    async with person() as here:
        pointer = json.dumps((await here.lab.start())["sessionPtr"])
        query = f"?pointer={quote(pointer)}"
        await here.open(query)
        page = await here.once("asking")
        assert (await here.open(query)).heading == page.heading


@pytest.mark.parametrize(
    "form", ["{}", "https://open.yivi.app/-/session#{}", "http://127.0.0.1/wallet#{}"]
)
async def test_links_of_apps_can_be_pasted(form: str) -> None:
    """What opens the app holds the pointer behind `#`, URL-encoded."""
    async with person() as here:
        pointer = json.dumps((await here.lab.start())["sessionPtr"])
        await here.scan(form.format(quote(pointer)))
        assert (await here.once("asking")).buttons == ["share", "decline"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "https://irma.example/nothing-behind-it",
        '{"u": "javascript:alert(1)", "irmaqr": "disclosing"}',
        '{"u": "http://irma.example", "irmaqr": "selling"}',
        '{"irmaqr": "disclosing"}',
        HOSTILE,
    ],
)
async def test_what_is_no_pointer_is_said(text: str) -> None:
    """Something else is refused with a reason, whichever way it came."""
    async with person() as here:
        for page in (await here.scan(text), await here.open(f"?pointer={quote(text)}")):
            assert page.status == 400
            assert any("This is no session pointer: " in one for one in page.texts)
            assert [tag for tag, _ in page.tags].count("script") == 1


async def test_new_scan_declines_what_was_open() -> None:
    """Who scans something else has declined what was asked before."""
    async with person() as here:
        first, second = await here.lab.start(), await here.lab.start(ISSUANCE)
        await here.scan(first["sessionPtr"])
        await here.state_once("asking")
        await here.scan(second["sessionPtr"])
        page = await here.once("asking")
        assert page.heading.endswith("offers you credentials")
        await here.press("share", page)
        await here.state_once("ended")
        assert (await here.lab.result(first))["status"] == "CANCELLED"
        assert (await here.lab.result(second))["status"] == "DONE"


async def test_what_others_say_is_only_text() -> None:
    """Labels, messages, values and addresses bring no tags into the page."""
    request = {
        "@context": "https://irma.app/ld/request/signature/v2",
        "message": HOSTILE,
        "disclose": [[[STUDENT_ID]]],
        "labels": {"0": {"en": HOSTILE}},
        "clientReturnUrl": "javascript:alert(1)",
    }
    hostile = {**ISSUANCE["credentials"][0]["attributes"], "studentID": HOSTILE}
    issuance = {**ISSUANCE, "credentials": [{**ISSUANCE["credentials"][0]}]}
    issuance["credentials"][0]["attributes"] = hostile
    async with person() as here:
        await here.scan((await here.lab.start(issuance))["sessionPtr"])
        page = await here.once("asking")
        assert HOSTILE in page.texts
        await here.press("share", page)
        await here.state_once("ended")
        await here.scan((await here.lab.start(request))["sessionPtr"])
        page = await here.once("asking")
        assert page.texts.count(HOSTILE) == 3
        assert f"Student ID: {HOSTILE}" in page.texts
        assert [tag for tag, _ in page.tags].count("script") == 1
        await here.press("share", page)
        page = await here.once("ended")
        assert "a" not in {tag for tag, _ in page.tags}


async def test_way_back_to_the_website() -> None:
    """After a success there is a link to where the requestor wants the user."""
    request = {**DISCLOSURE, "clientReturnUrl": "https://shop.example/?a=1&b=2"}
    async with person() as here:
        await here.scan((await here.lab.start(request))["sessionPtr"])
        await here.press("share", await here.once("asking"))
        page = await here.once("ended")
    [link] = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert link == "https://shop.example/?a=1&b=2"


async def test_error_of_the_server_is_shown() -> None:
    """A chain that breaks off says so."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=410, text="gone")

    async with person(script) as here:
        await here.scan((await here.lab.start(chained=True))["sessionPtr"])
        await here.press("share", await here.once("asking"))
        page = await here.once("ended")
    assert page.heading == "Something went wrong"
    assert any(text.startswith("The server answered 500: NEXT_") for text in page.texts)


async def test_nothing_foreign_runs_on_the_page() -> None:
    """One script and one style of our own, no inline code, and no other site gets in."""
    async with person() as here:
        page = await here.open()
        policies = set[str]()
        headers = {"Origin": "https://evil.example"}
        for path in (
            "/wallet",
            "/wallet/state",
            "/wallet/wallet.js",
            "/wallet/wallet.css",
        ):
            url = f"{here.lab.server}{path}"
            async with here.lab.http.get(url, headers=headers) as response:
                assert response.status == 200
                policies.add(response.headers["Content-Security-Policy"])
                assert "Access-Control-Allow-Origin" not in response.headers
        for path in ("/wallet/scan", "/wallet/answer"):
            url = f"{here.lab.server}{path}"
            status, _ = await here.lab.ask("POST", url, headers=headers)
            assert status == 403
    [policy] = policies
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    for _, attributes in page.tags:
        assert not [name for name in attributes if re.match("on|style", name)]
        for name in ("src", "href", "action"):
            assert str(attributes.get(name, "/wallet")).startswith("/wallet")


async def test_page_says_what_it_is_to_everybody() -> None:
    """Language, title, a label for the field, news announced, a heading to go to."""
    async with person() as here:
        page = await here.open()
    tags = dict(page.tags)
    assert tags["html"]["lang"] == "en"
    assert tags["main"]["aria-live"] == "polite"
    assert tags["label"]["for"] == tags["textarea"]["id"]
    assert {"id": "now", "tabindex": "-1"} in [one for _, one in page.tags]


async def test_news_of_what_is_known_already_is_waited_for() -> None:
    """Whoever knows the present state hears of the next, not of this one again."""
    async with person() as here:
        known = await here.state_once("idle")
        url = f"{here.lab.server}/wallet/state?after={known['revision']}"
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as tasks:
            news = tasks.create_task(here.lab.ask("GET", url, headers={}))
            await here.scan((await here.lab.start())["sessionPtr"])
        _, state = news.result()
    assert state["revision"] > known["revision"]


async def test_page_keeps_its_wallet_in_a_file(tmp_path: Path) -> None:
    """After a restart the page has the credentials it was issued."""
    file = tmp_path / "wallet.json"
    async with person(wallet_file=file) as here:
        await here.scan((await here.lab.start(ISSUANCE))["sessionPtr"])
        await here.press("share", await here.once("asking"))
        await here.state_once("ended")
    async with person(wallet_file=file) as here:
        assert "999" in (await here.open()).texts
