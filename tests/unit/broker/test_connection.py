"""The broker's URL: completed with our name, refused without being repeated."""

from __future__ import annotations

import pytest

from orchestrator.broker.connection import broker_url
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
