"""How one private RabbitMQ node is set up: its files, its environment, its command lines.

Nothing of it lies outside its own folder and nothing listens beyond the loopback
interface. Seen on RabbitMQ 3.10.8: the wrapper of the distribution changes the user and
reads /etc, so the server's own script is started; it becomes the Erlang VM only when it
believes to run under systemd, else a shell stands between us and the broker.
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.local.ports import LOOPBACK

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = Path("/usr/bin/epmd")
#: The name is part of the folder of the node's data, so that it must stay the same; nodes
#: of two runs do not meet, for each has its own epmd.
NODE_NAME = "session-chain@localhost"
USER = "session-chain"
#: The VM starts no epmd, and its distribution listens on the loopback interface only.
ERLANG_ARGUMENTS = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"


@dataclass(frozen=True)
class NodePorts:
    """Where one node listens, all on the loopback interface."""

    amqp: int
    management: int
    distribution: int
    epmd: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them."""
        return (self.amqp, self.management, self.distribution, self.epmd)


@dataclass(frozen=True)
class NodeSecrets:
    """What guards one node: the password of its only user, the cookie of its VM."""

    password: str = field(repr=False)
    cookie: str = field(repr=False)


def configuration(ports: NodePorts, password: str) -> str:
    """The node's rabbitmq.conf; one user with full rights instead of guest."""
    return f"""\
listeners.tcp.1 = {LOOPBACK}:{ports.amqp}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {ports.management}
management.rates_mode = none
default_user = {USER}
default_pass = {password}
log.file = false
log.console = true
log.console.level = info
"""


def environment(folder: Path, ports: NodePorts) -> dict[str, str]:
    """What the server's script reads instead of its defaults under /etc and /var."""
    return {
        "HOME": str(folder),
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_NODENAME": NODE_NAME,
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_ARGUMENTS,
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": LOOPBACK,
    }


def epmd_argv(ports: NodePorts) -> tuple[str, ...]:
    """Erlang's name server in the foreground, for this node alone."""
    return (str(EPMD), "-address", LOOPBACK, "-port", str(ports.epmd))


def kept_secrets(folder: Path) -> NodeSecrets:
    """The secrets of the node in `folder`; made once, for its data remember them."""
    return NodeSecrets(
        password=_kept(folder / "password"), cookie=_kept(folder / ".erlang.cookie")
    )


def write_files(folder: Path, ports: NodePorts, password: str) -> None:
    """Write what the node reads at its start."""
    _write(folder / "rabbitmq.conf", configuration(ports, password))
    _write(folder / "advanced.config", "[].\n")
    _write(folder / "enabled_plugins", "[rabbitmq_management].\n")


def _kept(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_hex(24))
    return path.read_text()


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(0o400)  # Erlang refuses a cookie that others may read
