"""What the pretend server's schemes have, and what they do not."""

import pytest
from pydantic import JsonValue

from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.starting import start_refusal
from schemas.irma import session_request_from

STUDENT_CARD: dict[str, JsonValue] = {
    "university": "Radboud",
    "studentCardNumber": "31415927",
    "studentID": "456",
    "level": "42",
}
IRREVOCABLE = (
    "cannot request nonrevocation proof for irma-demo.RU.studentCard: "
    "revocation not enabled in scheme"
)
NOW = 1_795_296_044.0
CONFIG = SandboxConfig(url="http://irma.example")
AUGMENTING = SandboxConfig(url="http://irma.example", augment_client_return_url=True)


def disclosure(*conjunction: str, **fields: JsonValue) -> JsonValue:
    """A disclosure request."""
    context = "https://irma.app/ld/request/disclosure/v2"
    return {"@context": context, "disclose": [[list(conjunction)]], **fields}


def issuance(credential: str, attributes: JsonValue, **fields: JsonValue) -> JsonValue:
    """An issuance request."""
    context = "https://irma.app/ld/request/issuance/v2"
    issued = {"credential": credential, "attributes": attributes, **fields}
    return {"@context": context, "credentials": [issued]}


def refusal(request: JsonValue, config: SandboxConfig = CONFIG) -> str | None:
    """Why a session is not started."""
    return start_refusal(config, session_request_from(request), NOW)


@pytest.mark.parametrize(
    "request_, reason",
    [
        (disclosure("irma-demo.RU.studentCard.studentID"), None),
        (disclosure("irma-demo.RU.studentCard"), None),
        (disclosure("irma-demo.RU.nope"), "unknown identifier: irma-demo.RU.nope"),
        (
            disclosure("irma-demo.RU.studentCard.shoe"),
            "unknown identifier: irma-demo.RU.studentCard.shoe",
        ),
        (
            disclosure("other.RU.studentCard.level"),
            "unknown identifier: other.RU.studentCard.level",
        ),
        (
            disclosure("irma-demo.RU.studentCard", "irma-demo.MijnOverheid.fullName"),
            "Multiple non-singletons within one inner conjunction are not allowed",
        ),
        (disclosure("irma-demo.RU.studentCard", "irma-demo.MijnOverheid.root"), None),
        (
            disclosure(
                "irma-demo.MijnOverheid.root", revocation=["irma-demo.MijnOverheid.root"]
            ),
            None,
        ),
        (
            disclosure(
                "irma-demo.MijnOverheid.root", revocation=["irma-demo.RU.studentCard"]
            ),
            IRREVOCABLE,
        ),
        (issuance("irma-demo.RU.studentCard", STUDENT_CARD), None),
        (issuance("irma-demo.RU.nope", {}), "unknown identifier: irma-demo.RU.nope"),
        (
            issuance("irma-demo.RU.studentCard", {**STUDENT_CARD, "shoe": "43"}),
            "unknown identifier: irma-demo.RU.studentCard.shoe",
        ),
        (
            issuance("irma-demo.RU.studentCard", {"level": "42"}),
            "required attributes are missing: studentCardNumber, studentID, university",
        ),
        (issuance("irma-demo.sidn-pbdf.email", {"email": "j@shop.example"}), None),
        (
            issuance("irma-demo.RU.studentCard", STUDENT_CARD, validity=int(NOW) - 1),
            "cannot issue expired credentials",
        ),
        (
            issuance("irma-demo.RU.studentCard", STUDENT_CARD, validity=int(NOW) + 1),
            None,
        ),
    ],
)
def test_demo_schemes(request_: JsonValue, reason: str | None) -> None:
    """Unless told otherwise, the server knows the demo scheme."""
    assert refusal(request_) == reason


def test_anything_exists() -> None:
    """Without a table, whatever is asked for exists."""
    anything = SandboxConfig(url="http://irma.example", schemes=None)
    assert refusal(disclosure("a.b.c.d", "e.f.g.h"), anything) is None


def test_schemes_of_ones_own() -> None:
    """A table of one's own takes the place of the demo scheme."""
    own = SandboxConfig.model_validate(
        {
            "url": "http://irma.example",
            "schemes": {"acme.shop.card": {"attributes": ["number"]}},
        }
    )
    assert refusal(disclosure("acme.shop.card.number"), own) is None
    assert refusal(disclosure("irma-demo.RU.studentCard"), own) is not None


@pytest.mark.parametrize(
    "config, fields, reason",
    [
        (
            CONFIG,
            {"clientReturnUrl": "https://shop.example", "augmentReturnUrl": True},
            "augmenting client return url not enabled in server configuration",
        ),
        (
            AUGMENTING,
            {"augmentReturnUrl": True},
            "cannot augment client return url: it is empty",
        ),
        (
            AUGMENTING,
            {"clientReturnUrl": "https://shop.example", "augmentReturnUrl": True},
            None,
        ),
        (AUGMENTING, {"clientReturnUrl": "https://shop.example"}, None),
    ],
)
def test_augmenting(
    config: SandboxConfig, fields: dict[str, JsonValue], reason: str | None
) -> None:
    """A return URL gets a token where the server may give one, and where there is one."""
    request = disclosure("irma-demo.RU.studentCard", **fields)
    assert refusal(request, config) == reason
