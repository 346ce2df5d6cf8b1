"""What the endpoint's reply does: one pure table (DESIGN §4).

`decide` takes the clocks the message carries, the reply, the time and a random source,
and says whether the chain goes on, ends, or the callback is tried again and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

#: Status codes that say "later", whatever else the endpoint wants (DESIGN §4).
RETRIED_STATUSES: Final = frozenset({408, 425, 429, *range(500, 600)})

#: A 429 asks for room: never come back sooner than this.
TOO_MANY_DELAY_MIN_S: Final = 60.0

_NO_CONTENT: Final = 204
_OK: Final = 200
_ACCEPTED: Final = 202
_TOO_MANY: Final = 429
_SUCCESSES: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class Fault(StrEnum):
    """Why there was no answer at all, or none that could be read.

    `NO_ROOM` is a fault of ours: there was no look-up free for the endpoint's name.
    """

    CONNECT = "connect"
    TIMEOUT = "timeout"
    TLS = "tls"
    DISCONNECTED = "disconnected"
    TOO_LONG = "too_long"
    FORBIDDEN = "forbidden"
    BAD_URL = "bad_url"
    NO_ROOM = "no_room"

    @property
    def final(self) -> bool:
        """Whether another try would meet the same fault."""
        return self in {Fault.TOO_LONG, Fault.FORBIDDEN, Fault.BAD_URL}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The endpoint answered: status, body up to the limit, and what it wishes.

    Attributes:
        retry_after_s: the pause that `Retry-After` asks for.
        abort: it said `Chain-Delivery: abort`, so it wants no further attempt.
    """

    status: int
    body: bytes
    duration_s: float
    retry_after_s: float | None = None
    abort: bool = False
    location_origin: str | None = None


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """The endpoint did not answer in a way that can be read.

    `rule` says which one forbids the destination and which setting would allow it.
    """

    fault: Fault
    duration_s: float
    rule: str | None = None


Reply = Answer | NoAnswer


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """The two retry clocks; delays in seconds.

    Live retries fit between now and the message's deadline; background ones wait as rows.
    Who answers 202 has `reply_s` from the start of that attempt for its later answer.
    """

    live_delays_s: tuple[float, ...] = (0.25, 0.5, 1.0)
    background_delays_s: tuple[float, ...] = (
        5.0,
        30.0,
        120.0,
        600.0,
        1_800.0,
        7_200.0,
        18_000.0,
        36_000.0,
    )
    jitter: float = 0.2
    retry_after_max_s: float = 3_600.0
    reply_s: float = 3_600.0


@dataclass(frozen=True, kw_only=True)
class RetryPolicies:
    """The common policy, and those of requestors that have one of their own, by key."""

    common: RetryPolicy
    own: Mapping[str, RetryPolicy] = field(default_factory=dict)

    def of(self, requestor: str) -> RetryPolicy:
        """The policy of this requestor's callbacks."""
        return self.own.get(requestor, self.common)


@dataclass(frozen=True, kw_only=True)
class Tries:
    """How far a callback has come; all of it travels in the message.

    `live` counts the live retries of this delivery, `retries` the background delays used;
    the attempt that was answered began at `asked_at`.
    """

    attempt: int
    asked_at: datetime
    live: int
    retries: int
    deadline: datetime | None


@dataclass(frozen=True, kw_only=True)
class Next:
    """200: the body should be the next session request."""

    body: bytes


@dataclass(frozen=True, kw_only=True)
class Ended:
    """204: the chain is complete."""


@dataclass(frozen=True, kw_only=True)
class Later:
    """202: the endpoint sends its answer to the reply URL, at the latest `until` then."""

    until: datetime


@dataclass(frozen=True, kw_only=True)
class RetryLive:
    """Try again in this worker after `delay_s`."""

    delay_s: float


@dataclass(frozen=True, kw_only=True)
class RetryLater:
    """Try again in the background after `delay_s`, as a waiting row."""

    delay_s: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """The callback failed for good; `reason` names the rule, not the content."""

    reason: str


Decision = Next | Ended | Later | RetryLive | RetryLater | GiveUp


