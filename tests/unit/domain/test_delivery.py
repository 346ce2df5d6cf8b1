"""The table of DESIGN §4: what each reply of an endpoint does, and the two clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.delivery import (
    RETRIED_STATUSES,
    Answer,
    Decision,
    Ended,
    Fault,
    GiveUp,
    Later,
    Next,
    NoAnswer,
    Reply,
    RetryLater,
    RetryLive,
    RetryPolicies,
    RetryPolicy,
    Tries,
    decide,
    decide_notification,
)
from tests.unit.domain.samples import NOW, SECOND

POLICY: Final = RetryPolicy()

#: When the attempt began that is answered now.
ASKED: Final = NOW - 2 * SECOND

#: The app waits, with all the time there is; it has gone; every delay was used.
LIVE: Final = Tries(
    attempt=1, asked_at=ASKED, live=0, retries=0, deadline=NOW + 3.5 * SECOND
)
BACKGROUND: Final = replace(LIVE, deadline=None)
EXHAUSTED: Final = replace(BACKGROUND, attempt=9, retries=8)

PASSING: Final = [fault for fault in Fault if not fault.final]


def answer(status: int, *, retry_after_s: float | None = None) -> Answer:
    """An answer with a body that says nothing by itself."""
    return Answer(
        status=status, body=b"body", duration_s=0.1, retry_after_s=retry_after_s
    )


def no_answer(fault: Fault) -> NoAnswer:
    """No answer."""
    return NoAnswer(fault=fault, duration_s=20.0)


def decided(tries: Tries, reply: Reply, *, random: float = 0.5) -> Decision:
    """What the table says, by default without jitter."""
    return decide(tries, reply, now=NOW, policy=POLICY, random=lambda: random)


def what(decision: Decision) -> str:
    """The decision's row of the table."""
    return type(decision).__name__


@pytest.mark.parametrize("tries", [LIVE, BACKGROUND, EXHAUSTED])
@pytest.mark.parametrize(
    "status,decision",
    [
        (204, "Ended"),
        (200, "Next"),
        (202, "Later"),
        *((status, "GiveUp") for status in (100, 199, 201, 203, 205, 206, 226, 299)),
        *((status, "GiveUp") for status in (300, 301, 302, 303, 304, 307, 308, 399)),
        *((status, "GiveUp") for status in (400, 401, 403, 404, 405, 409, 410, 413)),
        *((status, "GiveUp") for status in (418, 422, 426, 451, 499, 600, 999)),
    ],
)
def test_what_is_said_once_is_never_asked_again(
    tries: Tries, status: int, decision: str
) -> None:
    """Every answer but "later" is final, on whichever clock, even with a Retry-After."""
    assert what(decided(tries, answer(status))) == decision
    assert what(decided(tries, answer(status, retry_after_s=5.0))) == decision


def test_statuses_that_say_later() -> None:
    """408, 425, 429 and every 5xx, and no others."""
    later = {
        status
        for status in range(100, 1000)
        if what(decided(LIVE, answer(status))) == "RetryLive"
    }
    assert later | {429} == {408, 425, 429, *range(500, 600)} == RETRIED_STATUSES


@pytest.mark.parametrize(
    "reply",
    [
        *(answer(status) for status in (408, 425, 500, 501, 502, 503, 504, 599)),
        *(no_answer(fault) for fault in PASSING),
    ],
)
def test_a_passing_fault_is_tried_again(reply: Reply) -> None:
    """At once while the app waits, later when it does not, and not for ever."""
    assert decided(LIVE, reply) == RetryLive(delay_s=0.25)
    assert decided(BACKGROUND, reply) == RetryLater(delay_s=5.0)
    assert what(decided(EXHAUSTED, reply)) == "GiveUp"


def test_passing_faults() -> None:
    """A network may come back; an answer that is too long, or a bad URL, does not."""
    assert {fault.value for fault in PASSING} == {
        "connect",
        "timeout",
        "tls",
        "disconnected",
        "no_room",
    }


@pytest.mark.parametrize("tries", [LIVE, BACKGROUND])
@pytest.mark.parametrize(
    "fault,reason",
    [
        (Fault.TOO_LONG, "the answer is longer than allowed"),
        (Fault.FORBIDDEN, "the destination is not allowed"),
        (Fault.BAD_URL, "the URL cannot be called: it needs http or https and a host"),
    ],
)
def test_a_lasting_fault_is_given_up_at_once(
    tries: Tries, fault: Fault, reason: str
) -> None:
    """Trying again would meet the same fault."""
    assert decided(tries, no_answer(fault)) == GiveUp(reason=reason)


def test_a_forbidden_destination_says_which_rule_forbids_it() -> None:
    """And which setting allows it: the one who reads that can ask for it."""
    reply = NoAnswer(fault=Fault.FORBIDDEN, duration_s=0, rule="it is (setting)")
    reason = "the destination is not allowed: it is (setting)"
    assert decided(LIVE, reply) == GiveUp(reason=reason)


