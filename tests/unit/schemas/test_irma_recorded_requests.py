"""What a real IRMA server 1.3.0 answered to requests that parsing alone decides."""

import json

import pytest

from schemas.irma import InvalidSessionRequest, parse_session_request

DISCLOSURE = '"@context":"https://irma.app/ld/request/disclosure/v2"'
SIGNATURE = '"@context":"https://irma.app/ld/request/signature/v2"'
ISSUANCE = '"@context":"https://irma.app/ld/request/issuance/v2"'
STUDENT_ID = '"disclose":[[["irma-demo.RU.studentCard.studentID"]]]'
ATTRIBUTES = (
    '"university":"Radboud","studentCardNumber":"31415927","studentID":"s1234567"'
)

#: Accepted by the server: name of the recorded probe, body.
ACCEPTED = {
    "disclosure plain": f"{{{DISCLOSURE},{STUDENT_ID}}}",
    "disclosure extended": (
        f'{{"request":{{{DISCLOSURE},{STUDENT_ID}}},"validity":300,"timeout":60}}'
    ),
    "signature": f'{{{SIGNATURE},"message":"I agree",{STUDENT_ID}}}',
    "issuance with disclosure": (
        f'{{{ISSUANCE},"credentials":[{{"credential":"irma-demo.RU.studentCard",'
        f'"attributes":{{{ATTRIBUTES},"level":"42"}}}}],'
        '"disclose":[[["irma-demo.MijnOverheid.root.BSN"]]]}'
    ),
    "nextSession null": (
        f'{{"request":{{{DISCLOSURE},{STUDENT_ID}}},"nextSession":null}}'
    ),
    "nextSession url not a URL": (
        f'{{"request":{{{DISCLOSURE},{STUDENT_ID}}},"nextSession":{{"url":"no url"}}}}'
    ),
    "optional disjunction": (
        f'{{{DISCLOSURE},"disclose":[[["irma-demo.RU.studentCard.studentID"]],'
        '[[],["irma-demo.MijnOverheid.root.BSN"]]]}'
    ),
    "labels": f'{{{DISCLOSURE},{STUDENT_ID},"labels":{{"0":{{"en":"a","nl":"b"}}}}}}',
    "labels null value": f'{{{DISCLOSURE},{STUDENT_ID},"labels":{{"0":null}}}}',
    "revocation list": (
        f'{{{DISCLOSURE},"disclose":[[["irma-demo.MijnOverheid.root.BSN"]]],'
        '"revocation":["irma-demo.MijnOverheid.root"]}'
    ),
    "clientReturnUrl": (
        f'{{{DISCLOSURE},{STUDENT_ID},"clientReturnUrl":"https://example.com/done"}}'
    ),
    "signature with only empty conjunction": (
        f'{{{SIGNATURE},"message":"x","disclose":[[[]]]}}'
    ),
    "issuance attribute null": (
        f'{{{ISSUANCE},"credentials":[{{"credential":"irma-demo.RU.studentCard",'
        f'"attributes":{{{ATTRIBUTES},"level":null}}}}]}}'
    ),
    "issuance sdJwtBatchSize 201": (
        f'{{{ISSUANCE},"credentials":[{{"credential":"irma-demo.RU.studentCard",'
        f'"attributes":{{{ATTRIBUTES},"level":"42"}},"sdJwtBatchSize":201}}]}}'
    ),
    "keys in other case": (
        f'{{{DISCLOSURE},"DISCLOSE":[[["irma-demo.RU.studentCard.studentID"]]]}}'
    ),
    "legacy in request": (
        '{"request":{"type":"disclosing","content":[{"label":"id",'
        '"attributes":["irma-demo.RU.studentCard.studentID"]}]}}'
    ),
    "legacy signing": (
        '{"type":"signing","message":"m","content":[{"label":"id",'
        '"attributes":["irma-demo.RU.studentCard.studentID"]}]}'
    ),
    "permissions: host allowed": (
        f'{{{DISCLOSURE},{STUDENT_ID},"host":"app.example:8443"}}'
    ),
    "permissions: credential wildcard, possession": (
        f'{{{DISCLOSURE},"disclose":[[["irma-demo.RU.studentCard"]]]}}'
    ),
}

