"""How long what a key has sealed outside of the database may be about."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.app.callback import make_policies
from orchestrator.app.tools import session_lifetime
from orchestrator.domain.chain import DEFAULT_WALL_TIME
from orchestrator.domain.delivery import RetryPolicy
from orchestrator.domain.lookup import HANDLER_MAX
from orchestrator.preparing import SLACK
from orchestrator.settings import Settings


def longest_lifetime(settings: Settings) -> timedelta:
    """The longest life of a capability URL or a queued message (DESIGN §5).

    Messages go from the store to the broker and back without being sealed anew: retries
    until the last, the cancellation of a session for as long as that may live, which is
    its own `timeout` and the backend's time for a session in use.
    """
    policies = make_policies(settings)
    retries = max(map(_retried_for, (policies.common, *policies.own.values())))
    return max(
        settings.wall_time + SLACK,
        timedelta(seconds=settings.callbacks.reply_s),
        retries + timedelta(seconds=settings.callbacks.timeout_s),
        DEFAULT_WALL_TIME + session_lifetime(settings) + HANDLER_MAX,
    )


def _retried_for(policy: RetryPolicy) -> timedelta:
    """From the first background delay to the last, each at its longest."""
    longest_s = (
        max(delay_s * (1 + policy.jitter), policy.retry_after_max_s)
        for delay_s in policy.background_delays_s
    )
    return timedelta(seconds=sum(longest_s))
