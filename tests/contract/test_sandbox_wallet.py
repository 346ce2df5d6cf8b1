"""The pretend wallet at a pretend server: what it keeps, chooses and waits for."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.cli.chains import start_chain
from orchestrator.proof.endpoints import Received, Script, endpoint_at_work
from orchestrator.sandbox import Credential, Outcome, StepStatus, Wallet
from orchestrator.sandbox.user import Choose, optional_left_empty, optional_shared
from orchestrator.sealing import new_key
from orchestrator.settings import Settings
from schemas.irma import SessionPointer, StaticPointer
from tests.contract.app_lab import APP, DISCLOSURE, ISSUANCE, STUDENT_ID, Lab, lab
from tests.contract.sandbox_lab import BOUND_S, Json

CARD = "irma-demo.RU.studentCard"
ROOT = "irma-demo.MijnOverheid.root"
OLD, NEW = (Credential(CARD, {"studentID": number}) for number in ("1", "2"))


def asked(*disclose: Json) -> Json:
    """A disclosure request."""
    return {**DISCLOSURE, "disclose": list(disclose)}


def issued_root(number: str) -> Json:
    """An issuance of a credential of which there is but one."""
    return {
        "@context": "https://irma.app/ld/request/issuance/v2",
        "credentials": [{"credential": ROOT, "attributes": {"BSN": number}}],
    }


def scanned(package: Json) -> SessionPointer:
    """The pointer in a session package."""
    return SessionPointer.model_validate(package["sessionPtr"])


def values(outcome: Outcome, step: int = -1) -> Json:
    """The raw values that were shared in a step."""
    return [[one["rawvalue"] for one in some] for some in outcome.steps[step].disclosed]


async def test_credentials_are_kept_between_runs(tmp_path: Path) -> None:
    """What one run of a wallet was issued, the next discloses."""
    file = tmp_path / "wallet.json"
    async with lab() as here:
        await Wallet(file=file).run(scanned(await here.start(ISSUANCE)))
        outcome = await Wallet(file=file).run(scanned(await here.start()))
    assert values(outcome) == [["999"]]


async def test_command_line_keeps_its_wallet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`chainctl start --wallet-file` discloses today what it was issued yesterday."""
    file = tmp_path / "wallet.json"
    only_issued = {**DISCLOSURE, "disclose": [[[{"type": STUDENT_ID, "value": "999"}]]]}
    async with lab() as here:
        for request in (only_issued, ISSUANCE, only_issued):
            await start_chain(
                command_line(here.server),
                json.dumps(request).encode(),
                None,
                wallet=False,
                wallet_file=file,
                as_json=False,
            )
    told = [line for line in capsys.readouterr().out.splitlines() if "wallet" in line]
    assert [line.split()[1:3] for line in told] == [
        ["disclosing:", "failure"],
        ["issuing:", "success"],
        ["disclosing:", "success"],
    ]


def command_line(server: str) -> Settings:
    """What `chainctl` needs to know to start a session there."""
    return Settings.model_validate(
        {
            "broker_url": "amqp://mq.example",
            "database_url": "sqlite:///nowhere.db",
            "public_url": server,
            "irma_server": {"url": server},
            "sealing": {"key": new_key(), "hash_key": new_key()},
            "no_auth": True,
        }
    )


async def test_singleton_is_replaced() -> None:
    """Of a singleton the wallet holds the one issued last."""
    wallet = Wallet([])
    async with lab() as here:
        for number in ("1", "2"):
            await wallet.run(scanned(await here.start(issued_root(number))))
        outcome = await wallet.run(scanned(await here.start(asked([[f"{ROOT}.BSN"]]))))
    assert len(wallet.credentials) == 1
    assert values(outcome) == [["2"]]


async def test_replaced_credential_breaks_the_chain() -> None:
    """What was disclosed and then replaced cannot be disclosed again (irma.md §7.6)."""
    async with lab(in_turn(issued_root("2"), asked([[STUDENT_ID]]))) as here:
        start = await here.start(asked([[f"{ROOT}.BSN"]]), chained=True)
        outcome = await Wallet([Credential(ROOT, {"BSN": "1"}), OLD]).run(scanned(start))
    assert [step.status for step in outcome.steps] == ["success", "success", "failure"]
    assert outcome.steps[2].error == {"error": "UNSATISFIABLE"}


def in_turn(*requests: Json) -> Script:
    """An endpoint with these next requests, each but the last with one after it."""

    async def script(number: int, received: Received) -> web.StreamResponse:
        url = f"http://{received.headers['Host']}/next"
        last = number == len(requests) - 1
        target = {} if last else {"nextSession": {"url": url}}
        return web.json_response({"request": requests[number], **target})

    return script


async def test_chain_repeats_the_very_values() -> None:
    """Later steps disclose again what was chosen in the first, without a question."""
    wallet = Wallet([OLD, NEW, Credential(ROOT, {"BSN": "3"})])
    async with lab(in_turn(asked([[f"{ROOT}.BSN"]]), asked([[CARD]]))) as here:
        start = await here.start(chained=True)
        outcome = await wallet.run(scanned(start), choose=lambda ways: ways[-1])
        first = await here.result(start)
        second = await here.result({"token": first["nextSession"]})
        third = await here.result({"token": second["nextSession"]})
    assert values(outcome) == [["present"], ["3"], ["1"]]
    assert third["proofStatus"] == "VALID"