def test_the_body_of_200_is_the_next_request() -> None:
    """It is handed on as it came; who reads it is somebody else."""
    assert decided(LIVE, answer(200)) == Next(body=b"body")


@pytest.mark.parametrize(
    "reply,reason",
    [
        (answer(404), "unexpected status 404"),
        (answer(302), "redirects are not followed: status 302 to nowhere"),
        (
            replace(answer(307), location_origin="https://else.example:443"),
            "redirects are not followed: status 307 to https://else.example:443",
        ),
    ],
)
def test_who_gives_up_says_which_rule(reply: Answer, reason: str) -> None:
    """A redirect's aim is named by its origin, the body never."""
    assert decided(BACKGROUND, reply) == GiveUp(reason=reason)


@pytest.mark.parametrize("tries", [LIVE, BACKGROUND, EXHAUSTED])
def test_who_answers_later_has_an_hour_from_the_start_of_the_attempt(
    tries: Tries,
) -> None:
    """As long as the reply URL of that attempt holds, however long the 202 took."""
    assert decided(tries, answer(202)) == Later(until=ASKED + timedelta(hours=1))
    brief = replace(POLICY, reply_s=7.0)
    found = decide(tries, answer(202), now=NOW, policy=brief, random=lambda: 0.5)
    assert found == Later(until=ASKED + 7 * SECOND)


# ----------------------------------------------------------- who wants no further attempt


@pytest.mark.parametrize("tries", [LIVE, BACKGROUND])
@pytest.mark.parametrize("status", [202, *sorted(RETRIED_STATUSES)])
def test_who_aborts_is_not_asked_again(tries: Tries, status: int) -> None:
    """`Chain-Delivery: abort` goes before every other wish, and the reason says so."""
    reply = replace(answer(status, retry_after_s=5.0), abort=True)
    reason = f"the endpoint has aborted: status {status}"
    assert decided(tries, reply) == GiveUp(reason=reason)


@pytest.mark.parametrize("status", [200, 204, 201, 302, 404, 410])
def test_where_nothing_would_be_tried_again_an_abort_changes_nothing(status: int) -> None:
    """A request, an end and a refusal mean what they always mean."""
    reply = answer(status)
    assert decided(LIVE, replace(reply, abort=True)) == decided(LIVE, reply)


@pytest.mark.parametrize(
    "reply,why",
    [(answer(503), "status 503"), (no_answer(Fault.TLS), "no answer (tls)")],
)
def test_who_gives_up_in_the_end_says_after_how_many_attempts(
    reply: Reply, why: str
) -> None:
    """The last reply is the reason."""
    reason = f"given up after 9 attempts: {why}"
    assert decided(EXHAUSTED, reply) == GiveUp(reason=reason)


# ------------------------------------------------------------------------ the two clocks


@pytest.mark.parametrize("live,delay_s", [(0, 0.25), (1, 0.5), (2, 1.0)])
def test_the_live_clock(live: int, delay_s: float) -> None:
    """250 ms, 500 ms, 1 s, without jitter: one app waits for one answer."""
    tries = replace(LIVE, live=live)
    for random in (0.0, 0.99):
        assert decided(tries, answer(503), random=random) == RetryLive(delay_s=delay_s)


def test_after_the_live_clock_comes_the_other() -> None:
    """The fourth live attempt was the last, whatever time is left."""
    assert decided(replace(LIVE, live=3), answer(503)) == RetryLater(delay_s=5.0)


@pytest.mark.parametrize(
    "left_s,decision",
    [
        (0.251, RetryLive(delay_s=0.25)),
        (0.25, RetryLater(delay_s=5.0)),
        (0.0, RetryLater(delay_s=5.0)),
        (-60.0, RetryLater(delay_s=5.0)),
    ],
)
def test_a_live_delay_has_to_end_before_the_deadline(
    left_s: float, decision: Decision
) -> None:
    """Nobody waits for an answer that the app cannot get."""
    tries = replace(LIVE, deadline=NOW + timedelta(seconds=left_s))
    assert decided(tries, answer(500)) == decision


@pytest.mark.parametrize(
    "retries,delay_s",
    [*enumerate((5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0))],
)
def test_the_background_clock(retries: int, delay_s: float) -> None:
    """Eight delays over about 17.5 hours, each with its jitter of 20 %."""
    tries = replace(BACKGROUND, retries=retries)
    for random, spread in ((0.0, 0.8), (0.5, 1.0), (1.0, 1.2)):
        found = decided(tries, no_answer(Fault.CONNECT), random=random)
        assert isinstance(found, RetryLater)
        assert found.delay_s == pytest.approx(delay_s * spread)


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_jitter_stays_within_its_bounds(random: float, retries: int) -> None:
    """No delay is more than a fifth away from the plan."""
    planned = POLICY.background_delays_s[retries]
    found = decided(replace(BACKGROUND, retries=retries), answer(500), random=random)
    assert isinstance(found, RetryLater)
    assert 0.8 * planned <= found.delay_s <= 1.2 * planned


