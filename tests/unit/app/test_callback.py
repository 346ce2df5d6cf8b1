"""Settings become the callback worker's policies."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orchestrator.app.callback import make_policies
from orchestrator.domain.delivery import RetryPolicy
from tests.unit.app.test_tools import settings


def test_without_sections_the_policy_is_the_designs() -> None:
    """For every requestor."""
    policies = make_policies(settings())
    assert policies.of("acme") == policies.common == RetryPolicy()


def test_a_requestors_own_section_goes_before_the_common_one() -> None:
    """Value by value, by its routing key; the time for later answers is everybody's."""
    policies = make_policies(
        settings(
            retry={"jitter": 0.1, "background_delays_s": [7.0]},
            callbacks={"reply_s": 60.0},
            requestors={
                "Acme": {"key": "k", "retry": {"background_delays_s": []}},
                "other": {"key": "o", "retry": {"jitter": 0.0, "live_delays_s": [1.0]}},
                "third": {"key": "t"},
            },
        )
    )
    common = RetryPolicy(jitter=0.1, background_delays_s=(7.0,), reply_s=60.0)
    assert policies.of("third") == policies.common == common
    assert policies.of("acme") == RetryPolicy(
        jitter=0.1, background_delays_s=(), reply_s=60.0
    )
    assert policies.of("other") == RetryPolicy(
        jitter=0.0, background_delays_s=(7.0,), live_delays_s=(1.0,), reply_s=60.0
    )


def test_a_requestors_own_section_is_checked_as_the_common_one() -> None:
    """Its mistakes are named by their place."""
    with pytest.raises(ValidationError, match=r"acme\.retry\.jitter"):
        settings(requestors={"acme": {"key": "k", "retry": {"jitter": 2}}})
