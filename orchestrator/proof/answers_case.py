"""A case of the proof of answers, the clocks it plays by, and how cases come about."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.chain import ChainState
from orchestrator.domain.delivery import TOO_MANY_DELAY_MIN_S, RetryPolicy
from orchestrator.local.endpoint import MEMBERSHIP
from orchestrator.local.ports import LOOPBACK
from orchestrator.proof.faulty import Talk
from orchestrator.proof.sightings import App, Expected
from orchestrator.proof.talks import answers

#: The clocks of the installation: the live ones as they are, the others in seconds; the
#: longest `Retry-After` still above what a 429 asks for.
POLICY: Final = RetryPolicy(
    background_delays_s=(1.0, 1.5, 2.0),
    retry_after_max_s=TOO_MANY_DELAY_MIN_S + 2,
    reply_s=10.0,
)

#: How long an attempt may take: so short that the app still waits when it is over.
TIMEOUT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 1.0

#: The longest answer that is read.
ANSWER_BYTES_MAX: Final = 1024 * 1024

#: What alone may be issued.
ISSUED: Final = MEMBERSHIP

NOTHING_MORE: Final = answers(204)

#: How many retries each clock has, and how many attempts there are in all.
LIVE: Final = len(POLICY.live_delays_s)
BACKGROUND: Final = len(POLICY.background_delays_s)
IN_ALL: Final = 1 + LIVE + BACKGROUND


@dataclass(frozen=True, kw_only=True)
class ReplySent:
    """What the endpoint POSTs to the reply URL, there or to a forged address."""

    body: bytes = b""
    forged: bool = False
    after_end: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the endpoint does, and what has to come of it.

    Attributes:
        script: what it does with each connection, then the last again.
        refusals: how many attempts it refuses before it listens.
        url: where there is no endpoint at all.
    """

    name: str
    script: Sequence[Talk] = (NOTHING_MORE,)
    expected: Expected
    scheme: str = "http"
    address: str = LOOPBACK
    refusals: int = 0
    url: str | None = None
    replies: Sequence[ReplySent] = ()


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What cases need around them.

    Attributes:
        done_url: an endpoint that wants nothing more.
        elsewhere_url: where redirects lead.
        trusted: TLS with a certificate that is trusted and holds.
        distrusted: TLS with certificates that are or do not, by what is wrong.
    """

    done_url: str
    elsewhere_url: str
    trusted: ssl.SSLContext
    distrusted: Mapping[str, ssl.SSLContext]


def goes_on(name: str, talk: Talk) -> Case:
    """The answer is a request, and the app is forwarded to its session."""
    expected = Expected(decided=("200 next",), attempts=1, app=App.NEXT)
    return Case(name=name, script=(talk,), expected=expected)


def once(name: str, talk: Talk, met: str) -> Case:
    """Once so, then well."""
    expected = Expected(decided=(f"{met} live", "204 end"), attempts=2)
    return Case(name=name, script=(talk, NOTHING_MORE), expected=expected)


def fails(name: str, talk: Talk, decided: str, reason: str) -> Case:
    """The first attempt is the last."""
    return Case(name=name, script=(talk,), expected=failed(decided, reason=reason))


def too_long(name: str, talk: Talk) -> Case:
    """More comes than is ever read."""
    return fails(name, talk, "too_long failed", "the answer is longer than allowed")


def failed(*decided: str, reason: str) -> Expected:
    """The chain fails while the app waits, so the user is told."""
    return Expected(
        decided=decided,
        attempts=len(decided),
        state=ChainState.FAILED,
        app=App.TOLD,
        reason=reason,
    )


def exhausted(met: str, why: str, *, attempts: int = 0, unseen: int = 0) -> Expected:
    """Every retry of both clocks is used up; the app was let go long before."""
    live, background = (f"{met} live",) * LIVE, (f"{met} background",) * BACKGROUND
    return Expected(
        decided=(*live, *background, f"{met} failed"),
        attempts=attempts,
        unseen=unseen,
        state=ChainState.FAILED,
        reason=f"given up after {IN_ALL} attempts: {why}",
    )