@pytest.mark.parametrize(
    "choose, expected",
    [
        (lambda ways: ways[0], [["2"]]),
        (lambda ways: ways[1], [["1"]]),
    ],
    ids=["newest", "older"],
)
async def test_choice_among_several(choose: Choose, expected: Json) -> None:
    """Of several credentials of a type the script takes its pick."""
    async with lab() as here:
        pointer = scanned(await here.start())
        outcome = await Wallet([OLD, NEW]).run(pointer, choose=choose)
    assert values(outcome) == expected


async def test_credential_with_the_value_asked_for() -> None:
    """Where a value is required again, it is the older credential that has it."""
    request = asked([[{"type": STUDENT_ID, "value": "1"}]], [[]])
    async with lab() as here:
        package = await here.start(request)
        outcome = await Wallet([OLD, NEW]).run(scanned(package))
        result = await here.result(package)
    assert values(outcome) == [["1"], []]
    assert result["proofStatus"] == "VALID"


@pytest.mark.parametrize(
    "choose, expected",
    [(optional_shared, [["2"]]), (optional_left_empty, [[]])],
)
@pytest.mark.parametrize("order", [1, -1], ids=["empty first", "empty last"])
async def test_optional_disjunction(choose: Choose, expected: Json, order: int) -> None:
    """What is optional is shared or left empty, wherever the empty one stands."""
    async with lab() as here:
        package = await here.start(asked([[], [STUDENT_ID]][::order], [[CARD]]))
        outcome = await Wallet([OLD, NEW]).run(scanned(package), choose=choose)
        result = await here.result(package)
    assert values(outcome) == [*expected, ["present"]]
    assert (result["status"], result["proofStatus"]) == ("DONE", "VALID")


async def with_pairing(here: Lab) -> tuple[Json, str]:
    """A session whose frontend asks for pairing: its package and its code."""
    package = await here.start()
    options = {
        "@context": "https://irma.app/ld/request/frontendoptions/v1",
        "pairingMethod": "pin",
    }
    _, answer = await here.ask(
        "POST",
        f"{package['sessionPtr']['u']}/frontend/options",
        json=options,
        headers={"Authorization": package["frontendRequest"]["authorization"]},
    )
    return package, answer["pairingCode"]


async def test_wallet_waits_for_pairing() -> None:
    """The user is shown the code; the wallet goes on when the frontend has got it."""
    shown: asyncio.Queue[str] = asyncio.Queue()
    async with lab() as here, asyncio.timeout(BOUND_S), asyncio.TaskGroup() as tasks:
        package, code = await with_pairing(here)
        u = package["sessionPtr"]["u"]
        run = tasks.create_task(Wallet().run(scanned(package), paired=shown.put))
        assert await shown.get() == code
        assert await here.ask("GET", f"{u}/status") == (200, "PAIRING")
        authorization = package["frontendRequest"]["authorization"]
        headers = {"Authorization": authorization}
        await here.ask("POST", f"{u}/frontend/pairingcompleted", headers=headers)
        assert (await run).status is StepStatus.SUCCESS
        assert (await here.result(package))["proofStatus"] == "VALID"


async def test_session_ends_while_pairing() -> None:
    """Nobody types the code and the session is cancelled: the wallet stops waiting."""
    async with lab() as here:
        package, _ = await with_pairing(here)

        async def cancel(_: str) -> None:
            await here.ask("DELETE", f"{here.server}/session/{package['token']}")

        async with asyncio.timeout(BOUND_S):
            outcome = await Wallet().run(scanned(package), paired=cancel)
    assert outcome.status is StepStatus.FAILURE
    assert outcome.steps[0].error == {"error": "NOT_PAIRED"}


async def test_static_session_is_started_by_its_scan() -> None:
    """A printed QR leads to a session of its own."""
    static = {"door": {"request": DISCLOSURE, "callbackUrl": "http://127.0.0.1:9/"}}
    async with lab(static_sessions=static) as here:
        u = f"{here.server}/irma/session/door"
        outcome = await Wallet().run(StaticPointer(u=u))
        gone = await Wallet().run(StaticPointer(u=f"{u}bell"))
    assert (outcome.status, values(outcome)) == (StepStatus.SUCCESS, [["456"]])
    assert (gone.status, gone.steps[0].http_status) == (StepStatus.FAILURE, 400)


@pytest.mark.parametrize(
    "answer",
    [
        {"request": {"@context": "https://irma.app/ld/request/unheard-of/v9"}},
        {"request": {**DISCLOSURE, "disclose": "all"}},
        {"options": {}},
    ],
)
async def test_answer_that_is_not_understood(answer: Json) -> None:
    """A server that talks nonsense is a failure, and the session is cancelled."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        return web.json_response(answer)

    async with endpoint_at_work(script) as server:
        pointer = {"u": f"{server.url}/irma/session/x", "irmaqr": "disclosing"}
        outcome = await Wallet().run(SessionPointer.model_validate(pointer))
        assert [one.method for one in server.received] == ["GET", "DELETE"]
        first = server.received[0].headers
    assert outcome.status is StepStatus.FAILURE
    assert first["X-IRMA-MaxProtocolVersion"] == APP["X-IRMA-MaxProtocolVersion"]
