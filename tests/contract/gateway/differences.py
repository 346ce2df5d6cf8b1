"""Where our gateway does better than the IRMA server that was recorded (DESIGN §4).

Each difference says what it is and why, names the recorded chains it shows in, and
changes what the recording expects of them. The changed expectation is asserted in full:
a difference that disappears is noticed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tests.contract.request_jwts import Json
from tests.contract.test_sandbox import FLOWS, comparable_event

#: Mends what a recorded chain expects, in place.
Change = Callable[[Json], None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference, and the recorded chains in which it shows."""

    name: str
    reason: str
    flows: frozenset[str]
    change: Change

    def changed(self, expected: Json) -> Json:
        """The expectation with this difference; one that changes nothing is none."""
        changed = copy.deepcopy(expected)
        self.change(changed)
        assert changed != expected, f"{self.name}: makes no difference"
        return changed


def differences_of(flow: str) -> Iterable[Difference]:
    """The differences that show in a recorded chain."""
    return (difference for difference in DIFFERENCES if flow in difference.flows)


def _verbatim(expected: Json) -> None:
    for post in expected["posts"]["callback"]:
        post["path"] = post["path"].removesuffix("/")


def _retried(expected: Json) -> None:
    expected["posts"]["next"][0]["attempts"] = "several"
    _ends_well(expected)


def _ends_well(expected: Json) -> None:
    """The user's session succeeds, and everybody is told the same."""
    expected["app"] = [expected["app"][0], {"what": "success"}]
    expected["results"] = [_proved(expected)]
    expected["frontend"] = {"status": "DONE"}
    if expected["posts"]["callback"]:
        _told_once_done(expected)


def _told_once_done(expected: Json) -> None:
    callback = expected["posts"]["callback"][0]
    claims = {**callback["jwt_claims"], **_proved(expected)}
    expected["posts"]["callback"] = [{**callback, "jwt_claims": claims}]


def _proved(expected: Json) -> Json:
    """The final result of the first session, by what was proved in it."""
    claims = expected["posts"]["next"][0]["jwt_claims"]
    names = ("token", "type", "proofStatus", "disclosed")
    return {**{name: claims[name] for name in names}, "status": "DONE"}


def _detached(expected: Json) -> None:
    """Two sessions of one chain, as recorded of an endpoint that was in time."""
    in_time = FLOWS["endpoint answers after 3.5 s"]
    _ends_well(expected)
    following = comparable_event(copy.deepcopy(in_time["app"][1]), "")
    known = [{"type": "irma-demo.RU.studentCard.studentID", "value": "456"}]
    following["request"]["disclose"].append([known])
    expected["app"] += [following, {"what": "success"}]
    results = copy.deepcopy(in_time["results_afterwards"])
    results[0]["token"] = expected["started"]["token"]
    expected["results"] = results


def _nobody_waits(expected: Json) -> None:
    expected["app"] = [expected["app"][0], {"what": "success"}]
    expected["posts"]["callback"] = expected["posts"]["callback"][:1]


def _once(expected: Json) -> None:
    expected["posts"]["callback"][0]["attempts"] = "one"


def _not_followed(expected: Json) -> None:
    expected["posts"]["next"] = expected["posts"]["next"][:1]
    expected["app"] = [expected["app"][0], {"what": "failure", "error": _REFUSED}]
    result = expected["results"][0]
    kept = {name: result[name] for name in ("token", "type")}
    expected["results"] = [{**kept, "status": "CANCELLED"}]
    expected["frontend"] = {"status": "CANCELLED"}


def _our_words(expected: Json) -> None:
    expected["app"][-1]["error"] = _REFUSED


def _not_stale(expected: Json) -> None:
    expected["posts"]["callback"][0]["result_read_inside"] = expected["results"][0]


#: What an IRMA server makes of a bridge that answers 502 without a body (DESIGN §3).
_REFUSED: Final[Json] = {
    "status": 500,
    "error": {
        "status": 500,
        "error": "NEXT_SESSION",
        "description": "Error starting next session",
        "message": (
            "Error type: serverResponse\n"
            "Description: unexpected response, status 502\n"
            "Status code: 502"
        ),
    },
}

DIFFERENCES: Final = (
    Difference(
        name="verbatim callbackUrl",
        reason="called as the requestor wrote it; `callback_url_slash` adds the slash",
        flows=frozenset(
            {
                "three steps: disclose, issue, disclose",
                "204 at once",
                "endpoint answers 500",
                "endpoint answers after 5 s",
                "callbackUrl answers after 5 s",
                "user declines",
                "result read inside the handlers",
                "timeout 5 s with callbackUrl",
                "cancelled by the requestor",
            }
        ),
        change=_verbatim,
    ),
    Difference(
        name="retried",
        reason="5xx and lost connections are tried again; the user's session ends well",
        flows=frozenset({"endpoint answers 500", "endpoint drops the connection"}),
        change=_retried,
    ),
    Difference(
        name="slow endpoint",
        reason="after our 3 s the user's session ends well; the chain goes on detached",
        flows=frozenset({"endpoint answers after 3.5 s", "endpoint answers after 5 s"}),
        change=_detached,
    ),
    Difference(
        name="slow callbackUrl",
        reason="no app waits for a callbackUrl, and nothing contradicts what it was told",
        flows=frozenset({"callbackUrl answers after 5 s"}),
        change=_nobody_waits,
    ),
    Difference(
        name="TIMEOUT once",
        reason="a final status is delivered once, however often the IRMA server tells it",
        flows=frozenset({"timeout 5 s with callbackUrl"}),
        change=_once,
    ),
    Difference(
        name="answers later",
        reason="202 ends the user's session well: the endpoint may answer later",
        flows=frozenset({"endpoint answers 202"}),
        change=_ends_well,
    ),
    Difference(
        name="no redirects",
        reason="a result is not sent on to wherever an answer points; the chain fails",
        flows=frozenset({"endpoint redirects 307", "endpoint redirects 302"}),
        change=_not_followed,
    ),
    Difference(
        name="nothing of the endpoint for the app",
        reason="the app sees NEXT_SESSION; the requestor reads why the chain failed",
        flows=frozenset(
            {
                "endpoint answers 201 with a request",
                "endpoint answers 200 with nothing",
                "endpoint answers an invalid request",
                "next request not permitted (production)",
            }
        ),
        change=_our_words,
    ),
    Difference(
        name="no stale result",
        reason="callbackUrl is told what is stored: reading it there gives the same",
        flows=frozenset({"result read inside the handlers"}),
        change=_not_stale,
    ),
)
