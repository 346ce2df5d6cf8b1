"""Looking at chains: what is told of them, and that looking changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.cli.chains import list_chains, show_chain, shown_json, start_chain
from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.domain.errors import NotConfigured
from orchestrator.sealing import new_key
from orchestrator.settings import IrmaServer, Sealing, Settings
from orchestrator.store.schema import migrate

NOW = datetime(2026, 3, 29, tzinfo=UTC)


def settings(database: Path) -> Settings:
    """The settings of whoever looks, with this SQLite file."""
    return Settings.model_validate(
        {
            "broker_url": "amqp://mq.example",
            "database_url": f"sqlite:///{database}",
            "public_url": "https://chains.example",
            "irma_server": IrmaServer(url="https://irma.example"),
            "sealing": Sealing.model_validate({"key": new_key(), "hash_key": new_key()}),
            "no_auth": True,
        }
    )


async def look(database: Path, what: str) -> None:
    """`chainctl list` or `chainctl show C1`."""
    chosen = settings(database)
    if what == "list":
        await list_chains(chosen, limit=1, state=None, requestor=None, as_json=True)
    else:
        await show_chain(chosen, "C1", pointer=False, as_json=True)


@pytest.mark.parametrize("what", ["list", "show"])
async def test_looking_makes_no_database(tmp_path: Path, what: str) -> None:
    """What makes one is said, and still there is none."""
    file = tmp_path / "chains.db"
    with pytest.raises(NotConfigured, match="no database yet: run `chainctl db upgr"):
        await look(file, what)
    assert list(tmp_path.iterdir()) == []


async def test_a_database_that_is_there_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once `chainctl db upgrade` has made it."""
    file = tmp_path / "chains.db"
    await migrate(f"sqlite:///{file}")
    await look(file, "list")
    assert capsys.readouterr().out == "[]\n"


def rows(*states: StepState) -> list[Step]:
    """The rows of a chain, from its first step."""
    return [
        Step(
            slot=Slot(chain_id="C1", step=number),
            state=state,
            created_at=NOW,
            check_at=None,
        )
        for number, state in enumerate(states, start=1)
    ]


@pytest.mark.parametrize(
    "states,steps",
    [
        ([], 0),
        ([StepState.LIVE], 1),
        ([StepState.FINISHED, StepState.FINISHED, StepState.END], 2),
    ],
)
def test_the_end_of_a_chain_is_no_step(states: list[StepState], steps: int) -> None:
    """`show --json` counts as `list` does."""
    chain = Chain(
        id="C1",
        requestor="demo",
        backend="irma",
        state=ChainState.RUNNING,
        generation=0,
        created_at=NOW,
    )
    assert shown_json(chain, rows(*states), [], [])["steps"] == steps


async def test_wallet_that_cannot_be_used_starts_nothing(tmp_path: Path) -> None:
    """A file that is no wallet is a wrong option, found before a chain is started."""
    file = tmp_path / "wallet.json"
    file.write_text("{}")
    with pytest.raises(NotConfigured, match="credentials: Field required"):
        await start_chain(
            settings(tmp_path / "no.db"),
            b"{}",
            None,
            wallet=False,
            wallet_file=file,
            as_json=False,
        )
