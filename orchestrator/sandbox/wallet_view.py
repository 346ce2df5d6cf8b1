"""What the wallet's page shows, in plain words; every text is escaped by the writer."""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from pydantic import JsonValue

from orchestrator.sandbox.credentials import Credential, Way
from orchestrator.sandbox.user import Question
from orchestrator.sandbox.wallet import Outcome, Step, StepStatus
from schemas.irma import (
    AttributeRequest,
    IssuanceRequest,
    JsonObject,
    PlainRequest,
    SessionType,
    SignatureRequest,
    session_request_from,
)

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ASKS: Final = {
    SessionType.DISCLOSING: "asks you to share",
    SessionType.SIGNING: "asks you to sign",
    SessionType.ISSUING: "offers you credentials",
}
_DONE: Final = {
    SessionType.DISCLOSING: "shared",
    SessionType.SIGNING: "signed",
    SessionType.ISSUING: "received",
}
_ENDED: Final = {
    StepStatus.SUCCESS: "Done",
    StepStatus.CANCELLED: "You declined",
    StepStatus.FAILURE: "Something went wrong",
}


def page(main: Element) -> str:
    """The whole page around what is shown now."""
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", name="viewport", content="width=device-width")
    _text(head, "title", "Demo wallet")
    SubElement(head, "link", rel="stylesheet", href="/wallet/wallet.css")
    SubElement(head, "script", src="/wallet/wallet.js", defer="defer")
    body = SubElement(html, "body")
    _text(SubElement(body, "header"), "h1", "Demo wallet")
    body.append(main)
    _scan_form(body)
    _text(body, "footer", "A pretend wallet for tests: nothing in it is real.")
    return "<!DOCTYPE html>\n" + tostring(html, encoding="unicode", method="html")


def idle(revision: int, note: str = "") -> Element:
    """Nothing is going on."""
    main = _main(revision, "Scan a session to begin")
    if note:
        _text(main, "p", note, role="alert")
    return main


def working(revision: int) -> Element:
    """The server is being talked to."""
    return _main(revision, "One moment …")


def pairing(revision: int, code: str) -> Element:
    """The frontend asks for the pairing code."""
    main = _main(revision, "Type this code into the website")
    _text(main, "p", code, **{"class": "code"})
    form = _answer_form(main, revision)
    _button(form, "decline", "Decline")
    return main


def asking(revision: int, question: Question) -> Element:
    """The question, with all the values that would be shared."""
    request = session_request_from(question.requested)
    main = _main(revision, f"{question.server} {_ASKS[request.type]}")
    if question.step > 1:
        _text(main, "p", f"Step {question.step} of this chain.")
    form = _answer_form(main, revision)
    plain = request.request
    if isinstance(plain, SignatureRequest):
        _text(form, "p", "You sign this text:")
        _text(form, "blockquote", plain.message)
    for number, ways in enumerate(question.ways):
        label = _label(plain, number)
        _disjunction(form, number, label, ways, plain.disclose[number])
    if isinstance(plain, IssuanceRequest):
        _offered(form, plain)
    _repeated(form, question.repeated)
    if question.satisfiable:
        _button(form, "share", _share_word(request.type, question))
    _button(form, "decline", "Decline")
    return main


def ended(revision: int, outcome: Outcome) -> Element:
    """How the chain ended, and each of its sessions."""
    main = _main(revision, _ENDED[outcome.status])
    steps = SubElement(main, "ol")
    for step in outcome.steps:
        _text(steps, "li", _told(step))
    link = _return_url(outcome.steps[-1])
    if link is not None:
        _text(main, "a", "Back to the website", href=link, rel="noreferrer")
    return main


def holding(main: Element, credentials: Iterable[Credential]) -> Element:
    """The same, with the credentials in the wallet below."""
    section = SubElement(main, "section", {"aria-labelledby": "held"})
    _text(section, "h2", "Your credentials", id="held")
    for credential in credentials:
        _text(section, "h3", title(credential.id))
        _values(section, credential.attributes.items())
    return main


def title(credential: str) -> str:
    """A credential's type in words: `Student card (RU, irma-demo)`."""
    scheme, issuer, name = credential.split(".", 2)
    return f"{words(name)} ({issuer}, {scheme})"


def words(name: str) -> str:
    """`studentCardNumber` as `Student card number`; abbreviations stay."""
    parts = [
        part if part.isupper() and len(part) > 1 else part.lower()
        for part in _CAMEL.split(name)
    ]
    text = " ".join(parts)
    return text[:1].upper() + text[1:]


