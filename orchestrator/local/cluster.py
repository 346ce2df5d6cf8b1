"""How one private PostgreSQL cluster is set up: its programs, files and command lines.

Nothing of it lies outside its own folder and nothing listens beyond the loopback
interface.
"""

import os
import pwd
import re
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.local.ports import LOOPBACK

#: Debian's versions lie side by side, and none of them is in the PATH.
VERSIONS = Path("/usr/lib/postgresql")
#: Who the server is when we are root, which it refuses to be; the package brings it.
SYSTEM_USER = "postgres"
#: The only role, which may do everything.
ROLE = "session-chain"
#: The database to ask when there is no other.
FIRST_DATABASE = "postgres"


@dataclass(frozen=True)
class Cluster:
    """One cluster: its folder, where it listens, and what guards it.

    Attributes:
        durable: whether a commit waits for the disk. What was committed outlives a killed
            server all the same, but not a loss of power.
    """

    folder: Path
    port: int
    password: str = field(repr=False)
    durable: bool

    @property
    def data(self) -> Path:
        """What initdb makes."""
        return self.folder / "data"

    @property
    def password_file(self) -> Path:
        """What initdb reads, and nobody afterwards."""
        return self.folder / "password"

    @property
    def url(self) -> str:
        """Its first database, with the credentials of its only role."""
        login = f"{ROLE}:{self.password}"
        return f"postgresql://{login}@{LOOPBACK}:{self.port}/{FIRST_DATABASE}"


def programs() -> Path | None:
    """The folder with the newest `initdb` and `postgres` of this machine."""
    found = [path.parent for path in VERSIONS.glob("*/bin/initdb")]
    return max(found, key=_version, default=None)


def system_user() -> str | None:
    """Who the server has to be; None for ourselves.

    Raises:
        KeyError: we are root, and there is no such user.
    """
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam(SYSTEM_USER).pw_name


def initdb_argv(bin_folder: Path, cluster: Cluster) -> list[str]:
    """Make the cluster, with one role that proves itself by its password."""
    return [
        str(bin_folder / "initdb"),
        f"--pgdata={cluster.data}",
        f"--username={ROLE}",
        f"--pwfile={cluster.password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
        *([] if cluster.durable else ["--no-sync"]),
    ]


def server_argv(bin_folder: Path, cluster: Cluster) -> list[str]:
    """Serve the cluster in the foreground, with its log on stderr."""
    durable = "on" if cluster.durable else "off"
    options = {
        "listen_addresses": LOOPBACK,
        "port": cluster.port,
        "unix_socket_directories": "",
        # In the folder as well, or a killed server would leave it in /dev/shm.
        "dynamic_shared_memory_type": "mmap",
        "fsync": durable,
        "full_page_writes": durable,
        # No values of rows in the log.
        "log_error_verbosity": "terse",
    }
    argv = [str(bin_folder / "postgres"), "-D", str(cluster.data)]
    return argv + [f"--{name}={value}" for name, value in options.items()]


def write_password(cluster: Cluster) -> None:
    """Write what initdb reads; the folder is for nobody else's eyes."""
    cluster.password_file.touch(mode=0o600)
    cluster.password_file.write_text(cluster.password)


def hand_over(cluster: Cluster, user: str | None) -> None:
    """Give the folder to whoever the server is."""
    if user is not None:
        entry = pwd.getpwnam(user)
        for path in (cluster.password_file, cluster.folder):
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _version(bin_folder: Path) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", bin_folder.parent.name)))
