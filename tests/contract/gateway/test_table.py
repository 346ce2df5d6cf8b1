"""The table of the traps says what was proved, and what was not."""

from __future__ import annotations

import pytest

from tests.support.traps import RULES, Table

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    "outcomes,sandbox,state",
    [
        ({"one": "passed", "two": "passed"}, True, "passed"),
        ({"one": "passed", "two": "skipped"}, False, "passed"),
        ({"one": "passed", "two": "failed"}, True, "FAILED"),
        ({"one": "skipped", "two": "skipped"}, True, "NO TEST"),
        ({"one": "skipped", "two": "skipped"}, False, "not run"),
        ({}, True, "NO TEST"),
        ({}, False, "NO TEST"),
    ],
)
def test_a_rule_needs_a_test_that_was_executed(
    outcomes: dict[str, str], *, sandbox: bool, state: str
) -> None:
    """Only what needs the sandbox may be left out, and only where it is not used."""
    table = Table(tests={"T1": list(outcomes)} if outcomes else {}, outcomes=outcomes)
    assert table.state("T1", sandbox=sandbox) == state


def test_all_rules_are_in_the_table() -> None:
    """None of the 38 is left out."""
    assert list(RULES) == [f"T{number}" for number in range(1, 39)]
