"""The table of the rules T1-T38, from the tests of this very run (pytest plugin).

`make contract` switches it on by `-p tests.support.traps`. A rule of reference irma.md
§10 counts as kept when a test marked `trap("T5")` was executed and all of those passed;
one without such a test fails the run. The last line is one JSON object with the figures.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.contract.gateway.differences import DIFFERENCES

#: What the installations of a run were made of.
BROKER: Final = pytest.StashKey[str]()
BACKEND: Final = pytest.StashKey[str]()

#: The tests that play recordings, by what is counted.
COUNTED: Final = {"test_recorded_probe": "probes", "test_recorded_chain": "flows"}

RULES: Final[Mapping[str, str]] = {
    "T1": "the chain POST says CONNECTED, not DONE",
    "T2": "only DONE and VALID is a success",
    "T3": "EXPIRED and MISSING_ATTRIBUTES carry values all the same",
    "T4": "a signed result may be of a pending or cancelled session",
    "T5": "`sub` is disclosing_result, signing_result, issuing_result",
    "T6": "`nextSession` is a URL, a token or a pointer, by where it stands",
    "T7": "callbackUrl with or without its slash, both served, no redirect",
    "T8": "204 is the only end; for an IRMA server 201 and 202 are errors",
    "T9": "a POST that comes twice has one effect",
    "T10": "what is read inside a callback is not older than the callback",
    "T11": "Authorization is the raw token, and fatal with no_auth",
    "T12": "no credentials is 400, never 401",
    "T13": "`iat` has no leeway",
    "T14": "an empty nextSession.url is one 400 and starts nothing",
    "T15": "`kid` beats `iss`",
    "T16": "every alternative of a disjunction needs permission",
    "T17": "issuing with `disclose` needs permission for both",
    "T18": "host_perms hold for the default host too",
    "T19": "the first token's result leads to those of the whole chain",
    "T20": "cancelling the first session does not reach the live one",
    "T21": "one frontend token for all steps in flow",
    "T22": "`disclosed`: requested first, earlier ones next, EXTRA last",
    "T23": "what is disclosed again accumulates over the steps",
    "T24": "a null attribute is null twice, status NULL, and may come again",
    "T25": 'the `value` map has the key ""',
    "T26": "an issuing result does not list what was issued",
    "T27": "not VALID: issuing is CANCELLED with an error, the others are DONE",
    "T28": "`timeout` bounds INITIALIZED only",
    "T29": "an IRMA server forgets results within minutes; ours stay",
    "T30": "CANCELLED drops the proofs, TIMEOUT keeps them",
    "T31": "CONNECTED may hold VALID proofs while a chain POST failed",
    "T32": "DELETE is 200 for every known token, without credentials",
    "T33": "integers are JSON integers; label keys too; weeks are floored",
    "T34": "where `@context` sits decides; a JWT holds extended requests only",
    "T35": 'static sessions and no_auth run as requestor ""',
    "T36": "errors may be HTML or text; they are read defensively",
    "T37": "after subscribing to SSE, the state is looked up once",
    "T38": "a step we start ourselves discloses the earlier values again",
}


@dataclass
class Table:
    """What became of the tests of this run."""

    began: float = field(default_factory=time.monotonic)
    #: The tests of each rule, by node id.
    tests: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    def note(self, report: pytest.TestReport) -> None:
        """The worst of set-up, call and tear-down is a test's outcome."""
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.skipped or report.when == "call":
            self.outcomes.setdefault(report.nodeid, report.outcome)

    def state(self, rule: str, *, sandbox: bool) -> str:
        """Whether a rule was proved; what needs the sandbox may be left out without."""
        outcomes = {
            self.outcomes.get(test, "not run") for test in self.tests.get(rule, ())
        }
        if "failed" in outcomes:
            return "FAILED"
        if "passed" in outcomes:
            return "passed"
        return "not run" if outcomes == {"skipped"} and not sandbox else "NO TEST"

    def cases(self, rule: str) -> dict[str, Counter[str]]:
        """The tests of a rule and what became of the cases of each."""
        cases: dict[str, Counter[str]] = {}
        for test in self.tests.get(rule, ()):
            outcome = self.outcomes.get(test, "not run")
            cases.setdefault(test.partition("[")[0], Counter())[outcome] += 1
        return cases

    def counts(self) -> dict[str, Counter[str]]:
        """Outcomes of the recordings, by what is counted."""
        counts = {what: Counter[str]() for what in COUNTED.values()}
        for test, outcome in self.outcomes.items():
            name = test.rpartition("::")[2].partition("[")[0]
            if "contract/gateway/" in test and name in COUNTED:
                counts[COUNTED[name]][outcome] += 1
        return counts


