"""`chainctl waiting`: what is said, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.app.tools import make_sealer
from orchestrator.cli import waiting as cli
from orchestrator.cli.waiting import Asked
from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import PARKED, RETRY, Store, Waiting, outbox_row, utc_now
from orchestrator.settings import Settings
from orchestrator.work import WorkMaker, start_message
from schemas.events import Purpose
from tests.support.samples import TARGET, result_of

SHOP = "https://shop.example:443"


def retry(settings: Settings, number: int = 0) -> Waiting:
    """A retry that is due in ten minutes, since now."""
    make = WorkMaker(sealer=make_sealer(settings))
    work = make.callback(
        Slot(chain_id=f"C{number}", step=1),
        "acme",
        result_of("T"),
        purpose=Purpose.NEXT,
        url=TARGET,
        validity_s=1,
    )
    return make.again(work, 605.0 + number, utc_now())


async def test_what_waits_is_listed(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, and all of it counted by kind, also when the list is limited."""
    await cli.list_waiting(settings, Asked(), limit=9, as_json=False)
    assert capsys.readouterr().out == "nothing waits that is meant\n"

    rows = [retry(settings, number) for number in range(3)]
    parked = replace(rows[2], id="parked~", kind=PARKED, due_at=rows[2].created_at)
    await installed.put_waiting(*rows, parked)
    await cli.list_waiting(settings, Asked(), limit=2, as_json=False)
    told = capsys.readouterr().out
    for word in ("in 10 m ", SHOP, "C0", rows[0].id, "parked~"):
        assert word in told
    assert told.endswith("4 waiting, the first 2 shown: parked 1, retry 3\n")
    assert "MARKER" not in told


async def test_a_list_for_scripts(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as JSON; what is parked has no time."""
    row = retry(settings)
    parked = replace(row, id="p", kind=PARKED, due_at=row.created_at)
    await installed.put_waiting(row, parked)
    await installed.take_due_waiting(
        row.due_at, owner="clock", lease=timedelta(hours=9), limit=9
    )
    asked = Asked(chain="C0", endpoint=TARGET, due_before=None)
    await cli.list_waiting(settings, asked, limit=9, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["total"], told["counts"]) == (2, {PARKED: 1, RETRY: 1})
    assert [one["dueAt"] for one in told["rows"]] == [None, row.due_at.isoformat()]
    assert told["rows"][1] == {
        "id": row.id,
        "kind": RETRY,
        "chain": "C0",
        "endpoint": SHOP,
        "dueAt": row.due_at.isoformat(),
        "since": row.created_at.isoformat(),
        "attempt": 2,
        "held": True,
    }
    soon = Asked(due_before="1m")
    await cli.list_waiting(settings, soon, limit=9, as_json=True)
    assert json.loads(capsys.readouterr().out)["total"] == 0


async def test_rows_are_hurried(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parked ones are said to be parked again where that is so."""
    row = retry(settings)
    await installed.put_waiting(row, replace(row, id="p", kind=PARKED))
    await cli.hurry_waiting(settings, Asked(endpoint=TARGET))
    told = capsys.readouterr().out
    assert "2 made due now: parked 1, retry 1\n" in told
    assert "1 parked: published once now, the oldest first; parked again if" in told
    assert {row.due_at <= utc_now() for row in await installed.waiting(limit=9)} == {True}
    await cli.hurry_waiting(settings, Asked(ids=[row.id]))
    assert f"1 left: due already: {row.id}\n" in capsys.readouterr().out


async def test_rows_are_cancelled(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only with a word for it; what stays is told with the reason."""
    row = retry(settings)
    sent = start_message(Slot(chain_id="C0", step=1), "acme")
    await installed.put_waiting(row, outbox_row(sent, "C0", utc_now()))
    before = await installed.waiting(limit=9)
    with pytest.raises(NotConfigured, match="--yes: needed"):
        await cli.cancel_waiting(settings, Asked(chain="C0"), yes=False)
    with pytest.raises(NotConfigured, match=r"nothing was changed: .* holds what was"):
        await cli.cancel_waiting(settings, Asked(ids=[row.id, sent.id]), yes=True)
    assert await installed.waiting(limit=9) == before

    await cli.cancel_waiting(settings, Asked(chain="C0"), yes=True)
    told = capsys.readouterr().out
    assert "1 cancelled: retry 1\n1 left: outbox: holds what was decided" in told
    assert row.id not in [row.id for row in await installed.waiting(limit=9)]


async def test_who_says_no_changes_nothing(
    settings: Settings,
    installed: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The question says how many, and what that means."""
    asked: list[str] = []

    def refuse(question: str, *, yes: bool) -> bool:
        asked.append(question)
        return yes

    monkeypatch.setattr(cli, "agreed", refuse)
    await installed.put_waiting(retry(settings))
    await cli.cancel_waiting(settings, Asked(kinds=[RETRY]), yes=False)
    assert capsys.readouterr().out == "nothing was changed\n"
    assert asked[0].startswith("cancel 1 (retry 1)? ")
    assert len(await installed.waiting(limit=9)) == 1


@pytest.mark.parametrize(
    "asked,why",
    [
        (Asked(), "say which rows: their ids, or else"),
        (Asked(ids=["x"], chain="C0"), "say which rows: their ids, or else"),
        (Asked(endpoint="MARKER"), "--endpoint: it needs http or https"),
        (Asked(chain="C\udcff"), "--chain: that is no id of a chain"),
        (Asked(ids=["x"]), "no such row waits"),
    ],
)
async def test_what_is_not_meant_clearly_is_refused(
    settings: Settings, asked: Asked, why: str
) -> None:
    """Before anything is asked or changed (G11)."""
    for operation in (
        cli.hurry_waiting(settings, asked),
        cli.cancel_waiting(settings, asked, yes=True),
    ):
        with pytest.raises(NotConfigured, match=why) as caught:
            await operation
        assert "MARKER" not in str(caught.value)