#: Refused with a reason of its own: name of the recorded probe, body, message.
REFUSED = {
    "only optional disjunctions": (
        f'{{{DISCLOSURE},"disclose":[[[]]]}}',
        "Disclosure request had no attributes",
    ),
    "empty disclose": (
        f'{{{DISCLOSURE},"disclose":[]}}',
        "Disclosure request had no attributes",
    ),
    "disclose missing": (f"{{{DISCLOSURE}}}", "Disclosure request had no attributes"),
    "two part id": (
        f'{{{DISCLOSURE},"disclose":[[["irma-demo.RU"]]]}}',
        "Expected attribute request to consist of 4 or 3 parts, 2 found",
    ),
    "five part id": (
        f'{{{DISCLOSURE},"disclose":[[["irma-demo.RU.studentCard.studentID.x"]]]}}',
        "Expected attribute request to consist of 4 or 3 parts, 5 found",
    ),
    "signature without message": (
        f"{{{SIGNATURE},{STUDENT_ID}}}",
        "Signature request had empty message",
    ),
    "signature with empty message": (
        f'{{{SIGNATURE},"message":"",{STUDENT_ID}}}',
        "Signature request had empty message",
    ),
    "signature without disclose": (
        f'{{{SIGNATURE},"message":"x"}}',
        "Signature request had no attributes",
    ),
    "issuance without credentials": (
        f'{{{ISSUANCE},"credentials":[]}}',
        "Empty issuance request",
    ),
    "old context v1": (
        f'{{"@context":"https://irma.app/ld/request/disclosure/v1",{STUDENT_ID}}}',
        "Invalid session request type",
    ),
    "no context": ('{"foo":"bar"}', "Failed to JSON unmarshal request bytes"),
    "JSON null": ("null", "Failed to JSON unmarshal request bytes"),
    "invalid UTF-8 escaped": (
        f'{{{DISCLOSURE},"disclose":[[["\\ud800"]]]}}',
        "Expected attribute request to consist of 4 or 3 parts, 1 found",
    ),
}

#: Refused in the words of the Go JSON parser: name of the recorded probe, body.
REFUSED_BY_PARSER = {
    "attribute as number": f'{{{DISCLOSURE},"disclose":[[[5]]]}}',
    "labels with a bad key": (
        f'{{{DISCLOSURE},{STUDENT_ID},"labels":{{"x":{{"en":"a"}}}}}}'
    ),
    "issuance attribute number": (
        f'{{{ISSUANCE},"credentials":[{{"credential":"irma-demo.RU.studentCard",'
        f'"attributes":{{{ATTRIBUTES},"level":42}}}}]}}'
    ),
    "issuance validity string": (
        f'{{{ISSUANCE},"credentials":[{{"credential":"irma-demo.RU.studentCard",'
        f'"attributes":{{{ATTRIBUTES},"level":"42"}},"validity":"soon"}}]}}'
    ),
    "validity as string": (
        f'{{"request":{{{DISCLOSURE},{STUDENT_ID}}},"validity":"120"}}'
    ),
    "timeout as fraction": f'{{"request":{{{DISCLOSURE},{STUDENT_ID}}},"timeout":1.5}}',
    "not JSON": "hello",
    "deep nesting": "[" * 20_000,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_by_the_server(name: str) -> None:
    """What the server started is parsed, and says the same when written again."""
    body = ACCEPTED[name]
    request = parse_session_request(body)
    assert parse_session_request(json.dumps(request.to_wire())) == request


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_servers_reason(name: str) -> None:
    """What the server refused for a reason of its own is refused with that reason."""
    body, message = REFUSED[name]
    with pytest.raises(InvalidSessionRequest) as caught:
        parse_session_request(body)
    assert caught.value.message == message


@pytest.mark.parametrize("name", REFUSED_BY_PARSER)
def test_refused_by_the_servers_parser(name: str) -> None:
    """What the server could not parse is refused here too."""
    with pytest.raises(InvalidSessionRequest):
        parse_session_request(REFUSED_BY_PARSER[name])