TABLE: Final = pytest.StashKey[Table]()


class _Noting:
    """Notes each report; the hook is not told whose run it belongs to."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        self._table.note(report)


def pytest_configure(config: pytest.Config) -> None:
    """Begin with an empty table."""
    config.stash[TABLE] = Table()
    config.pluginmanager.register(_Noting(config.stash[TABLE]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Which tests prove which rule."""
    tests = session.config.stash[TABLE].tests
    for item in session.items:
        for mark in item.iter_markers("trap"):
            for rule in mark.args:
                assert rule in RULES, f"{item.nodeid}: there is no rule {rule}"
                tests.setdefault(rule, []).append(item.nodeid)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Judge the rules before the summary, print after it: the JSON is the last line."""
    config = session.config
    table = config.stash[TABLE]
    sandbox = config.stash.get(BACKEND, "sandbox") == "sandbox"
    states = {rule: table.state(rule, sandbox=sandbox) for rule in RULES}
    if session.exitstatus == pytest.ExitCode.OK and _broken(states):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    terminal = config.pluginmanager.getplugin("terminalreporter")
    for part in (_heading(config), _differences(table), _rules(table, states)):
        terminal.write_line("\n".join(part))
    terminal.write_line(_json(config, states))


def _broken(states: Mapping[str, str]) -> list[str]:
    return [rule for rule, state in states.items() if state in {"FAILED", "NO TEST"}]


def _heading(config: pytest.Config) -> Iterable[str]:
    """What was played, and against what."""
    yield ""
    yield f"Broker: RabbitMQ {config.stash.get(BROKER, 'none')}"
    yield f"IRMA server behind the gateway: {config.stash.get(BACKEND, 'none')}"
    for what, outcomes in config.stash[TABLE].counts().items():
        told = ", ".join(f"{n} {how}" for how, n in _told(outcomes).items())
        yield f"Recorded {what}: {told}"


def _differences(table: Table) -> Iterable[str]:
    """Where we do better than was recorded, each asserted by the flows it names."""
    played = {
        test.partition("[")[2].removesuffix("]"): outcome
        for test, outcome in table.outcomes.items()
        if "::test_recorded_chain[" in test
    }
    yield ""
    yield "Where we differ from what was recorded:"
    for difference in DIFFERENCES:
        yield f"  {difference.name}: {difference.reason}"
        for flow in sorted(difference.flows):
            yield f"    {played.get(flow, 'not run'):8} {flow}"


def _rules(table: Table, states: Mapping[str, str]) -> Iterable[str]:
    yield ""
    yield "The traps of an IRMA server, and the tests of this run that prove each:"
    for rule, meaning in RULES.items():
        yield f"  {rule:4}{states[rule]:9}{meaning}"
        for test, outcomes in table.cases(rule).items():
            told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
            yield f"        {told:10}{test}"
    yield ""


def _json(config: pytest.Config, states: Mapping[str, str]) -> str:
    table = config.stash[TABLE]
    counts = table.counts()
    figures = {
        "backend": config.stash.get(BACKEND, "none"),
        "broker": config.stash.get(BROKER, "none"),
        **{what: _told(counts[what]) for what in counts},
        "differences": len(DIFFERENCES),
        "traps": {
            "passed": sum(state == "passed" for state in states.values()),
            "failed": _broken(states),
            "not_run": [rule for rule, state in states.items() if state == "not run"],
        },
        "tests": _told(Counter(table.outcomes.values())),
        "seconds": round(time.monotonic() - table.began, 1),
    }
    return json.dumps(figures)


def _told(outcomes: Counter[str]) -> dict[str, int]:
    return {
        "passed": outcomes["passed"],
        "failed": outcomes["failed"],
        "not_run": outcomes["skipped"],
    }
