"""The proof of every answer: what DESIGN §4 says of each, and of each fault, is done.

One installation, one chain for each case, each with an endpoint of its own, so that no
endpoint's trouble is another's. Endpoints stay to the end, to see attempts too many.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.local.ports import LOOPBACK
from orchestrator.local.stack import REQUESTOR, Plan
from orchestrator.proof.answers_case import (
    ANSWER_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    ISSUED,
    POLICY,
    TIMEOUT_S,
    Case,
    Surroundings,
)
from orchestrator.proof.answers_cases import all_cases
from orchestrator.proof.answers_play import Played, Player
from orchestrator.proof.answers_report import report_of
from orchestrator.proof.certificates import EXPIRED, Authority
from orchestrator.proof.faulty import FaultyEndpoint, faulty_endpoint
from orchestrator.proof.ground import Ground
from orchestrator.proof.lab import Lab
from orchestrator.proof.report import Report
from orchestrator.proof.talks import answers
from orchestrator.proof.verdicts import Finding, judge

#: Cases whose apps wait at a time: the live clock is measured, not the machine.
AT_A_TIME: Final = 6

#: After the last end: an attempt too many would have come by then.
AFTERWARDS_S: Final = 3.0

#: A line of progress for so many cases.
TOLD_EACH: Final = 10


async def prove(ground: Ground, say: Callable[[str], None]) -> Report:
    """Play every case and compare what was seen with what should have been."""
    folder = ground.run_dir / f"tls-{secrets.token_hex(4)}"
    (folder / "unknown").mkdir(mode=0o700, parents=True)
    known, unknown = Authority.make(folder), Authority.make(folder / "unknown")
    secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
    async with (
        faulty_endpoint(answers(204)) as done,
        faulty_endpoint(answers(204)) as elsewhere,
        ground.lab(_plan(known.ca_file, secret)) as lab,
    ):
        around = Surroundings(
            done_url=done.url,
            elsewhere_url=elsewhere.url,
            trusted=known.server(LOOPBACK),
            distrusted={
                "unknown authority's": unknown.server(LOOPBACK),
                "another host's": known.server("other.example"),
                "expired": known.server(LOOPBACK, validity=EXPIRED),
            },
        )
        findings = await _played(lab, all_cases(around), secret, say)
    return report_of(findings, strayed=len(elsewhere.journal))


def _plan(ca_file: Path, secret: str) -> Plan:
    """Real clocks but for the background's delays and what an attempt may take."""
    retry: dict[str, JsonValue] = {
        "background_delays_s": list(POLICY.background_delays_s),
        "retry_after_max_s": POLICY.retry_after_max_s,
    }
    return Plan(
        endpoint=False,
        sandbox={"sweep_s": 0.5},
        overrides={
            "retry": retry,
            "callbacks": {
                "timeout_s": TIMEOUT_S,
                "connect_timeout_s": CONNECT_TIMEOUT_S,
                "answer_bytes_max": ANSWER_BYTES_MAX,
                "reply_s": POLICY.reply_s,
            },
            "egress": {
                "allowed_networks": [f"{LOOPBACK}/32"],
                "ca_file": str(ca_file),
            },
            "requestors": {REQUESTOR: {"webhook_secrets": [secret]}},
            "issue_perms": [ISSUED],
        },
    )


async def _played(
    lab: Lab, cases: Sequence[Case], secret: str, say: Callable[[str], None]
) -> list[Finding]:
    """Play them side by side; judged when the last one is over."""
    say(f"the installation is there; {len(cases)} cases, the longest takes a minute")
    _, public_key = await lab.get("/publickey")
    player = Player(
        lab=lab,
        slots=asyncio.Semaphore(AT_A_TIME),
        public_key=public_key,
        webhook_secret=secret,
    )
    over = 0

    async def play(case: Case, endpoint: FaultyEndpoint) -> Played:
        nonlocal over
        played = await player.play(case, endpoint)
        over += 1
        if over % TOLD_EACH == 0 or over == len(cases):
            say(f"{over} of {len(cases)} are over")
        return played

    async with AsyncExitStack() as stack:
        endpoints = [await stack.enter_async_context(_endpoint(case)) for case in cases]
        played = await asyncio.gather(*map(play, cases, endpoints))
        await asyncio.sleep(AFTERWARDS_S)
        return [
            judge(case.name, case.expected, player.seen(one, endpoint), POLICY)
            for case, one, endpoint in zip(cases, played, endpoints, strict=True)
        ]


def _endpoint(case: Case) -> AbstractAsyncContextManager[FaultyEndpoint]:
    """The endpoint of a case, on an origin of its own."""
    return faulty_endpoint(
        *case.script,
        address=case.address,
        scheme=case.scheme,
        listening=not case.refusals,
    )