def _main(revision: int, heading: str) -> Element:
    main = Element("main", {"aria-live": "polite", "data-revision": str(revision)})
    _text(main, "h2", heading, id="now", tabindex="-1")
    return main


def _text(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = text
    return element


def _scan_form(body: Element) -> None:
    form = SubElement(body, "form", method="post", action="/wallet/scan")
    label = _text(form, "label", "Session pointer, or the link that opens the app")
    label.set("for", "pointer")
    # A text area without a text would swallow the rest of the page in some parsers.
    SubElement(form, "textarea", id="pointer", name="pointer", rows="3", required="")
    _text(form, "button", "Scan", type="submit")


def _answer_form(main: Element, revision: int) -> Element:
    form = SubElement(main, "form", method="post", action="/wallet/answer")
    SubElement(form, "input", type="hidden", name="revision", value=str(revision))
    return form


def _button(form: Element, answer: str, text: str) -> None:
    _text(form, "button", text, type="submit", name="answer", value=answer)


def _share_word(kind: SessionType, question: Question) -> str:
    if kind is SessionType.SIGNING:
        return "Share and sign"
    if kind is SessionType.ISSUING:
        shares = question.ways or question.repeated
        return "Share and receive" if shares else "Receive"
    return "Share"


def _label(plain: PlainRequest, number: int) -> str:
    """The requestor's own words, in English if there are."""
    texts = (plain.labels or {}).get(str(number)) or {}
    return texts.get("en") or next(iter(texts.values()), "")


def _disjunction(
    form: Element,
    number: int,
    label: str,
    ways: Sequence[Way],
    asked: Sequence[Sequence[AttributeRequest]],
) -> None:
    group = SubElement(form, "fieldset")
    _text(group, "legend", label or f"Question {number + 1}")
    if not ways:
        _text(group, "p", "You have no credential for this:", **{"class": "missing"})
        for conjunction in asked:
            _text(group, "p", ", ".join(_asked(one) for one in conjunction))
    for index, way in enumerate(ways):
        line = SubElement(group, "label", {"class": "way"})
        choice = SubElement(
            line, "input", name=f"way-{number}", value=str(index), type="radio"
        )
        if index == 0:
            choice.set("checked", "checked")
        _way(line, way)


def _way(line: Element, way: Way) -> None:
    if not way.attributes:
        _text(line, "span", "Share nothing")
    for asked, credential in way.attributes:
        text = f"{_asked(asked)}: {_shown(credential.value(asked))}"
        _text(line, "span", text)
    sources = dict.fromkeys(title(credential.id) for _, credential in way.attributes)
    if sources:
        _text(line, "small", f"from {', '.join(sources)}")


def _asked(asked: AttributeRequest) -> str:
    name = asked.type.removeprefix(asked.credential).removeprefix(".")
    return words(name) if name else f"That you have {title(asked.credential)}"


def _shown(value: str | None) -> str:
    return "not filled in" if value is None else value


def _offered(form: Element, plain: IssuanceRequest) -> None:
    """The credentials that would be received."""
    for credential in plain.credentials:
        _text(form, "h3", f"You receive: {title(credential.credential)}")
        _values(form, (credential.attributes or {}).items())


def _repeated(form: Element, repeated: Sequence[Sequence[JsonObject]]) -> None:
    again = [attribute for one in repeated for attribute in one]
    if not again:
        return
    _text(form, "p", "Shared once more, as earlier in this chain:")
    _values(form, ((str(one["id"]).split(".", 2)[2], one["rawvalue"]) for one in again))


def _values(parent: Element, values: Iterable[tuple[str, JsonValue]]) -> None:
    listed = SubElement(parent, "dl")
    for name, value in values:
        _text(listed, "dt", words(name))
        _text(listed, "dd", _shown(None if value is None else str(value)))


def _told(step: Step) -> str:
    if step.status is StepStatus.SUCCESS:
        return f"You {_DONE[step.type]}."
    if step.status is StepStatus.CANCELLED:
        return "You declined."
    match step.error:
        case {"error": str() as error, "message": str() as message}:
            reason = f"{error}: {message}"
        case {"error": str() as error}:
            reason = error
        case _:
            reason = "no reason given"
    if not step.http_status:
        return f"It failed: {reason}."
    return f"The server answered {step.http_status}: {reason}."


def _return_url(step: Step) -> str | None:
    """Where the user came from; only what a browser opens as a page."""
    if step.requested is None or step.status is not StepStatus.SUCCESS:
        return None
    url = session_request_from(step.requested).request.client_return_url or ""
    return url if url.lower().startswith(("https://", "http://")) else None
