"""How a private node is set up, as plain values."""

from pathlib import Path

from orchestrator.broker.management import Management
from orchestrator.local import node
from orchestrator.local.rabbitmq import Broker

FOLDER = Path("/somewhere/run/rabbitmq")
PORTS = node.NodePorts(amqp=1, management=2, distribution=3, epmd=4)


def test_everything_the_node_reads_and_writes_is_in_its_folder() -> None:
    """No path in the node's environment leads to the distribution's own configuration."""
    environment = node.environment(FOLDER, PORTS)
    paths = {name: value for name, value in environment.items() if "/" in value}
    outside = {n: p for n, p in paths.items() if not p.startswith(str(FOLDER))}
    assert outside == {"RABBITMQ_CONF_ENV_FILE": "/dev/null"}
    assert paths["HOME"] == str(FOLDER)


def test_every_listener_is_on_the_loopback_interface() -> None:
    """AMQP, management, distribution and epmd are all bound to 127.0.0.1."""
    configuration = node.configuration(PORTS, "a password").splitlines()
    environment = node.environment(FOLDER, PORTS)
    assert "listeners.tcp.1 = 127.0.0.1:1" in configuration
    assert "management.tcp.ip = 127.0.0.1" in configuration
    assert "management.tcp.port = 2" in configuration
    assert "inet_dist_use_interface {127,0,0,1}" in node.ERLANG_ARGUMENTS
    assert environment["RABBITMQ_DIST_PORT"] == "3"
    assert environment["ERL_EPMD_PORT"] == "4"
    assert node.epmd_argv(PORTS)[1:] == ("-address", "127.0.0.1", "-port", "4")


def test_the_node_starts_no_epmd_of_its_own() -> None:
    """An epmd that the Erlang VM starts would outlive it."""
    assert "-start_epmd false" in node.ERLANG_ARGUMENTS


def test_the_only_user_replaces_guest() -> None:
    """The default user has our name and password, so guest is never made."""
    configuration = node.configuration(PORTS, "a password").splitlines()
    assert f"default_user = {node.USER}" in configuration
    assert "default_pass = a password" in configuration


def test_what_is_shown_of_a_broker_holds_no_secret() -> None:
    """Neither the password nor the URL that holds it is in a broker's representation."""
    broker = Broker(
        amqp_url="amqp://u:s3cret@localhost/",
        user="u",
        password="s3cret",
        version="1",
        management=Management("http://localhost:2", "u", "s3cret"),
    )
    assert "s3cret" not in repr(broker)
    assert "s3cret" not in repr(node.NodeSecrets("s3cret", "s3cret"))
