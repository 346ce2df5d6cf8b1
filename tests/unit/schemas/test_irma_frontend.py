"""What frontends send and hear is read and written as an IRMA server does."""

import json

import pytest
from pydantic import JsonValue

from schemas.irma import (
    FrontendOptions,
    InvalidFrontendDocument,
    NextSession,
    PairingMethod,
    SessionType,
    Status,
    parse_frontend_options,
    parse_frontend_options_request,
    parse_frontend_status,
    parse_session_request,
    parse_session_result,
)

Fields = dict[str, JsonValue]

REQUEST: Fields = {"@context": "https://irma.app/ld/request/frontendoptions/v1"}
OPTIONS: Fields = {"@context": "https://irma.app/ld/options/v1"}
POINTER: Fields = {"u": "https://irma.example/irma/session/x", "irmaqr": "issuing"}


@pytest.mark.parametrize(
    "word, method",
    [("pin", PairingMethod.PIN), ("none", PairingMethod.NONE), ("", None), (None, None)],
)
def test_options_request_sets_a_method_or_only_reads(
    word: str | None, method: PairingMethod | None
) -> None:
    """The empty method, or none at all, changes nothing."""
    request = parse_frontend_options_request(
        json.dumps(REQUEST | {"pairingMethod": word})
    )
    assert request.pairing_method is method
    assert parse_frontend_options_request(json.dumps(request.to_wire())) == request


@pytest.mark.parametrize(
    "document, text",
    [
        ({}, "@context: missing"),
        (OPTIONS, "@context: Not a frontend options request"),
        (REQUEST | {"pairingMethod": "nfc"}, "pairingMethod: Pairing method unknown"),
        (
            REQUEST | {"pairingMethod": 5},
            "pairingMethod: expected another word, found a number",
        ),
        ([], "expected an object, found a list"),
    ],
)
def test_what_is_no_options_request_is_refused(document: JsonValue, text: str) -> None:
    """A refusal names the field and the reason."""
    with pytest.raises(InvalidFrontendDocument) as caught:
        parse_frontend_options_request(json.dumps(document))
    assert str(caught.value) == text


def test_options_have_a_code_while_pairing_is_on() -> None:
    """The code is told with the method `pin`."""
    document = OPTIONS | {"pairingMethod": "pin", "pairingCode": "1761"}
    options = FrontendOptions(pairingMethod=PairingMethod.PIN, pairingCode="1761")
    assert options.to_wire() == document
    assert parse_frontend_options(json.dumps(document)).to_wire() == document


def test_options_without_pairing_have_no_code() -> None:
    """Without pairing, which is how a session starts, there is no code."""
    assert FrontendOptions().to_wire() == OPTIONS | {"pairingMethod": "none"}


def test_status_alone() -> None:
    """A session that is not followed by another has a status only."""
    status = parse_frontend_status('{"status":"CONNECTED"}')
    assert status.status is Status.CONNECTED
    assert status.next_session is None
    assert status.to_wire() == {"status": "CONNECTED"}


@pytest.mark.trap("T6")
def test_next_session_means_three_things() -> None:
    """It is a URL in a request, a token in a result, a pointer in a frontend's status."""
    request = parse_session_request(
        '{"request":{"type":"disclosing","content":[{"attributes":["a.b.c.d"]}]},'
        '"nextSession":{"url":"https://shop.example/next"}}'
    )
    assert request.next_session == NextSession(url="https://shop.example/next")
    result = parse_session_result(
        '{"token":"t","status":"DONE","type":"disclosing","nextSession":"n"}'
    )
    assert result.next_session == "n"
    document: Fields = {"status": "DONE", "nextSession": POINTER}
    status = parse_frontend_status(json.dumps(document))
    assert status.to_wire() == document
    assert status.next_session is not None
    assert status.next_session.irmaqr is SessionType.ISSUING


@pytest.mark.parametrize(
    "document, text",
    [
        ("", "not JSON: Expecting value at character 0"),
        ('"DONE"', "expected an object, found a string"),
        ('{"status":"OVER"}', "status: expected another word, found a string"),
        (
            '{"status":"DONE","nextSession":"token"}',
            "nextSession: expected an object, found a string",
        ),
        (
            '{"status":"DONE","nextSession":{"irmaqr":"signing"}}',
            "nextSession.u: missing",
        ),
    ],
)
def test_what_is_no_status_is_refused(document: str, text: str) -> None:
    """A refusal names the field and the reason."""
    with pytest.raises(InvalidFrontendDocument) as caught:
        parse_frontend_status(document)
    assert str(caught.value) == text