def test_a_requestor_may_have_other_clocks() -> None:
    """The policy is an argument: one without delays gives up at once."""
    impatient = RetryPolicy(live_delays_s=(), background_delays_s=())
    found = decide(LIVE, answer(503), now=NOW, policy=impatient, random=lambda: 0.5)
    assert what(found) == "GiveUp"


# ------------------------------------------------------------------- what endpoints wish


@pytest.mark.parametrize(
    "status,retry_after_s,retries,delay_s",
    [
        (503, 0.0, 0, 5.0),
        (503, 4.9, 0, 5.0),
        (503, 90.0, 0, 90.0),
        (503, 90.0, 2, 120.0),
        (503, 3_600.0, 0, 3_600.0),
        (503, 86_400.0, 0, 3_600.0),
        (503, 86_400.0, 7, 36_000.0),
        (503, float("inf"), 0, 3_600.0),
        (429, None, 0, 60.0),
        (429, 0.0, 0, 60.0),
        (429, 10.0, 0, 60.0),
        (429, 90.0, 0, 90.0),
        (429, 86_400.0, 0, 3_600.0),
        (429, None, 2, 120.0),
        (408, 7.0, 0, 7.0),
        (425, 7.0, 0, 7.0),
    ],
)
def test_a_wish_for_a_pause_is_granted_up_to_an_hour(
    status: int, retry_after_s: float | None, retries: int, delay_s: float
) -> None:
    """The next delay is the longest of the plan, `Retry-After`, and a minute on 429."""
    reply = answer(status, retry_after_s=retry_after_s)
    tries = replace(BACKGROUND, retries=retries)
    assert decided(tries, reply) == RetryLater(delay_s=delay_s)


@pytest.mark.parametrize(
    "reply",
    [answer(429), answer(503, retry_after_s=0.0), answer(429, retry_after_s=1.0)],
)
def test_who_asks_for_a_pause_gets_no_live_attempt(reply: Answer) -> None:
    """`Retry-After` and 429 leave the live clock, however short the pause."""
    assert what(decided(LIVE, reply)) == "RetryLater"


def test_jitter_never_shortens_a_wish() -> None:
    """Earlier than the endpoint has asked for is too early."""
    reply = answer(503, retry_after_s=90.0)
    assert decided(BACKGROUND, reply, random=0.0) == RetryLater(delay_s=90.0)


def test_the_limit_of_wishes_is_the_policys() -> None:
    """The hour is configurable."""
    policy = RetryPolicy(retry_after_max_s=20.0)
    reply = answer(503, retry_after_s=90.0)
    found = decide(BACKGROUND, reply, now=NOW, policy=policy, random=lambda: 0.5)
    assert found == RetryLater(delay_s=20.0)


def test_a_requestor_has_its_own_policy_or_the_common_one() -> None:
    """By its key."""
    own = RetryPolicy(background_delays_s=())
    policies = RetryPolicies(common=POLICY, own={"acme": own})
    assert (policies.of("acme"), policies.of("other")) == (own, POLICY)


# -------------------------------------------------------------------- the whole table

_DELAYS = st.lists(st.floats(0.01, 100_000), max_size=10).map(tuple)
POLICIES = st.builds(
    RetryPolicy,
    live_delays_s=_DELAYS,
    background_delays_s=_DELAYS,
    jitter=st.floats(0, 0.99),
    retry_after_max_s=st.floats(1, 100_000),
    reply_s=st.floats(1, 100_000),
)
TRIES = st.builds(
    Tries,
    attempt=st.integers(1, 30),
    asked_at=st.just(ASKED),
    live=st.integers(0, 12),
    retries=st.integers(0, 12),
    deadline=st.none()
    | st.floats(-10, 100).map(lambda left_s: NOW + timedelta(seconds=left_s)),
)
ANSWERS = st.builds(
    Answer,
    status=st.integers(100, 999) | st.sampled_from([200, 202, 204, 429, 503]),
    body=st.binary(max_size=8),
    duration_s=st.just(0.1),
    retry_after_s=st.none() | st.floats(0, allow_nan=False),
    abort=st.booleans(),
)
REPLIES = ANSWERS | st.sampled_from(Fault).map(no_answer)
RANDOM = st.floats(0, 1, exclude_max=True)

_RETRY = (RetryLive, RetryLater)


