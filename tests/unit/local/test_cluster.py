"""How a private cluster is set up, as plain values."""

from pathlib import Path

import pytest

from orchestrator.local import cluster
from orchestrator.local.cluster import Cluster
from orchestrator.local.postgresql import Postgresql

BIN = Path("/usr/lib/postgresql/15/bin")
FAST = Cluster(Path("/somewhere"), 1, "s3cret", durable=False)
SAFE = Cluster(Path("/somewhere"), 1, "s3cret", durable=True)


def test_the_server_listens_on_the_loopback_interface_only() -> None:
    """On one port, and on no socket in a folder that others share."""
    argv = cluster.server_argv(BIN, FAST)
    assert {"--listen_addresses=127.0.0.1", "--port=1"} <= set(argv)
    assert "--unix_socket_directories=" in argv


@pytest.mark.parametrize("made,setting", [(FAST, "off"), (SAFE, "on")])
def test_the_disk_is_waited_for_where_that_was_asked(made: Cluster, setting: str) -> None:
    """Tests spare it, what measures does not."""
    argv = cluster.server_argv(BIN, made)
    assert {f"--fsync={setting}", f"--full_page_writes={setting}"} <= set(argv)
    assert ("--no-sync" in cluster.initdb_argv(BIN, made)) is (setting == "off")


def test_the_only_role_proves_itself_by_its_password() -> None:
    """Which is in a file that initdb reads, for a command line is there to be seen."""
    argv = cluster.initdb_argv(BIN, FAST)
    assert {"--auth=scram-sha-256", "--pwfile=/somewhere/password"} <= set(argv)
    assert "s3cret" not in " ".join([*argv, *cluster.server_argv(BIN, FAST)])
    assert FAST.url == "postgresql://session-chain:s3cret@127.0.0.1:1/postgres"


def test_the_newest_version_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number, of those that hold a server; none is no folder."""
    monkeypatch.setattr(cluster, "VERSIONS", tmp_path)
    assert cluster.programs() is None
    for name in ("9.6/bin/initdb", "15/bin/initdb", "17/bin/psql"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    assert cluster.programs() == tmp_path / "15/bin"


def test_what_is_shown_holds_no_secret() -> None:
    """Neither the password nor the URL that holds it."""
    assert "s3cret" not in repr(FAST)
    assert "s3cret" not in repr(Postgresql(FAST.url, "15"))
