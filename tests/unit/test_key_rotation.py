"""A sealing key is changed while chains run, and the one before is retired in the end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import JsonValue

from orchestrator.app.lifetimes import longest_lifetime
from orchestrator.app.tools import make_sealer
from orchestrator.cli import keys as cli
from orchestrator.cli.reseal import reseal_rows
from orchestrator.domain.errors import NotConfigured, OrchestratorError, SealKeyUnknown
from orchestrator.domain.key_retirement import UNNOTED
from orchestrator.domain.replaying import url_bound_to
from orchestrator.sealing import Sealer, keys_in, new_key
from orchestrator.settings import Settings
from orchestrator.store import SqlStore
from schemas.messages import CallbackSecrets, CallbackWork, parse_work
from tests.support.fakes import FakeClock
from tests.support.replays import a_plan
from tests.support.samples import RESULTS_KEPT, TARGET, result_of
from tests.support.workshop import Workshop
from tests.unit.workers.due import waiting

K1, K2, HASH_KEY = new_key(), new_key(), new_key()


def settings(key_id: str, key: str, older: dict[str, str], database: str) -> Settings:
    """An installation whose sealing key is this one."""
    sealing = {"key": key, "key_id": key_id, "hash_key": HASH_KEY, "older_keys": older}
    return Settings.model_validate(
        {
            "broker_url": "amqp://127.0.0.1:1/",
            "database_url": database,
            "public_url": "https://chains.example",
            "irma_server": {"url": "https://irma.example"},
            "sealing": sealing,
            "no_auth": True,
        }
    )


@pytest.fixture
def database(store: SqlStore) -> str:
    """Where that of the workshop is."""
    engine = store._database._driver._writer  # type: ignore[attr-defined] # SQLite's
    return f"sqlite:///{engine.url.database}"


async def told(
    settings: Settings, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> dict[str, dict[str, JsonValue]]:
    """What `chainctl keys list --json` says, by key."""
    capsys.readouterr()
    await cli.list_keys(settings, as_json=True, clock=clock)
    return {entry["key"]: entry for entry in json.loads(capsys.readouterr().out)}


async def test_a_rotation_from_beginning_to_end(
    workshop: Workshop,
    clock: FakeClock,
    database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything opens at any time; the old key goes when nothing can name it."""
    first = settings("k1", K1, {}, database)
    second = settings("k2", K2, {"k1": K1}, database)
    last = settings("k2", K2, {}, database)
    store = workshop.store
    await store.note_keys(used=["k1"])

    before = replace(workshop, sealer=make_sealer(first))
    begun = await before.begin()
    work = before.callback(begun.slot, begun.token)
    await store.put_waiting(before.make.again(work, 900.0, clock()))
    listed = await told(first, clock, capsys)
    assert (listed["k1"]["role"], listed["k1"]["rows"]) == (
        "seals",
        {"steps": 1, "waiting": 1},
    )

    clock.advance(60)
    await store.note_keys(used=["k2"], known=["k1"])
    after = replace(workshop, sealer=make_sealer(second))
    opens_all(after.sealer, before, begun.callback, work)
    await after.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    assert (await workshop.chain(begun.id)).state == "cancelled"
    listed = await told(second, clock, capsys)
    assert (listed["k1"]["role"], listed["k1"]["rows"]) == (
        "opens only",
        {"steps": 1, "waiting": 1},
    )
    assert listed["k2"]["rows"] == {"steps": 1}
    with pytest.raises(OrchestratorError, match="key k1: no: 2 rows name it"):
        await cli.check_key(second, "k1", clock=clock)

    clock.advance(900)
    assert await after.clock_worker().publish_due() == 1
    sent_at = clock()
    (message,) = workshop.publisher.messages[-1:]
    assert keys_in(message.body) == {"k1"}
    clock.advance(RESULTS_KEPT.total_seconds() + 1)
    assert await after.clock_worker().purge_due() == 1
    listed = await told(second, clock, capsys)
    assert listed["k1"]["rows"] == {}
    allowed_at = sent_at + longest_lifetime(second) + UNNOTED
    assert listed["k1"]["lastUsedAt"] == sent_at.isoformat()
    assert listed["k1"]["notBefore"] == allowed_at.isoformat()
    assert not listed["k1"]["mayBeRetired"]

    clock.advance((allowed_at - clock() - timedelta(seconds=1)).total_seconds())
    with pytest.raises(OrchestratorError, match="key k1: not before 2026-"):
        await cli.check_key(second, "k1", clock=clock)
    listed = await told(last, clock, capsys)
    assert (listed["k1"]["role"], listed["k1"]["mayBeRetired"]) == ("not here", False)

    clock.advance(1)
    await cli.check_key(second, "k1", clock=clock)
    listed = await told(second, clock, capsys)
    assert listed["k1"]["mayBeRetired"]
    assert not listed["k2"]["mayBeRetired"]
    with pytest.raises(SealKeyUnknown):
        make_sealer(last).open_model(CallbackSecrets, work.sealed, bound_to=work.id)


