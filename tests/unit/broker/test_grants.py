"""What requestors are granted, as data."""

from __future__ import annotations

import re

import pytest

from orchestrator.broker.grants import (
    Bounds,
    connection_url,
    operator_policies,
    password_hash,
    permissions,
    topic_permission,
    user_of,
    vhost_of,
)
from orchestrator.broker.management import Management
from orchestrator.broker.topology import own_log
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import requestor_key


def admits(pattern: object, name: str) -> bool:
    """Whether RabbitMQ would find the pattern in the name."""
    return re.search(str(pattern), name) is not None


@pytest.mark.parametrize(
    "name,configure,read",
    [
        ("acme.orders", True, True),
        ("acme.log.more", True, True),
        ("acme.log", False, True),
        ("chain.events", False, True),
        ("acme", False, False),
        ("acmes.orders", False, False),
        ("not-acme.orders", False, False),
        ("chain.log", False, False),
        ("chain.events.more", False, False),
        ("chainxevents", False, False),
        ("amq.default", False, False),
        ("callbacks", False, False),
    ],
)
def test_names_are_its_own_by_their_beginning(
    name: str, *, configure: bool, read: bool
) -> None:
    """What it may configure it may write, and nothing else; its log is read only."""
    granted = permissions("acme")
    assert granted["configure"] == granted["write"]
    assert (admits(granted["configure"], name), admits(granted["read"], name)) == (
        configure,
        read,
    )


@pytest.mark.parametrize(
    "pattern,allowed",
    [
        ("session.*.acme", True),
        ("#.acme", True),
        ("*.*.acme", True),
        ("session.#.acme", True),
        ("#.failed.acme", True),
        ("#.#.acme", False),
        ("*.*.*.acme", False),
        ("#", False),
        ("acme", False),
        ("#.acme.#", False),
        ("session.completed.not-acme", False),
        ("session.completed.acme2", False),
    ],
)
def test_patterns_end_in_its_key(pattern: str, *, allowed: bool) -> None:
    """A pattern that does so matches no other requestor's routing key."""
    granted = topic_permission("acme")
    assert admits(granted["read"], pattern) is allowed
    assert not admits(granted["write"], pattern)


def test_policies_hold_for_all_its_queues_but_the_log() -> None:
    """Streams know no times: the first is passed over for them, the second holds."""
    bounds = Bounds(
        connections_max=1, channels_max=2, queue_bytes_max=3, queue_kept_s=0.004
    )
    first, second = operator_policies("acme", bounds).values()
    assert first["definition"] == {"max-length-bytes": 3, "expires": 4, "message-ttl": 4}
    assert second["definition"] == {"max-length-bytes": 3}
    assert int(str(first["priority"])) > int(str(second["priority"]))
    for policy in (first, second):
        assert admits(policy["pattern"], "acme.own")
        assert not admits(policy["pattern"], "acme.log")


def test_a_password_is_hashed_as_the_broker_does_it() -> None:
    """The example of RabbitMQ's own page on passwords."""
    assert password_hash("test12", bytes.fromhex("908DC60A")) == (
        "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    )


def test_users_of_two_virtual_hosts_are_two() -> None:
    """A broker may serve several installations, and users belong to none of them."""
    assert user_of("acme", "/") == "requestor.acme"
    assert user_of("acme", "chains") == "requestor.acme@chains"


@pytest.mark.parametrize(
    "broker_url,vhost",
    [
        ("amqp://mq.example", "/"),
        ("amqp://mq.example/", "/"),
        ("amqp://mq.example/%2F", "/"),
        ("amqp://mq.example/chains", "chains"),
        ("amqps://a:b@mq.example/a%20b?heartbeat=5", "a b"),
    ],
)
def test_the_virtual_host_is_the_path(broker_url: str, vhost: str) -> None:
    """As every AMQP library reads it."""
    assert vhost_of(broker_url) == vhost


def test_a_connection_url_says_it_all_and_nothing_of_ours() -> None:
    """Our own credentials and options are left out; everything special is escaped."""
    url = connection_url(
        "amqps://we:SECRET@mq.example:5673/x?heartbeat=5", "requestor.acme@x", "p", "/"
    )
    assert url == "amqps://requestor.acme%40x:p@mq.example:5673/%2F"


@pytest.mark.parametrize("key", ["gateway", "tail", "chain", "amq", "dead"])
def test_keys_that_begin_names_of_ours_are_refused(key: str) -> None:
    """Whoever had one could touch our queues, or a policy would."""
    with pytest.raises(NotConfigured, match="reserved word"):
        requestor_key(key)


def test_a_log_has_all_events_of_its_requestor_within_bounds() -> None:
    """Small ones are cut off in tenths of what they keep."""
    log = own_log("acme", age_max_s=86_400, bytes_max=50_000_000)
    assert [(queue.name, dict(queue.arguments)) for queue in log.queues] == [
        (
            "acme.log",
            {
                "x-queue-type": "stream",
                "x-max-age": "86400s",
                "x-max-length-bytes": 50_000_000,
                "x-stream-max-segment-size-bytes": 5_000_000,
            },
        )
    ]
    assert [
        (binding.queue, binding.exchange, binding.routing_key) for binding in log.bindings
    ] == [("acme.log", "chain.events", "*.*.acme")]


@pytest.mark.parametrize(
    "broker_url,named,url,user,password",
    [
        ("amqp://u:p@mq.example:1/v", None, "http://mq.example:15672", "u", "p"),
        ("amqps://u:p@mq.example", None, "https://mq.example:15671", "u", "p"),
        ("amqp://mq.example", None, "http://mq.example:15672", "guest", "guest"),
        ("amqp://u:p@mq", "https://mgmt.example", "https://mgmt.example", "u", "p"),
        ("amqp://u:p@mq", "http://a:b@m:8080/", "http://m:8080", "a", "b"),
    ],
)
def test_the_management_api_is_beside_the_broker(
    broker_url: str, named: str | None, url: str, user: str, password: str
) -> None:
    """Unless it is named; credentials go in the clear only where they do already."""
    management = Management.beside(broker_url, named)
    assert (management.url, management.user, management.password) == (url, user, password)
    assert "password" not in repr(management)
