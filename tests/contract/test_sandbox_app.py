"""The pretend IRMA server to an app, and the pretend wallet to a user."""

import pytest
from aiohttp import web

from orchestrator.proof.endpoints import Received
from orchestrator.sandbox import Credential, StepStatus, Wallet, decline
from schemas.irma import JsonObject, SessionPointer
from tests.contract.app_lab import (
    APP,
    DISCLOSURE,
    ISSUANCE,
    PROOFS,
    lab,
)
from tests.contract.sandbox_lab import Json


async def asks_for_more(number: int, _: Received) -> web.StreamResponse:
    """An endpoint that asks for one more session, then no more."""
    return web.json_response(DISCLOSURE) if number == 0 else web.Response(status=204)


async def test_app_gets_the_request() -> None:
    """The first call gives protocol version, options and the plain request."""
    async with lab() as here:
        status, answer = await here.ask("GET", await here.pointer())
    assert status == 200
    assert answer["@context"] == "https://irma.app/ld/request/client/v1"
    assert answer["protocolVersion"] == "2.8"
    assert answer["options"]["pairingMethod"] == "none"
    assert answer["request"].items() >= DISCLOSURE.items()


async def test_app_gets_the_request_again() -> None:
    """GET /request gives the plain request to the app that connected."""
    async with lab() as here:
        u = await here.pointer()
        await here.ask("GET", u)
        status, answer = await here.ask("GET", f"{u}/request")
    assert status == 200
    assert answer.items() >= DISCLOSURE.items()


async def test_app_never_sees_revocation_keys() -> None:
    """The issuer's revocation key is stripped."""
    async with lab() as here:
        _, answer = await here.ask("GET", await here.pointer(ISSUANCE))
    assert "revocationKey" not in answer["request"]["credentials"][0]


@pytest.mark.parametrize(
    "header", ["X-IRMA-MinProtocolVersion", "X-IRMA-MaxProtocolVersion"]
)
async def test_version_headers_are_needed(header: str) -> None:
    """An app that does not say what it speaks is not understood."""
    headers = {name: value for name, value in APP.items() if name != header}
    async with lab() as here:
        status, answer = await here.ask("GET", await here.pointer(), headers=headers)
    assert (status, answer["error"]) == (400, "MALFORMED_INPUT")


async def test_proofs_that_cannot_be_read() -> None:
    """A body of another shape is malformed input and leaves the session CONNECTED."""
    async with lab() as here:
        u = await here.pointer()
        await here.ask("GET", u)
        status, answer = await here.ask("POST", f"{u}/proofs", json={"proofs": []})
        assert (status, answer["error"]) == (400, "MALFORMED_INPUT")
        assert await here.ask("GET", f"{u}/status") == (200, "CONNECTED")


@pytest.mark.parametrize(
    "plain, path", [(ISSUANCE, "/proofs"), (DISCLOSURE, "/commitments")]
)
async def test_each_type_has_its_path(plain: Json, path: str) -> None:
    """Proofs are for disclosing, commitments for issuing."""
    async with lab() as here:
        u = await here.pointer(plain)
        await here.ask("GET", u)
        status, answer = await here.ask("POST", u + path, json=PROOFS)
    assert (status, answer["error"]) == (400, "INVALID_REQUEST")


async def test_another_app_is_kept_out() -> None:
    """Only the app that connected may prove."""
    async with lab() as here:
        u = await here.pointer()
        await here.ask("GET", u)
        other = {"Authorization": "other"}
        status, answer = await here.ask("POST", f"{u}/proofs", json=PROOFS, headers=other)
    assert (status, answer["error"]) == (403, "UNAUTHORIZED")
    assert answer["description"] == "You are not authorized to access the session"


async def test_frontend_needs_its_token() -> None:
    """The frontend's status is for who holds the frontend token."""
    async with lab() as here:
        package = await here.start()
        url = f"{package['sessionPtr']['u']}/frontend/status"
        status, answer = await here.ask("GET", url)
        assert (status, answer["error"]) == (403, "UNAUTHORIZED")
        token = package["frontendRequest"]["authorization"]
        allowed = await here.ask("GET", url, headers={"Authorization": token})
    assert allowed == (200, {"status": "INITIALIZED"})


async def test_anyone_with_the_pointer_may_cancel() -> None:
    """DELETE needs no token but the one in the path."""
    async with lab() as here:
        u = await here.pointer()
        assert await here.ask("DELETE", u, headers={}) == (200, None)
        assert await here.ask("GET", f"{u}/status", headers={}) == (200, "CANCELLED")


async def test_wrong_method_under_irma() -> None:
    """A wrong method on an app's route is answered in JSON."""
    async with lab() as here:
        answer = await here.ask("PUT", await here.pointer())
    assert answer == (405, {"status": 405, "error": "INVALID_REQUEST"})


async def test_issued_credential_can_be_disclosed() -> None:
    """What a wallet is issued it holds from then on."""
    wallet = Wallet([])
    async with lab() as here:
        issued = await wallet.run(scanned(await here.start(ISSUANCE)))
        disclosed = await wallet.run(scanned(await here.start()))
    assert (issued.status, disclosed.status) == (StepStatus.SUCCESS, StepStatus.SUCCESS)
    assert disclosed.steps[0].disclosed[0][0]["rawvalue"] == "999"


async def test_wallet_without_the_attribute() -> None:
    """A request that cannot be satisfied fails, and the session is cancelled."""
    wallet = Wallet([Credential("irma-demo.MijnOverheid.root", {"BSN": "1"})])
    async with lab() as here:
        package = await here.start()
        outcome = await wallet.run(scanned(package))
        url = f"{here.server}/session/{package['token']}/status"
        assert await here.ask("GET", url) == (200, "CANCELLED")
    assert outcome.status is StepStatus.FAILURE
    assert outcome.steps[0].error == {"error": "UNSATISFIABLE"}


async def test_user_declines_the_second_step() -> None:
    """Refusing step 2 leaves step 1 DONE and step 2 CANCELLED."""
    asked: list[JsonObject] = []

    async def only_once(request: JsonObject) -> bool:
        asked.append(request)
        return len(asked) == 1

    async with lab(asks_for_more) as here:
        package = await here.start(chained=True)
        outcome = await Wallet().run(scanned(package), only_once)
        url = f"{here.server}/session/{package['token']}/result"
        _, first = await here.ask("GET", url)
        url = f"{here.server}/session/{first['nextSession']}/result"
        _, second = await here.ask("GET", url)
    assert [step.status for step in outcome.steps] == ["success", "cancelled"]
    assert (first["status"], second["status"]) == ("DONE", "CANCELLED")


async def test_nobody_there() -> None:
    """A server that cannot be reached is a failure without a status."""
    async with lab() as here:
        gone = scanned(await here.start())
    outcome = await Wallet().run(gone, decline)
    assert [(step.status, step.http_status) for step in outcome.steps] == [("failure", 0)]


def scanned(package: Json) -> SessionPointer:
    """The pointer in a session package."""
    return SessionPointer.model_validate(package["sessionPtr"])
