"""A page on which a person holds a pretend wallet: what is asked, Share or Decline.

    GET  /wallet             the page; with `?pointer=` the session in it is scanned first
    POST /wallet/scan        scan the session `pointer`
    POST /wallet/answer      `answer` (share or decline) to what is shown at `revision`,
                             with the `way-0`, `way-1` … chosen for each question
    GET  /wallet/state       where it stands, in JSON; with `?after=` once that changes

A pointer is the JSON of the QR, or a link with it behind `#`. One wallet for everybody
who opens the page: it is for demonstrations.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from orchestrator.sandbox import wallet_view
from orchestrator.sandbox.control_api import refuse_other_sites
from orchestrator.sandbox.demo_wallet import DemoWallet, InvalidPointer, Phase, Scan
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import json_response
from orchestrator.sandbox.wallet import Wallet
from schemas.irma import ErrorKind, JsonObject

DEMO_WALLET: Final = web.AppKey("demo_wallet", DemoWallet)

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    # Said here, nobody adds that pages of other sites may read what is shown.
    "Vary": "Origin",
}
_STATIC: Final = {"wallet.js": "text/javascript", "wallet.css": "text/css"}


def install(app: web.Application, file: Path | None) -> None:
    """Give a server the page, and the wallet that is on it."""
    app[DEMO_WALLET] = DemoWallet(Wallet(file=file))
    app.on_cleanup.append(_close)
    app.add_routes(
        [
            web.get("/wallet", show, allow_head=False),
            web.post("/wallet/scan", scan),
            web.post("/wallet/answer", answer),
            web.get("/wallet/state", state, allow_head=False),
            web.get("/wallet/{file:wallet\\.(?:js|css)}", static, allow_head=False),
        ]
    )


async def _close(app: web.Application) -> None:
    await app[DEMO_WALLET].close()


async def show(request: web.Request) -> web.Response:
    """What is going on, or first what a link brings along."""
    pointer = request.query.get("pointer")
    if pointer is not None:
        return _scanned(request, pointer, again=False)
    return _page(request.app[DEMO_WALLET])


async def scan(request: web.Request) -> web.Response:
    """Somebody pasted a pointer."""
    refuse_other_sites(request)
    form = await request.post()
    return _scanned(request, str(form.get("pointer", "")), again=True)


async def answer(request: web.Request) -> web.Response:
    """Share or decline; what was meant for another question is not an answer to this."""
    refuse_other_sites(request)
    wallet = request.app[DEMO_WALLET]
    form = {name: str(value) for name, value in (await request.post()).items()}
    now = wallet.scan
    if now is not None and form.get("revision") == str(wallet.revision):
        _answered(now, form)
    return _see_page()


async def state(request: web.Request) -> web.Response:
    """Where the wallet stands, once that is something else than the caller knows."""
    wallet = request.app[DEMO_WALLET]
    await wallet.news(request.query.get("after", ""))
    document: JsonObject = {"revision": wallet.revision, "phase": wallet.phase}
    if wallet.scan is not None and wallet.phase is Phase.PAIRING:
        document["pairingCode"] = wallet.scan.code
    if wallet.scan is not None and wallet.scan.outcome is not None:
        document["outcome"] = wallet.scan.outcome.status
    response = json_response(document)
    response.headers.update(_HEADERS)
    return response


async def static(request: web.Request) -> web.Response:
    """The page's script and looks."""
    name = request.match_info["file"]
    text = files(__package__).joinpath(name).read_text()
    return web.Response(text=text, content_type=_STATIC[name], headers=_HEADERS)


def _scanned(request: web.Request, text: str, *, again: bool) -> web.Response:
    try:
        request.app[DEMO_WALLET].start(text, again=again)
    except InvalidPointer as fault:
        return _page(request.app[DEMO_WALLET], note=str(fault))
    return _see_page()


def _answered(now: Scan, form: dict[str, str]) -> None:
    """Hand the person's answer to the wallet."""
    match form.get("answer"):
        case "decline":
            now.decline()
        case "share" if now.question is not None and now.question.satisfiable:
            chosen = []
            for number, ways in enumerate(now.question.ways):
                index = form.get(f"way-{number}", "0")
                if not index.isdecimal() or int(index) >= len(ways):
                    raise Refused(ErrorKind.INVALID_REQUEST, f"way-{number}: no such way")
                chosen.append(ways[int(index)])
            now.share(chosen)
        case _:
            raise Refused(ErrorKind.INVALID_REQUEST, "answer: share or decline")


def _see_page() -> web.Response:
    """The page at its own address, so that no pointer stays in the browser's."""
    return web.Response(status=303, headers={**_HEADERS, "Location": "/wallet"})


def _page(wallet: DemoWallet, note: str = "") -> web.Response:
    """What is shown now."""
    revision, now = wallet.revision, wallet.scan
    if note or now is None:
        main = wallet_view.idle(revision, note)
    elif now.outcome is not None:
        main = wallet_view.ended(revision, now.outcome)
    elif now.question is not None:
        main = wallet_view.asking(revision, now.question)
    elif now.code is not None:
        main = wallet_view.pairing(revision, now.code)
    else:
        main = wallet_view.working(revision)
    text = wallet_view.page(wallet_view.holding(main, wallet.wallet.credentials))
    return web.Response(
        status=400 if note else 200, text=text, content_type="text/html", headers=_HEADERS
    )
