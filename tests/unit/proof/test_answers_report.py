"""The report of the proof of answers: what is wrong is broken and visible."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.proof.answers_report import report_of
from orchestrator.proof.lateness import percentile
from orchestrator.proof.report import Report, tell
from orchestrator.proof.verdicts import Finding, judge
from tests.unit.proof.samples import EXPECTED, POLICY, SEEN

RIGHT = judge("well", EXPECTED, SEEN, POLICY)
WRONG = judge("badly", replace(EXPECTED, decided=("204 end",)), SEEN, POLICY)


def broken(report: Report) -> list[str]:
    """The promises that did not hold."""
    return [one.name for one in report.promises if not one.held]


def test_when_all_is_right_every_promise_holds() -> None:
    """With figures of what was counted and measured."""
    report = report_of([RIGHT], strayed=0)
    assert report.held
    assert report.figures == {
        "cases": 1,
        "right": 1,
        "attempts": 3,
        "retries": 2,
        "ends": {"completed": 1},
        "late_p50_ms": 50,
        "late_p99_ms": 100,
        "late_max_ms": 100,
    }


def test_a_wrong_expectation_breaks_its_promise_and_is_told() -> None:
    """The promise names the case; a sheet says what was expected and what was seen."""
    report = report_of([RIGHT, WRONG], strayed=0)
    assert broken(report) == ["answers: each answer and fault decided as DESIGN §4 says"]
    file = io.StringIO()
    tell(report, {}, Console(file=file, width=200))
    *_, last = file.getvalue().splitlines()
    assert json.loads(last)["held"] is False
    assert "BROKEN" in file.getvalue()
    assert "1 of 2 cases; not: badly" in file.getvalue()
    assert "expected 204 end, seen 503 live, 503 background" in file.getvalue()


def test_a_request_where_a_redirect_leads_breaks_a_promise() -> None:
    """Redirects are never followed."""
    assert broken(report_of([RIGHT], strayed=1)) == ["answers: redirects lead nowhere"]


def test_a_proof_without_cases_proves_nothing() -> None:
    """Nothing is held of what was not looked at."""
    findings: list[Finding] = []
    assert len(broken(report_of(findings, strayed=0))) == 5


@pytest.mark.parametrize("percent,value", [(1, 1.0), (50, 5.0), (99, 10.0), (100, 10.0)])
def test_a_percentile_is_a_value_that_was_seen(percent: int, value: float) -> None:
    """By nearest rank."""
    assert percentile([float(n) for n in range(1, 11)], percent) == value