def decide(
    tries: Tries,
    reply: Reply,
    *,
    now: datetime,
    policy: RetryPolicy,
    random: Callable[[], float],
) -> Decision:
    """Decide what one reply means (DESIGN §4, the whole table).

    With 200 and 204 the endpoint has said what follows; every other answer may say
    `Chain-Delivery: abort`, and then nothing is tried again or waited for.

    Args:
        tries: the clocks of this callback before the next try.
        reply: what came back.
        now: the time the reply was read.
        policy: the requestor's retry policy.
        random: uniform in [0, 1), for jitter.
    """
    if isinstance(reply, NoAnswer):
        if reply.fault.final:
            return GiveUp(reason=_lasting(reply))
        return _retry(tries, reply, now, policy, random)
    said = _said(tries, reply, policy)
    return _retry(tries, reply, now, policy, random) if said is None else said


def decide_notification(
    tries: Tries,
    reply: Reply,
    *,
    now: datetime,
    policy: RetryPolicy,
    random: Callable[[], float],
) -> Decision:
    """Decide about a requestor's `callbackUrl`: any 2xx will do, its body is ignored."""
    if isinstance(reply, Answer) and reply.status in _SUCCESSES:
        return Ended()
    return decide(tries, reply, now=now, policy=policy, random=random)


_FAULT_REASONS: Final = {
    Fault.TOO_LONG: "the answer is longer than allowed",
    Fault.FORBIDDEN: "the destination is not allowed",
    Fault.BAD_URL: "the URL cannot be called: it needs http or https and a host",
}


def _lasting(reply: NoAnswer) -> str:
    reason = _FAULT_REASONS[reply.fault]
    return f"{reason}: {reply.rule}" if reply.rule else reason


def _said(tries: Tries, answer: Answer, policy: RetryPolicy) -> Decision | None:
    """What an answer decides at once; None where it only asks for another try."""
    said: Decision | None = None
    if answer.status == _NO_CONTENT:
        said = Ended()
    elif answer.status == _OK:
        said = Next(body=answer.body)
    elif answer.status not in {_ACCEPTED, *RETRIED_STATUSES}:
        said = GiveUp(reason=_refusal(answer))
    elif answer.abort:
        said = GiveUp(reason=f"the endpoint has aborted: status {answer.status}")
    elif answer.status == _ACCEPTED:
        said = Later(until=tries.asked_at + timedelta(seconds=policy.reply_s))
    return said


def _refusal(answer: Answer) -> str:
    if answer.status in _REDIRECTS:
        where = answer.location_origin or "nowhere"
        return f"redirects are not followed: status {answer.status} to {where}"
    return f"unexpected status {answer.status}"


def _retry(
    tries: Tries,
    reply: Reply,
    now: datetime,
    policy: RetryPolicy,
    random: Callable[[], float],
) -> Decision:
    answer = reply if isinstance(reply, Answer) else None
    live = _live_delay(tries, answer, now, policy)
    if live is not None:
        return RetryLive(delay_s=live)
    if tries.retries >= len(policy.background_delays_s):
        return GiveUp(
            reason=f"given up after {tries.attempt} attempts: {_at_last(reply)}"
        )
    planned = policy.background_delays_s[tries.retries]
    spread = 1 - policy.jitter + 2 * policy.jitter * random()
    return RetryLater(delay_s=max(planned * spread, _asked_for(answer, policy)))


def _at_last(reply: Reply) -> str:
    """What the last attempt came to."""
    if isinstance(reply, Answer):
        return f"status {reply.status}"
    return f"no answer ({reply.fault})"


def _live_delay(
    tries: Tries, answer: Answer | None, now: datetime, policy: RetryPolicy
) -> float | None:
    """The next live delay, or None when the app does not wait (long enough) for it."""
    if tries.deadline is None or tries.live >= len(policy.live_delays_s):
        return None
    if answer and (answer.retry_after_s is not None or answer.status == _TOO_MANY):
        return None
    delay_s = policy.live_delays_s[tries.live]
    fits = now + timedelta(seconds=delay_s) < tries.deadline
    return delay_s if fits else None


def _asked_for(answer: Answer | None, policy: RetryPolicy) -> float:
    """The pause the endpoint asked for, at most the policy's limit."""
    if answer is None:
        return 0.0
    floor_s = TOO_MANY_DELAY_MIN_S if answer.status == _TOO_MANY else 0.0
    return min(max(answer.retry_after_s or 0.0, floor_s), policy.retry_after_max_s)
