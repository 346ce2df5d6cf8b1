"""The topology's data hold what the guarantees need."""

from __future__ import annotations

import pytest

from orchestrator.broker.topology import TOPOLOGY, Queue, installed, mismatch
from orchestrator.ports import ENDPOINTS_EXCHANGE, EVENTS_EXCHANGE, LANES, Queues
from schemas.messages import Lane

WORK = [
    queue
    for queue in TOPOLOGY.queues
    if queue.arguments.get("x-dead-letter-routing-key") == Queues.DEAD
]


def test_the_work_queues_are_those_of_the_design() -> None:
    """Three lanes of callbacks, sessions and the history."""
    assert {queue.name for queue in WORK} == {
        "callbacks",
        "callbacks.replay",
        "callbacks.events",
        "sessions",
        "history",
    }


def test_a_history_in_parts_has_a_queue_for_each() -> None:
    """The first keeps its name, and all are as that one."""
    queues = {queue.name: queue for queue in installed(3).queues}
    assert set(queues) - {queue.name for queue in TOPOLOGY.queues} == {
        "history.1",
        "history.2",
    }
    assert queues["history.2"].arguments == queues["history"].arguments


def test_each_lane_has_its_queue() -> None:
    """A backlog in one of them is in nobody's way."""
    assert set(LANES) == set(Lane)
    assert len(set(LANES.values())) == len(Lane)
    assert set(LANES.values()) < {queue.name for queue in WORK}


def test_news_of_endpoints_reach_all_workers() -> None:
    """A fanout exchange, apart from that of the events, which integrators may bind to."""
    types = {exchange.name: exchange.type for exchange in TOPOLOGY.exchanges}
    assert types == {EVENTS_EXCHANGE: "topic", ENDPOINTS_EXCHANGE: "fanout"}


@pytest.mark.parametrize("queue", WORK, ids=lambda queue: queue.name)
def test_no_work_can_be_lost_on_its_queue(queue: Queue) -> None:
    """Replicated, dead-lettered at least once with all that needs, and never cut off."""
    arguments = dict(queue.arguments)
    assert arguments.pop("x-single-active-consumer", None) is (
        True if queue.name == "history" else None
    )
    assert arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
        "x-dead-letter-strategy": "at-least-once",
    }


def test_dead_letters_have_a_queue_that_keeps_them() -> None:
    """No dead-lettering from `dead`, and a limit nobody reaches on any broker version."""
    dead = next(queue for queue in TOPOLOGY.queues if queue.name == Queues.DEAD)

    assert dead.arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 2_000_000_000,
    }


def test_the_event_log_is_bounded() -> None:
    """By age and by bytes, in segments that are small against the bound."""
    log = next(queue for queue in TOPOLOGY.queues if queue.name == "chain.log")

    assert log.arguments["x-queue-type"] == "stream"
    assert log.arguments["x-max-age"] == "30D"
    bytes_max = log.arguments["x-max-length-bytes"]
    segment_bytes = log.arguments["x-stream-max-segment-size-bytes"]
    assert int(segment_bytes) * 10 <= int(bytes_max)


def test_an_argument_that_is_not_expected_is_told() -> None:
    """RabbitMQ's words for a queue that has an argument which we do not give."""
    error = mismatch(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'sessions' in"
        " vhost 'v': received none but current is the value '5' of type 'signedint'"
    )

    assert str(error).startswith(
        "queue 'sessions' exists with another 'x-max-length':"
        " the value '5' of type 'signedint' instead of none; empty it, then delete it"
    )


def test_a_refusal_in_other_words_is_told_without_them() -> None:
    """What we cannot read we do not repeat."""
    assert str(mismatch("PRECONDITION_FAILED - something with 'amqp://u:p@h'")) == (
        "the broker refuses the topology: it has something else there"
    )