def opens_all(
    sealer: Sealer, before: Workshop, callback: str, work: CallbackWork
) -> None:
    """What was sealed with the key before: messages, URLs and rows."""
    sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    sealer.open_capability(callback.rsplit("/", 1)[-1], now=before.clock())
    assert sealer.key_id != before.sealer.key_id


async def test_the_list_is_a_table_for_people(
    database: str,
    clock: FakeClock,
    store: SqlStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each key with its role, rows, last use, and what may be done with it."""
    monkeypatch.setenv("COLUMNS", "200")
    installation = settings("k2", K2, {"k1": K1}, database)
    await cli.list_keys(installation, as_json=False, clock=clock)
    text = capsys.readouterr().out
    assert "no: it seals" in text
    assert "no process has been started with it" in text
    await store.note_keys(used=["k0", "k2"], known=["k1"])
    await cli.list_keys(installation, as_json=False, clock=clock)
    text = capsys.readouterr().out
    assert "not here" in text
    assert "give it back" in text
    clock.advance((longest_lifetime(installation) + UNNOTED).total_seconds())
    await cli.list_keys(installation, as_json=False, clock=clock)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["k0"].rstrip().endswith("was")
    assert lines["k1"].rstrip().endswith("yes")


async def test_a_key_that_nobody_knows_is_told(database: str, clock: FakeClock) -> None:
    """A script that misspells it learns so."""
    installation = settings("k2", K2, {}, database)
    with pytest.raises(NotConfigured, match="key k7: nothing is known of it"):
        await cli.check_key(installation, "k7", clock=clock)
    with pytest.raises(OrchestratorError, match="key k2: no: it seals"):
        await cli.check_key(installation, "k2", clock=clock)


async def test_rows_can_be_sealed_anew(
    workshop: Workshop,
    clock: FakeClock,
    database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All that the old key has sealed opens afterwards with the new one alone."""
    first = settings("k1", K1, {}, database)
    second = settings("k2", K2, {"k1": K1}, database)
    before = replace(workshop, sealer=make_sealer(first))
    begun = await before.begin()
    work = before.callback(begun.slot, begun.token)
    await workshop.store.put_waiting(
        before.make.again(work, 900.0, clock()),
        waiting("odd", body=b'{"sealed":"v1.k2.AAAA"}'),
    )
    url = before.sealer.seal(TARGET.encode(), bound_to=url_bound_to("R1"))
    await workshop.store.replays.add(replace(a_plan(), sealed_url=url))

    capsys.readouterr()
    await reseal_rows(second, as_json=True)

    told = json.loads(capsys.readouterr().out)
    assert told == {"key": "k2", "resealed": 3, "left": 0}
    alone = replace(workshop, sealer=make_sealer(settings("k2", K2, {}, database)))
    row = await workshop.row(begun.slot)
    assert alone.rows.token(row) == begun.token
    assert alone.rows.package(row) is not None
    alone.rows.request(row)
    alone.rows.prepared(row)
    (again,) = [one for one in await workshop.store.waiting(limit=9) if one.id != "odd"]
    resealed = parse_work(again.message.body)
    assert isinstance(resealed, CallbackWork)
    secrets = alone.sealer.open_model(CallbackSecrets, resealed.sealed, bound_to=work.id)
    assert secrets.token == begun.token
    plan = await workshop.store.replays.plan("R1")
    assert plan is not None
    opened = alone.sealer.open(plan.sealed_url or "", bound_to=url_bound_to("R1"))
    assert opened.decode() == TARGET

    await reseal_rows(second, as_json=False)
    assert "0 rows were sealed anew with k2" in capsys.readouterr().out


async def test_what_cannot_be_sealed_anew_is_told(
    workshop: Workshop, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row whose key is not here, or that is broken, stays as it is."""
    begun = await workshop.begin()
    before = await workshop.row(begun.slot)
    keyless = b'{"sealed":"v1.k9.AAAA"}'
    await workshop.store.put_waiting(waiting("w1", body=keyless))
    with pytest.raises(OrchestratorError, match="2 rows still name another key"):
        await reseal_rows(settings("k2", K2, {}, database), as_json=False)
    assert await workshop.row(begun.slot) == before
    (row,) = await workshop.store.waiting(limit=9)
    assert row.message.body == keyless
