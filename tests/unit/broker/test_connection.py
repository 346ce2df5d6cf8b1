"""The broker's URL: completed with our name, refused without being repeated."""

from __future__ import annotations

import pytest
from aiormq.exceptions import ConnectionInternalError

from orchestrator.broker.connection import broker_url, until_led
from orchestrator.domain.errors import NotConfigured


def test_the_url_gets_a_name_and_a_heartbeat() -> None:
    """Credentials and virtual host stay exactly as they were escaped."""
    url = broker_url("amqp://u:p%40ss@broker:5672/a%2Fb", "worker callbacks")

    assert (url.user, url.password, url.raw_path) == ("u", "p@ss", "/a%2Fb")
    assert url.query["name"] == "worker callbacks"
    assert url.query["heartbeat"] == "10"


def test_what_the_url_says_itself_goes_before() -> None:
    """An operator may set another heartbeat or a certificate."""
    url = broker_url("amqps://h/v?heartbeat=30&cafile=ca.pem", "x")

    assert url.query["heartbeat"] == "30"
    assert url.query["cafile"] == "ca.pem"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "amqp://",
        "amqp:///v",
        "broker:5672",
        "http://u:hunter2@broker/",
        "amqp://u:hunter2@broker:99999/",
        "amqp://u:hunter2@broker:port/",
    ],
)
def test_what_is_no_amqp_url_is_refused_without_repeating_it(wrong: str) -> None:
    """A password in a wrong URL does not get into the error, nor into its causes."""
    with pytest.raises(NotConfigured, match="must look like amqp://") as caught:
        broker_url(wrong, "x")

    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


class Unled:
    """A queue that has no leader for the first few consumers."""

    def __init__(self, times: int) -> None:
        self.refusals = times
        self.asked = 0

    async def consume(self) -> str:
        """Begin to consume."""
        self.asked += 1
        if self.asked <= self.refusals:
            raise ConnectionInternalError
        return "consuming"


async def test_a_queue_without_a_leader_is_consumed_from_once_it_has_one() -> None:
    """As when several processes start on a fresh broker, and one of them declares it."""
    queue = Unled(1)

    assert await until_led(queue.consume) == "consuming"
    assert queue.asked == 2