@given(TRIES, REPLIES, POLICIES, RANDOM)
def test_only_what_may_pass_is_tried_again_and_only_so_often(
    tries: Tries, reply: Reply, policy: RetryPolicy, random: float
) -> None:
    """A final answer or fault never; and each clock has so many delays and no more."""
    found = decide(tries, reply, now=NOW, policy=policy, random=lambda: random)
    if not isinstance(found, _RETRY):
        return
    if isinstance(reply, Answer):
        assert reply.status in RETRIED_STATUSES
        assert not reply.abort
    else:
        assert not reply.fault.final
    if isinstance(found, RetryLive):
        assert tries.live < len(policy.live_delays_s)
    else:
        assert tries.retries < len(policy.background_delays_s)


@given(TRIES, REPLIES, POLICIES, RANDOM)
def test_a_retry_keeps_to_its_bounds(
    tries: Tries, reply: Reply, policy: RetryPolicy, random: float
) -> None:
    """Live ones end before the deadline; no other is longer than plan and wish allow."""
    found = decide(tries, reply, now=NOW, policy=policy, random=lambda: random)
    if isinstance(found, RetryLive):
        assert tries.deadline is not None
        assert NOW + timedelta(seconds=found.delay_s) < tries.deadline
        assert found.delay_s == policy.live_delays_s[tries.live]
    elif isinstance(found, RetryLater):
        planned = policy.background_delays_s[tries.retries]
        wish = isinstance(reply, Answer) and (
            reply.status == 429 or reply.retry_after_s is not None
        )
        longest = planned * (1 + policy.jitter) * 1.000_001
        assert found.delay_s >= planned * (1 - policy.jitter) * 0.999_999
        assert found.delay_s <= max(longest, policy.retry_after_max_s if wish else 0)


@given(TRIES, ANSWERS, POLICIES, RANDOM, st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)))
def test_who_asks_for_a_longer_pause_never_gets_a_shorter_one(
    tries: Tries,
    reply: Answer,
    policy: RetryPolicy,
    random: float,
    wishes_s: tuple[float, float],
) -> None:
    """The delay grows with the wish, up to the limit."""

    def delay_s(wish_s: float) -> float | None:
        asked = replace(reply, retry_after_s=wish_s)
        found = decide(tries, asked, now=NOW, policy=policy, random=lambda: random)
        return found.delay_s if isinstance(found, RetryLater) else None

    shorter, longer = delay_s(min(wishes_s)), delay_s(max(wishes_s))
    assert (shorter is None) == (longer is None)
    if shorter is not None and longer is not None:
        assert shorter <= longer


@given(REPLIES, POLICIES, RANDOM, st.floats(0.01, 30))
def test_whatever_comes_back_a_callback_ends(
    reply: Reply, policy: RetryPolicy, random: float, left_s: float
) -> None:
    """The same reply again and again is tried no more often than there are delays."""
    now, deadline = NOW, NOW + timedelta(seconds=left_s)
    tries = Tries(attempt=1, asked_at=now, live=0, retries=0, deadline=deadline)
    found = decide(tries, reply, now=now, policy=policy, random=lambda: random)
    while isinstance(found, _RETRY):
        now += timedelta(seconds=found.delay_s)
        live = isinstance(found, RetryLive)
        tries = Tries(
            attempt=tries.attempt + 1,
            asked_at=now,
            live=tries.live + 1 if live else 0,
            retries=tries.retries + (not live),
            deadline=deadline if live else None,
        )
        found = decide(tries, reply, now=now, policy=policy, random=lambda: random)
    delays = len(policy.live_delays_s) + len(policy.background_delays_s)
    assert tries.attempt <= delays + 1


@given(TRIES, REPLIES, POLICIES, RANDOM)
def test_the_app_is_kept_waiting_only_by_a_live_retry(
    tries: Tries, reply: Reply, policy: RetryPolicy, random: float
) -> None:
    """When it does not wait (any more) there is none."""
    gone = replace(tries, deadline=None)
    found = decide(gone, reply, now=NOW, policy=policy, random=lambda: random)
    assert not isinstance(found, RetryLive)


# ------------------------------------------------------------------------- notifications


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_will_do_for_a_notification(status: int) -> None:
    """A requestor's `callbackUrl` has nothing to say about the chain."""
    found = decide_notification(
        BACKGROUND, answer(status), now=NOW, policy=POLICY, random=lambda: 0.5
    )
    assert found == Ended()


@pytest.mark.parametrize(
    "reply",
    [
        *(answer(status) for status in (302, 404, 410, 429, 503)),
        *(no_answer(fault) for fault in Fault),
    ],
)
@pytest.mark.parametrize("tries", [BACKGROUND, EXHAUSTED])
def test_a_notification_fails_like_any_callback(tries: Tries, reply: Reply) -> None:
    """It is delivered by the same engine."""
    found = decide_notification(tries, reply, now=NOW, policy=POLICY, random=lambda: 0.5)
    assert found == decided(tries, reply)
