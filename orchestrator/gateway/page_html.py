"""The chain page as HTML; every text is escaped by the writer."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

import segno

from orchestrator.gateway.page_texts import TEXTS, Language, Texts, Words
from orchestrator.gateway.page_view import pointer_text
from schemas.chain_page import ChainPage, PageState

#: How often a page without its script is loaded again.
REFRESH_S: Final = 5

#: How long a good end is shown before the page goes on; what went wrong takes longer to
#: read.
GO_ON_S: Final = 2
GO_ON_AFTER_TROUBLE_S: Final = 6

#: The QR's quiet zone, in modules (ISO/IEC 18004 §6.3.8): its page may be dark.
_QR_BORDER: Final = 4

#: To draw one takes 30 ms, and a page may be loaded often: this many are remembered.
_QR_KEPT: Final = 256

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript"}


class Assets:
    """The page's files, under names that change with their content, and its QRs."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        self.style = self._taken("page.css")
        self.script = self._taken("page.js")
        self.qr = lru_cache(_QR_KEPT)(_qr)

    def file(self, name: str) -> tuple[bytes, str] | None:
        """Content and content type of a file."""
        return self._files.get(name)

    def _taken(self, name: str) -> str:
        source = files("orchestrator.gateway").joinpath("page_assets").joinpath(name)
        content = source.read_bytes()
        stem, dot, kind = name.rpartition(".")
        hashed = f"{stem}-{sha256(content).hexdigest()[:12]}{dot}{kind}"
        self._files[hashed] = content, _TYPES[dot + kind]
        return f"assets/{hashed}"


def shown(page: ChainPage, language: Language, assets: Assets) -> str:
    """The page of a chain."""
    texts = TEXTS[language]
    words = texts.words(page.state, page.session_type)
    html, head, body = _document(words, language, assets)
    _refresh(head, page)
    main = SubElement(body, "main", {"data-revision": page.revision})
    main.set("data-state", page.state.value)
    step = "" if page.step == 1 or page.state.over else texts.step.format(page.step)
    _said(main, words, step=step)
    deed = SubElement(main, "div", id="deed")
    if page.session_ptr is not None and page.universal_link is not None:
        _pointer(
            deed, assets.qr(pointer_text(page.session_ptr)), page.universal_link, texts
        )
    elif page.return_url is not None:
        _way_on(deed, page.return_url, texts, _go_on_s(page.state))
    elif not page.state.over:
        SubElement(deed, "div", {"class": "busy", "aria-hidden": "true"})
    _languages(body, language)
    return _text_of(html)


def gone(language: Language, assets: Assets) -> str:
    """The page for every address that is not a chain's, or not any more."""
    words = TEXTS[language].gone
    html, _, body = _document(words, language, assets, script=False)
    _said(SubElement(body, "main"), words)
    _languages(body, language)
    return _text_of(html)


def away(language: Language, assets: Assets) -> str:
    """The page while it cannot be known what to show."""
    words = TEXTS[language].away
    html, head, body = _document(words, language, assets, script=False)
    _meta_refresh(head, str(REFRESH_S))
    _said(SubElement(body, "main"), words)
    _languages(body, language)
    return _text_of(html)


def _document(
    words: Words, language: Language, assets: Assets, *, script: bool = True
) -> tuple[Element, Element, Element]:
    html = Element("html", lang=language.value)
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    viewport = "width=device-width, initial-scale=1"
    SubElement(head, "meta", name="viewport", content=viewport)
    SubElement(head, "meta", name="color-scheme", content="light dark")
    SubElement(head, "title").text = words.title
    SubElement(head, "link", rel="icon", href="data:,")
    SubElement(head, "link", rel="stylesheet", href=assets.style)
    if script:
        SubElement(head, "script", src=assets.script, defer="defer")
    return html, head, SubElement(html, "body")


def _refresh(head: Element, page: ChainPage) -> None:
    """What moves a page on whose script does not run."""
    if page.return_url is not None:
        content = f"{_go_on_s(page.state)};url={page.return_url}"
        _meta_refresh(SubElement(head, "noscript"), content)
    elif not page.state.over:
        _meta_refresh(SubElement(head, "noscript"), str(REFRESH_S))


def _meta_refresh(parent: Element, content: str) -> None:
    SubElement(parent, "meta", {"http-equiv": "refresh", "content": content})


def _said(main: Element, words: Words, *, step: str = "") -> None:
    """What the user is told; read aloud when it changes."""
    said = SubElement(main, "div", id="said", role="status")
    if step:
        SubElement(said, "p", {"class": "step"}).text = step
    SubElement(said, "h1", tabindex="-1").text = words.title
    SubElement(said, "p").text = words.text


def _pointer(deed: Element, qr: str, universal_link: str, texts: Texts) -> None:
    """QR and button: which of them comes first is for the style to say, by device."""
    SubElement(deed, "img", {"class": "qr", "src": qr, "alt": texts.qr})
    link = SubElement(deed, "a", {"class": "button", "href": universal_link})
    link.text = texts.open_app


def _qr(text: str) -> str:
    """A QR as the source of an image."""
    qr = segno.make(text, error="m", micro=False)
    return qr.svg_data_uri(border=_QR_BORDER, light="#fff", dark="#000", scale=8)


def _way_on(deed: Element, url: str, texts: Texts, after_s: int) -> None:
    SubElement(deed, "p").text = texts.going_on
    link = SubElement(deed, "a", {"class": "button", "id": "go-on", "href": url})
    link.set("data-after-s", str(after_s))
    link.text = texts.go_on


def _go_on_s(state: PageState) -> int:
    return GO_ON_S if state is PageState.COMPLETED else GO_ON_AFTER_TROUBLE_S


def _languages(body: Element, language: Language) -> None:
    """The way to the other languages."""
    nav = SubElement(SubElement(body, "footer"), "nav")
    for other in Language:
        if other is not language:
            link = SubElement(nav, "a", href=f"?lang={other}", hreflang=other.value)
            link.set("lang", other.value)
            link.text = TEXTS[other].name


def _text_of(html: Element) -> str:
    return "<!doctype html>\n" + tostring(html, encoding="unicode", method="html")
