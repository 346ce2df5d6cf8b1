"""The cases of the proof of answers are complete and do not contradict themselves."""

from __future__ import annotations

import ssl

import pytest

from orchestrator.domain.delivery import Fault
from orchestrator.proof.answers_case import POLICY, Case, Surroundings
from orchestrator.proof.answers_cases import all_cases


@pytest.fixture
def cases() -> list[Case]:
    """All cases."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    around = Surroundings(
        done_url="http://127.0.0.1:1",
        elsewhere_url="http://127.0.0.1:2",
        trusted=tls,
        distrusted={"expired": tls},
    )
    return all_cases(around)


def test_every_case_has_a_name_of_its_own(cases: list[Case]) -> None:
    """A table with two rows of one name would tell nothing."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)


def test_every_fault_and_every_row_of_the_table_is_a_case(cases: list[Case]) -> None:
    """Each fault of an endpoint that is told apart, and each answer of DESIGN §4."""
    met = {text.split(" ")[0] for case in cases for text in case.expected.decided}
    statuses = "200 201 202 204 206 301 302 307 400 401 404 408 410 425 429 500 502 503"
    ours = {Fault.NO_ROOM}
    assert met >= {*statuses.split(), *Fault} - ours


def test_every_answer_and_both_clocks_are_met(cases: list[Case]) -> None:
    """Each decision there is, and every delay of both clocks."""
    words = {text.split(" ")[1] for case in cases for text in case.expected.decided}
    assert words == {"next", "end", "later", "live", "background", "failed"}
    used = max(
        sum(text.endswith("background") for text in case.expected.decided)
        for case in cases
    )
    assert used == len(POLICY.background_delays_s)


def test_every_attempt_that_is_decided_upon_is_made(cases: list[Case]) -> None:
    """What is expected of a case does not contradict itself."""
    for case in cases:
        expected = case.expected
        made = sum(not text.startswith("reply ") for text in expected.decided)
        assert made == expected.attempts + expected.unseen, case.name
        assert len(case.replies) == len(expected.replies), case.name
