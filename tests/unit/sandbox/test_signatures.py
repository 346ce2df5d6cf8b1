"""What the pretend server calls a signed message."""

from orchestrator.sandbox import sessions
from orchestrator.sandbox.disclosure import Checked
from schemas.irma import JsonObject, ProofStatus, session_request_from

FIRSTNAME = "irma-demo.MijnOverheid.fullName.firstname"
FAMILYNAME = "irma-demo.MijnOverheid.fullName.familyname"
BSN = "irma-demo.MijnOverheid.root.BSN"


def disclosed(*identifiers: str) -> list[JsonObject]:
    """Disclosed attributes as far as they matter here."""
    return [{"id": identifier} for identifier in identifiers]


def test_signed_message() -> None:
    """It has the shape of a real one: a proof per credential, and who proves what."""
    request = session_request_from(
        {
            "@context": "https://irma.app/ld/request/signature/v2",
            "message": "I agree",
            "disclose": [[[FIRSTNAME]], [[BSN]], [[], [FAMILYNAME]]],
        }
    )
    tokens = iter("abc")
    begun = sessions.new_session(request, "", 0.0, lambda: next(tokens))
    lists = [disclosed(FIRSTNAME), disclosed(BSN), disclosed(FAMILYNAME), []]
    proved = sessions.proved(begun, Checked(ProofStatus.VALID, [*lists]), 7.9)
    signature = proved.signature
    assert signature is not None
    assert signature["message"] == "I agree"
    assert signature["nonce"] == begun.nonce
    assert signature["indices"] == [
        [{"cred": 0, "attr": 2}],
        [{"cred": 1, "attr": 2}],
        [{"cred": 0, "attr": 3}],
        [],
    ]
    proofs = signature["signature"]
    assert isinstance(proofs, list)
    assert [set(proof) for proof in proofs if isinstance(proof, dict)] == [
        {"c", "A", "e_response", "v_response", "a_responses", "a_disclosed"}
    ] * 2
    timestamp = signature["timestamp"]
    assert isinstance(timestamp, dict)
    assert timestamp["Time"] == 7
    assert timestamp.keys() == {"Time", "ServerUrl", "Sig"}


def test_other_sessions_sign_nothing() -> None:
    """A disclosing session's result has no signature."""
    request = session_request_from(
        {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[[BSN]]],
        }
    )
    begun = sessions.new_session(request, "", 0.0, lambda: "token")
    assert sessions.proved(begun, Checked(ProofStatus.VALID, [[]]), 1.0).signature is None
